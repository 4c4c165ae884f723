internal import Base
internal import Glibc

/// One-way delays: lognormal over pairs of sites and fixed for a pair, both ways alike, with some
/// jitter for each datagram. Measured delays between hosts of the internet have this shape: most
/// near the median, a long tail.
package struct LatencyModel: Sendable {
    /// Half of all pairs are nearer than this, one way.
    package var median: Duration = .milliseconds(40)
    /// The standard deviation of the logarithm: at 0.6 one pair in six is 1.8 times the median.
    package var spread = 0.6
    /// No pair is nearer.
    package var shortest: Duration = .milliseconds(1)
    /// The most that a datagram may be late, as a share of its pair's delay.
    package var jitter = 0.1
    /// Between two hosts of one network behind a NAT.
    package var local: Duration = .microseconds(300)

    package init() {}
}

/// A `LatencyModel` made quick: the quantiles of the distribution in a table.
struct LatencyTable: Sendable {
    private static let size = 4096
    private var quantiles: [UInt64] = []
    private let jitterScale: UInt64
    private let seed: UInt64
    private let local: UInt64

    init(_ model: LatencyModel, seed: UInt64) {
        self.seed = seed
        local = UInt64(max(0, model.local.nanosecondsClamped))
        jitterScale = UInt64(max(0, min(model.jitter, 100)) * 65536)
        let median = Double(model.median.nanosecondsClamped)
        let shortest = Double(max(0, model.shortest.nanosecondsClamped))
        // The normal deviate as a sum of twelve uniform ones: near enough, and exact arithmetic
        // makes it the same everywhere.
        var random = SeededRandom(seed: seed)
        for _ in 0..<Self.size {
            var sum = -6.0
            for _ in 0..<12 { sum += Double(random.next() >> 11) / Double(1 << 53) }
            quantiles.append(UInt64(max(shortest, median * exp(model.spread * sum))))
        }
    }

    /// The delay of one datagram in nanoseconds.
    ///
    /// - Parameter noise: random bits for the jitter, the lower 16 are used.
    func delay(from: Int32, to: Int32, noise: UInt64) -> UInt64 {
        let base = self.base(from: from, to: to)
        return base &+ base &* jitterScale / 65536 &* (noise & 0xffff) / 65536
    }

    func localDelay(noise: UInt64) -> UInt64 {
        local &+ local &* jitterScale / 65536 &* (noise & 0xffff) / 65536
    }

    /// Hops of the public path between two sites: always more than the five that a packet is given
    /// that shall open its sender's NAT and not arrive.
    func publicHops(from: Int32, to: Int32) -> Int {
        8 + Int(pairHash(from, to) >> 60)
    }

    private func base(from: Int32, to: Int32) -> UInt64 {
        quantiles[Int(truncatingIfNeeded: pairHash(from, to)) & (Self.size - 1)]
    }

    private func pairHash(_ left: Int32, _ right: Int32) -> UInt64 {
        let low = UInt64(UInt32(bitPattern: min(left, right)))
        let high = UInt64(UInt32(bitPattern: max(left, right)))
        return Mixing.mixed((high << 32 | low) ^ seed)
    }
}
