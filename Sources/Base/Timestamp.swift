/// A wall-clock time as files carry it: seconds since 1970 (UTC) and nanoseconds within the second.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var seconds: Int64
    /// 0 to 999,999,999.
    package var nanoseconds: UInt32

    package init(seconds: Int64, nanoseconds: UInt32 = 0) {
        self.seconds = seconds
        self.nanoseconds = min(nanoseconds, 999_999_999)
    }

    package static let epoch = Timestamp(seconds: 0)

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.seconds != right.seconds
            ? left.seconds < right.seconds : left.nanoseconds < right.nanoseconds
    }

    /// Milliseconds since 1970, never negative; what a hybrid logical clock takes in.
    package var milliseconds: UInt64 {
        guard seconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        return overflow ? .max : whole &+ UInt64(nanoseconds / 1_000_000)
    }
}
