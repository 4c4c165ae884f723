internal import Base
internal import Synchronization

/// Whose call was answered with ESTALE, so that the kernel looks up again and calls again: it does so once, and a
/// second one would reach the program.
final class Refusals: Sendable {
    private enum Limits {
        static let count = 64
        /// How long after it the call comes again.
        static let time = Duration.seconds(1)
    }

    private struct Call: Hashable {
        let thread: Int32
        let place: NamePlace
    }

    private let refused = Mutex<[Call: Instant]>([:])

    /// - Parameter place: the name that the call is about.
    /// - Returns: false if the same call was refused just now.
    func refuse(_ caller: Caller, at place: NamePlace) -> Bool {
        let call = Call(thread: caller.thread, place: place)
        let now = Clock.now()
        return refused.withLock { refused in
            if let time = refused.removeValue(forKey: call), now < time + Limits.time {
                return false
            }
            if refused.count >= Limits.count {
                refused = refused.filter { now < $0.value + Limits.time }
                if refused.count >= Limits.count { return false }
            }
            refused[call] = now
            return true
        }
    }
}
