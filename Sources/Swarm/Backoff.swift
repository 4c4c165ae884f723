import Base

/// Waits that grow: the n-th is `first` times `growth` to the n-th, at most `longest`, and then a
/// random part of the upper half, so that devices that failed together do not return together.
struct Backoff {
    let first: Duration
    let longest: Duration
    /// In quarters: 6 grows by half each time, 8 doubles.
    let growthQuarters: Int64

    /// - Parameter failures: those before this one.
    func wait(
        after failures: Int, using random: inout some RandomNumberGenerator
    ) -> Duration {
        let longest = longest.nanosecondsClamped
        var nanoseconds = min(first.nanosecondsClamped, longest)
        for _ in 0..<max(0, failures) {
            let (grown, overflow) = nanoseconds.multipliedReportingOverflow(by: growthQuarters)
            nanoseconds = overflow ? longest : min(longest, grown / 4)
            if nanoseconds == longest { break }
        }
        let half = max(1, nanoseconds / 2)
        return .nanoseconds(half + Int64.random(in: 0...half, using: &random))
    }
}
