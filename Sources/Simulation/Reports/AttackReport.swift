/// The tables of `simulate attacks`.
package enum AttackReport {
    package static func write(_ options: DHTOptions, flood: Int, _ write: (String) -> Void) {
        write("seed \(options.seed), \(options.nodes) nodes\n\n")
        write(sybils(options))
    }

    private static func sybils(_ options: DHTOptions) -> String {
        var table = TextTable([
            "hostile nodes at a topic", "do", "of the 20 closest",
            "honest nodes keep a new announcement",
            "lookups find it", "and one made before",
        ])
        for (count, lies) in [
            (0, false), (5, false), (20, false), (40, false), (5, true), (20, true), (40, true),
        ] {
            let row = SybilScenario.run(options, hostile: count, lies: lies)
            table.append([
                String(row.hostile), count == 0 ? "–" : row.behaviour, String(row.amongClosest),
                String(row.kept), Figure.percent(row.found, of: row.lookups),
                Figure.percent(row.foundEarlier, of: row.lookups),
            ])
        }
        return table.text
    }
}
