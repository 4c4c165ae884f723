/// The tables of `simulate attacks`.
package enum AttackReport {
    package static func write(_ options: DHTOptions, flood: Int, _ write: (String) -> Void) {
        write("seed \(options.seed), \(options.nodes) nodes\n\n")
        _ = ProcessMeter.residentBytesAtFirst
        write(floods(options.seed, flood) + "\n")
        write(forgeries(options.seed) + "\n")
        write(amplification(options.seed) + "\n")
        write(sybils(options))
    }

    private static func sybils(_ options: DHTOptions) -> String {
        var table = TextTable([
            "hostile nodes at a topic", "on", "and do", "of the 20 closest",
            "honest nodes keep a new announcement", "lookups find it", "and one made before",
        ])
        let cases: [(count: Int, lies: Bool, spread: SybilScenario.Spread)] = [
            (0, false, .anywhere), (20, false, .anywhere), (40, false, .anywhere),
            (5, true, .anywhere), (20, true, .anywhere), (40, true, .anywhere),
            (20, true, .oneAddress), (40, true, .oneAddress),
        ]
        for (count, lies, spread) in cases {
            let row = SybilScenario.run(options, hostile: count, lies: lies, spread: spread)
            table.append([
                String(row.hostile), count == 0 ? "–" : row.spread.rawValue,
                count == 0 ? "–" : row.behaviour, String(row.amongClosest), String(row.kept),
                Figure.percent(row.found, of: row.lookups),
                Figure.percent(row.foundEarlier, of: row.lookups),
            ])
        }
        return table.text
    }

    private static func forgeries(_ seed: UInt64) -> String {
        var table = TextTable(["forged or replayed", "answer", "took effect"])
        for row in ForgeryScenario.run(seed: seed) {
            let effect = row.succeeded ? (row.isAllowed ? "yes, by the protocol" : "YES") : "no"
            table.append([row.attempt, row.answer, effect])
        }
        return table.text
    }

    private static func amplification(_ seed: UInt64) -> String {
        var table = TextTable([
            "request from an unproven address", "bytes", "first reply", "times", "kept up, times",
        ])
        for row in AmplificationScenario.run(seed: seed) {
            table.append([
                row.command, String(row.requestBytes), String(row.replyBytes),
                Figure.decimal(row.ratio), Figure.decimal(row.sustainedRatio),
            ])
        }
        return table.text
    }

    private static func floods(_ seed: UInt64, _ count: Int) -> String {
        var table = TextTable([
            "announcements in a flood", "networks", "taken", "memory grew by",
            "processor each", "honest ones taken meanwhile",
        ])
        for origins in [1, 50, 1000] {
            guard let row = FloodScenario.run(seed: seed, count: count, origins: origins) else {
                continue
            }
            table.append([
                String(row.sent), String(row.origins), String(row.taken),
                Figure.decimal(Double(row.grownBytes) / 1048576) + " MiB",
                Figure.decimal(row.processorTime / .microseconds(1)) + " µs",
                Figure.percent(row.honestTaken, of: row.honestSent),
            ])
        }
        return table.text
    }
}
