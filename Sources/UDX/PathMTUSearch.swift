/// The search for the largest IP packet that passes (after RFC 8899): padded data packets are the
/// probes, one at a time. What is lost three times is taken not to pass.
struct PathMTUSearch: Sendable {
    private static let attemptsMax = 3
    /// Differences not worth a probe.
    private static let resolution = 16
    /// Padding is counted in one byte.
    private static let stepMax = 255
    /// How long a search that did not reach the top stays ended.
    private static let pause = 600 * Nanoseconds.second

    private let configuration: UDXConfiguration.PathMTU
    /// What is known to pass.
    private(set) var size: Int
    /// The smallest size that is believed not to.
    private var failing: Int
    private var attempts = 0
    private var isProbeOut = false
    private var resumeAt: UInt64 = 0

    init(_ configuration: UDXConfiguration.PathMTU) {
        self.configuration = configuration
        size = configuration.base
        failing = configuration.max + 1
    }

    /// The IP packet size to try next, at most 255 above `size`.
    mutating func nextProbe(now: UInt64) -> Int? {
        guard configuration.isProbing, !isProbeOut, size < configuration.max else { return nil }
        if now < resumeAt { return nil }
        if failing - size <= Self.resolution {
            guard failing <= configuration.max, resumeAt > 0 else {
                resumeAt = now + Self.pause
                return nil
            }
            failing = configuration.max + 1
            resumeAt = 0
        }
        let wanted = failing > configuration.max ? configuration.max : (size + failing) / 2
        return min(wanted, size + Self.stepMax)
    }

    mutating func probeSent() { isProbeOut = true }

    mutating func probeDelivered(_ probed: Int) {
        isProbeOut = false
        attempts = 0
        size = max(size, min(probed, configuration.max))
    }

    mutating func probeLost(_ probed: Int) {
        isProbeOut = false
        attempts += 1
        guard attempts >= Self.attemptsMax else { return }
        attempts = 0
        failing = max(size + 1, min(failing, probed))
    }

    /// Large packets have stopped passing: back to what passes everywhere.
    mutating func fallBack(now: UInt64) {
        guard size > configuration.base else { return }
        self = PathMTUSearch(configuration)
        resumeAt = now + Self.pause
    }
}
