import Base

/// How fast one peer answers what it is asked for: of the last seconds in which anything was asked, those that count half
/// as much with every few more.
struct LinePace {
    private enum Limits {
        /// What came longer ago than about this counts less and less.
        static let memory = Duration.seconds(4)
        /// Nothing is said of a peer that was asked a moment ago.
        static let patience = Duration.seconds(1)
    }

    private var bytes = 0
    private var busy = Duration.zero
    /// The last answer, or since when there is a question; nil while there is none.
    private var since: Instant?

    /// Something is asked.
    mutating func asked(now: Instant) { since = since ?? now }

    /// - Parameters:
    ///   - bytes: of what came; nil if the time does not count.
    ///   - isDone: whether nothing else is asked.
    mutating func answered(bytes: Int?, isDone: Bool, now: Instant) {
        guard let since else { return }
        self.since = isDone ? nil : now
        guard let bytes else { return }
        busy += now - since
        self.bytes += bytes
        guard busy > Limits.memory else { return }
        busy /= 2
        self.bytes /= 2
    }

    /// Bytes per second, what has been waited for since the last answer included; nil if that cannot be told yet.
    func rate(now: Instant) -> Double? {
        let time = busy + (since.map { now - $0 } ?? .zero)
        guard bytes > 0 || time >= Limits.patience else { return nil }
        // A clock may stand still while chunks come in.
        return Double(bytes) / max(time / .seconds(1), 1e-6)
    }
}
