internal import Base
internal import CFuse3
internal import Glibc

/// The clocks of this machine.
enum Clock {
    static func now() -> Instant {
        let time = read(CLOCK_MONOTONIC)
        return Instant(
            nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }

    /// As the kernel writes it into files: an exact one would be ahead of what it says next.
    static func wallTime() -> Timestamp {
        let time = read(CLOCK_REALTIME_COARSE)
        return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
    }

    private static func read(_ clock: clockid_t) -> timespec {
        var time = timespec()
        // The pointer is to a local; these two clocks exist on every Linux.
        unsafe clock_gettime(clock, &time)
        return time
    }
}
