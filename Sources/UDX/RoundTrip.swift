/// Estimates of the round trip, all in nanoseconds (RFC 6298).
struct RoundTrip: Sendable {
    /// Nil before the first sample.
    private(set) var smoothed: UInt64?
    private(set) var variation: UInt64 = 0
    private(set) var latest: UInt64 = 0
    private var minimum = WindowedMinimum(window: 300 * second)

    static let second: UInt64 = 1_000_000_000
    static let millisecond: UInt64 = 1_000_000
    private static let outlier = 5 * second
    private static let timeoutMax = 30 * second

    /// The smallest of the last 300 s; 0 before the first sample.
    var smallest: UInt64 { minimum.value ?? 0 }

    /// When a packet without an answer counts as unheard: 1 s to 30 s.
    var timeout: UInt64 {
        guard let smoothed else { return Self.second }
        return min(max(smoothed + 4 * variation, Self.second), Self.timeoutMax)
    }

    /// - Parameter sample: of a packet that was sent once only.
    mutating func add(_ sample: UInt64, now: UInt64) {
        var sample = max(1, sample)
        minimum.add(sample, now: now)
        latest = sample
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

/// The minimum over a stretch of time, in constant space: the best of the window, and the best of the
/// two stretches after it (Kathleen Nichols' filter, as in Linux `lib/win_minmax.c`).
struct WindowedMinimum: Sendable {
    private struct Sample: Sendable { var value: UInt64 = .max, time: UInt64 = 0 }
    private let window: UInt64
    private var best = (Sample(), Sample(), Sample())

    init(window: UInt64) { self.window = window }

    var value: UInt64? { best.0.value == .max ? nil : best.0.value }

    mutating func add(_ value: UInt64, now: UInt64) {
        let sample = Sample(value: value, time: now)
        if value <= best.0.value || now &- best.2.time > window {
            best = (sample, sample, sample)
            return
        }
        if value <= best.1.value {
            best.1 = sample
            best.2 = sample
        } else if value <= best.2.value {
            best.2 = sample
        }
        let age = now &- best.0.time
        if age > window {
            best = (best.1, best.2, sample)
            if now &- best.0.time > window { best = (best.1, best.2, sample) }
        } else if best.1.time == best.0.time, age > window / 4 {
            best.1 = sample
            best.2 = sample
        } else if best.2.time == best.1.time, age > window / 2 {
            best.2 = sample
        }
    }
}
