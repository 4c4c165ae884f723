/// Spreads packets over time: a bucket of bytes that fills at the pacing rate.
///
/// Packets leave in bursts of about a millisecond, at most 64 KiB, so that a fast sender wakes seldom
/// and hands the kernel many packets at once.
struct Pacer: Sendable {
    /// Bytes per second; infinite if packets are not paced.
    private(set) var rate: Double
    /// Bytes that may leave; below zero by a packet at most.
    private var tokens: Double
    private var filledAt: UInt64 = 0
    private var isBursting = false

    private static let quantumMin = 2.0 * 1500
    private static let quantumMax = 65536.0
    /// What a late wake-up can make up for.
    private static let capMax = 524288.0

    init(rate: Double, burst: Int) {
        self.rate = rate
        tokens = Double(burst)
        // The first packets leave at once, however the rate compares.
        tokens = max(tokens, quantum)
    }

    /// Bytes per burst.
    var quantum: Double { min(max(rate / 1000, Self.quantumMin), Self.quantumMax) }
    private var cap: Double { min(max(rate / 500, 2 * Self.quantumMin), Self.capMax) }

    /// To be called before packets are sent at a new time.
    mutating func fill(now: UInt64) {
        if rate.isFinite {
            let gain = Double(now - min(filledAt, now)) * rate / 1e9
            // What was given at the start, above the cap, is kept until spent.
            tokens = max(tokens, min(tokens + gain, cap))
        }
        filledAt = now
        isBursting = tokens >= quantum / 2
    }

    /// Whether a packet may leave.
    var allows: Bool { !rate.isFinite || (isBursting && tokens > 0) }

    mutating func spend(_ bytes: Int) {
        if rate.isFinite { tokens -= Double(bytes) }
    }

    /// When the next burst is due, if packets are waiting.
    var nextBurst: UInt64 {
        guard rate.isFinite else { return filledAt }
        let missing = max(0, quantum - tokens)
        return filledAt &+ UInt64(min(missing / rate * 1e9, 1e9)) &+ 1
    }

    mutating func setRate(_ new: Double) { rate = max(new, 1000) }
}
