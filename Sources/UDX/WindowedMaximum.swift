/// The maximum over the last stretch of time, or of round trips, in constant space: the best of the
/// window and the best of two later parts of it (Kathleen Nichols' filter, as in Linux
/// `lib/win_minmax.c`).
struct WindowedMaximum<Value: Comparable & Sendable>: Sendable {
    private struct Sample: Sendable {
        var value: Value
        var time: UInt64
    }

    private let window: UInt64
    private var best: (Sample, Sample, Sample)?

    init(window: UInt64) { self.window = window }

    /// Nil before the first sample.
    var value: Value? { best?.0.value }

    /// - Parameter time: in the units of the window; never decreases.
    mutating func add(_ value: Value, at time: UInt64) {
        let sample = Sample(value: value, time: time)
        guard let old = best, value < old.0.value, time - old.2.time <= window else {
            best = (sample, sample, sample)
            return
        }
        var (first, second, third) = old
        if value >= second.value {
            second = sample
            third = sample
        } else if value >= third.value {
            third = sample
        }
        let age = time - first.time
        if age > window {
            (first, second, third) = (second, third, sample)
            if time - first.time > window { (first, second, third) = (second, third, sample) }
        } else if second.time == first.time, age > window / 4 {
            second = sample
            third = sample
        } else if third.time == second.time, age > window / 2 {
            third = sample
        }
        best = (first, second, third)
    }
}
