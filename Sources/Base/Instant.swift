/// A point on a monotonic clock, in nanoseconds from an origin that only its clock knows.
///
/// Cores are handed instants; only Host and the simulator make them.
package struct Instant: Hashable, Comparable, Sendable {
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static let zero = Instant(nanoseconds: 0)
    package static let distantFuture = Instant(nanoseconds: .max)

    package static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// Saturates at the ends of the clock.
    package static func + (instant: Instant, duration: Duration) -> Instant {
        let delta = duration.nanosecondsClamped
        if delta < 0 {
            let (value, overflow) = instant.nanoseconds.subtractingReportingOverflow(
                delta.magnitude)
            return Instant(nanoseconds: overflow ? 0 : value)
        }
        let (value, overflow) = instant.nanoseconds.addingReportingOverflow(delta.magnitude)
        return Instant(nanoseconds: overflow ? .max : value)
    }

    /// The time from `earlier` to `later`; negative if they are the other way round.
    package static func - (later: Instant, earlier: Instant) -> Duration {
        later >= earlier
            ? .nanoseconds(Int64(clamping: later.nanoseconds - earlier.nanoseconds))
            : .nanoseconds(-Int64(clamping: earlier.nanoseconds - later.nanoseconds))
    }
}

extension Duration {
    /// The whole duration in nanoseconds, cut to what an Int64 holds (292 years).
    package var nanosecondsClamped: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let (sum, carried) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carried ? (seconds < 0 ? .min : .max) : sum
    }
}
