/// The table of `simulate connect`.
package enum ConnectReport {
    package static func text(_ pairs: [ConnectScenario.Pair]) -> String {
        var table = TextTable(["client", "server", "connected", "p50", "p90", "how", "why not"])
        for pair in pairs {
            table.append([
                pair.client.rawValue, pair.server.rawValue,
                "\(pair.times.count) of \(pair.attempts)",
                Figure.milliseconds(pair.times.median),
                Figure.milliseconds(pair.times.quantile(0.9)), list(pair.paths),
                list(pair.failures),
            ])
        }
        return table.text
    }

    private static func list(_ counts: [(name: String, count: Int)]) -> String {
        counts.map { "\($0.name) \($0.count)" }.joined(separator: ", ")
    }
}
