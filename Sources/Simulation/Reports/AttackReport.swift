/// The tables of `simulate attacks`.
package enum AttackReport {
    package static func write(_ options: DHTOptions, flood: Int, _ write: (String) -> Void) {
        write("seed \(options.seed), \(options.nodes) nodes\n\n")
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
}
