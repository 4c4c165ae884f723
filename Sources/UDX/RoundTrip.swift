/// Spans of time in the nanoseconds that the core reckons in.
enum Nanoseconds {
    static let second: UInt64 = 1_000_000_000
    static let millisecond: UInt64 = 1_000_000
}

/// Estimates of the round trip, all in nanoseconds (RFC 6298).
struct RoundTrip: Sendable {
    /// Nil before the first sample.
    private(set) var smoothed: UInt64?
    private(set) var variation: UInt64 = 0
    /// Of negated samples: the smallest of five minutes.
    private var smallestNegated = WindowedMaximum<Int64>(window: 300 * Nanoseconds.second)

    private static let outlier = 5 * Nanoseconds.second
    private static let timeoutMax = 30 * Nanoseconds.second

    /// The smallest of the last five minutes; 0 before the first sample.
    var smallest: UInt64 { (smallestNegated.value ?? 0).magnitude }

    /// When a packet without an answer counts as unheard: 1 s to 30 s.
    var timeout: UInt64 {
        guard let smoothed else { return Nanoseconds.second }
        return min(max(smoothed + 4 * variation, Nanoseconds.second), Self.timeoutMax)
    }

    /// - Parameter sample: of a packet that was sent once only.
    mutating func add(_ sample: UInt64, now: UInt64) {
        var sample = max(1, sample)
        smallestNegated.add(-Int64(clamping: sample), at: now)
        guard let old = smoothed else {
            sample = min(sample, Self.timeoutMax)
            smoothed = sample
            variation = sample / 2
            return
        }
        if sample > Self.outlier, sample > old + 5 * variation {
            sample = min(old + 5 * variation, Self.timeoutMax)
        }
        let deviation = old > sample ? old - sample : sample - old
        variation = (3 * variation + deviation) / 4
        smoothed = (7 * old + sample) / 8
    }
}
