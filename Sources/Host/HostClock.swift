package import Base
import Crypto
import Glibc
import Share

/// The machine's clocks, the system's randomness, and the event loop's bell.
package final class HostClock: ShareEnvironment {
    private let loop: EventLoop

    package init(loop: EventLoop) { self.loop = loop }

    package func now() -> Instant { monotonicNow() }
    package func wallTime() -> Timestamp { wallNow() }
    package func wake() { loop.wake() }

    package func randomBytes(_ count: Int) -> [UInt8] {
        var random = SecureRandom()
        return random.bytes(count)
    }
}

/// CLOCK_MONOTONIC: since some moment before the boot; stands still while the machine sleeps.
package func monotonicNow() -> Instant {
    var time = timespec()
    // Cannot fail with a known clock and a pointer to a local.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(
        nanoseconds: UInt64(clamping: time.tv_sec) &* 1_000_000_000
            &+ UInt64(clamping: time.tv_nsec))
}

/// CLOCK_REALTIME_COARSE: the time of day (UTC) as the kernel writes it into files, some milliseconds behind the
/// exact one. A file made here and one that the kernel has written since must not seem made in the other order.
package func wallNow() -> Timestamp {
    var time = timespec()
    // Cannot fail with a known clock and a pointer to a local.
    unsafe clock_gettime(CLOCK_REALTIME_COARSE, &time)
    return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: UInt32(clamping: time.tv_nsec))
}
