/// The tables of `simulate dht` and `simulate growth`.
package enum DHTReport {
    package static func text(_ results: [DHTResult]) -> String {
        var table = TextTable([""] + results.map { "\($0.nodes) nodes" })
        func row(_ name: String, _ cell: (DHTResult) -> String) {
            table.append([name] + results.map(cell))
        }
        row("persistent") { String($0.persistent) }
        row("left during the run") { String($0.left) }
        row("nodes in a table, median") { Figure.rank($0.tableCount.median) }
        row("idle datagrams a node and minute") { Figure.decimal($0.idleDatagramsPerMinute) }
        row("announcements taken") { succeeded($0.announcements) }
        row("  nodes that took one, median of 20") {
            Figure.rank($0.announcements.committed.median)
        }
        row("  requests each, mean") { Figure.decimal($0.announcements.messages.mean) }
        row("  time, p50") { Figure.milliseconds($0.announcements.time.median) }
        row("lookups that found the peer") { succeeded($0.lookups) }
        row("  steps to it, mean") { Figure.decimal($0.lookups.hops.mean, 2) }
        row("  steps to it, p50 / p99 / most") { ranks($0.lookups.hops) }
        row("  steps to the closest node, mean") {
            Figure.decimal($0.lookups.hopsToClosest.mean, 2)
        }
        row("  requests each, mean") { Figure.decimal($0.lookups.messages.mean) }
        row("  requests each, p50 / p99 / most") { ranks($0.lookups.messages) }
        row("  of the 20 closest nodes found, mean") {
            Figure.decimal($0.lookups.closestFound.mean)
        }
        row("  time to the peer, p50") { Figure.milliseconds($0.lookups.timeToFind.median) }
        row("  time to the peer, p90") { Figure.milliseconds($0.lookups.timeToFind.quantile(0.9)) }
        row("  time to the end, p50") { Figure.milliseconds($0.lookups.time.median) }
        row("  time to the end, p90") { Figure.milliseconds($0.lookups.time.quantile(0.9)) }
        row("resident memory a node") {
            $0.bytesPerNode > 0 ? Figure.kibibytes($0.bytesPerNode) : "–"
        }
        row("virtual time") { Figure.seconds($0.virtualTime) }
        row("datagrams in all") { String($0.datagrams) }
        return table.text
    }

    private static func succeeded(_ walks: DHTResult.Walks) -> String {
        "\(walks.succeeded) of \(walks.count), \(Figure.percent(walks.succeeded, of: walks.count))"
    }

    private static func ranks(_ values: Distribution<Int>) -> String {
        [values.median, values.quantile(0.99), values.quantile(1)].map(Figure.rank)
            .joined(separator: " / ")
    }
}

extension DHTReport {
    /// The logarithms through the sizes.
    package static func growth(_ results: [DHTResult]) -> String {
        var table = TextTable([
            "growth", "a + b·log2(nodes)", "each doubling adds", "R²", "as a power: nodes^",
        ])
        for (name, fit) in GrowthScenario.fits(results) {
            table.append([
                name,
                "\(Figure.decimal(fit.offset, 2)) + \(Figure.decimal(fit.perDoubling, 2))·log2(nodes)",
                Figure.decimal(fit.perDoubling, 2), Figure.decimal(fit.determination, 3),
                Figure.decimal(fit.power, 2),
            ])
        }
        return table.text
    }
}
