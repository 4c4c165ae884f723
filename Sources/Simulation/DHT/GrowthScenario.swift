internal import Glibc

/// How the cost of a lookup grows with the network. Kademlia promises a logarithm (Maymounkov and
/// Mazières 2002, §3).
package enum GrowthScenario {
    /// `a + b · log2(nodes)` through the points, by least squares.
    package struct Fit: Equatable, Sendable {
        package let offset: Double
        /// What each doubling of the network adds.
        package let perDoubling: Double
        /// How much of the variance it explains, at most 1.
        package let determination: Double
        /// The exponent b of `a · nodes^b` through the same points: a power law would show as one
        /// near 0.5 or 1.
        package let power: Double

        /// - Precondition: at least two points with different numbers of nodes, values above 0.
        package init(_ points: [(nodes: Int, value: Double)]) {
            let logarithms = points.map { log2(Double(max(1, $0.nodes))) }
            let line = Self.line(logarithms, points.map(\.value))
            offset = line.offset
            perDoubling = line.slope
            determination = line.determination
            power = Self.line(logarithms, points.map { log2(max($0.value, 1e-9)) }).slope
        }

        private static func line(
            _ xs: [Double], _ ys: [Double]
        ) -> (offset: Double, slope: Double, determination: Double) {
            let count = Double(max(1, xs.count))
            let (meanX, meanY) = (xs.reduce(0, +) / count, ys.reduce(0, +) / count)
            var (covariance, varianceX, varianceY) = (0.0, 0.0, 0.0)
            for (x, y) in zip(xs, ys) {
                covariance += (x - meanX) * (y - meanY)
                varianceX += (x - meanX) * (x - meanX)
                varianceY += (y - meanY) * (y - meanY)
            }
            guard varianceX > 0 else { return (meanY, 0, 0) }
            let slope = covariance / varianceX
            let determination =
                varianceY > 0 ? covariance * covariance / (varianceX * varianceY) : 1
            return (meanY - slope * meanX, slope, determination)
        }
    }

    /// One run for each size, all else as in `options`.
    package static func run(
        _ options: DHTOptions, sizes: [Int], progress: (DHTResult) -> Void = { _ in }
    ) -> [DHTResult] {
        sizes.map { size in
            var options = options
            options.nodes = size
            let result = DHTScenario.run(options)
            progress(result)
            return result
        }
    }

    package static func fits(_ results: [DHTResult]) -> [(name: String, fit: Fit)] {
        [
            ("steps to the peer", Fit(results.map { ($0.nodes, $0.lookups.hops.mean) })),
            (
                "steps to the closest node",
                Fit(results.map { ($0.nodes, $0.lookups.hopsToClosest.mean) })
            ),
            ("requests of a lookup", Fit(results.map { ($0.nodes, $0.lookups.messages.mean) })),
            (
                "nodes in a table",
                Fit(results.map { ($0.nodes, $0.tableCount.mean) })
            ),
        ]
    }
}
