internal import Base
internal import Glibc

/// Looks for the next request for some microseconds before its thread goes to sleep.
///
/// A program that asks for one thing after the other has its next request ready some 20 us after an answer, and to
/// wake a thread on a processor that went idle takes as long again. This saves that where the program
/// runs on another processor; on the thread's own it can only run once the thread sleeps. So it is done while one
/// program alone asks, and for as long as it mostly succeeds.
struct BusyWait {
    private enum Limits {
        static let time = Duration.microseconds(40)
        static let scoreMax = 12
        static let failure = 4
        /// Requests of one thread after which it is alone.
        static let alone = 4
        /// Answers after which it is tried again.
        static let pauseMin = 32
        static let pauseMax = 1024
    }

    private let isUsed = sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1
    /// How well it went of late.
    private var score = 0
    private var pause = Limits.pauseMin
    private var left = 0
    private var caller: UInt32 = 0
    private var requests = 0

    /// A request has come that somebody waits for.
    mutating func note(from caller: UInt32) {
        requests = caller == self.caller ? requests + 1 : 0
        self.caller = caller
    }

    /// Waits until a request can be read, or for a moment.
    mutating func wait(for device: Int32) {
        guard isUsed, requests >= Limits.alone else { return }
        if left > 0 {
            left -= 1
            return
        }
        let end = Clock.now() + Limits.time
        repeat {
            var state = pollfd(fd: device, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&state, 1, 0) != 0 { return noteSuccess() }
        } while Clock.now() < end
        noteFailure()
    }

    private mutating func noteSuccess() {
        score = min(score + 1, Limits.scoreMax)
        pause = Limits.pauseMin
    }

    private mutating func noteFailure() {
        score -= Limits.failure
        guard score < 0 else { return }
        score = 0
        left = pause
        pause = min(pause * 2, Limits.pauseMax)
    }
}
