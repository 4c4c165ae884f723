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

    /// What stays the same when a call comes again: not the directories, which may be others by then.
    private struct Call: Hashable {
        let thread: Int32
        /// Empty if the call has none.
        let name: [UInt8]
    }

    private let refused = Mutex<[Call: Instant]>([:])
    /// So that the others need no lock.
    private let count = Atomic(0)

    /// Whether the same call was refused just now.
    func isRepeated(_ caller: Caller, _ name: [UInt8]) -> Bool {
        guard count.load(ordering: .relaxed) > 0 else { return false }
        return refused.withLock { refused in
            let time = refused[Call(thread: caller.thread, name: name)]
            return time.map { Clock.now() < $0 + Limits.time } ?? false
        }
    }

    /// - Returns: whether to answer with ESTALE: not if the same call was refused just now.
    func refuse(_ caller: Caller, _ name: [UInt8]) -> Bool {
        let now = Clock.now()
        return refused.withLock { refused in
            defer { count.store(refused.count, ordering: .relaxed) }
            let call = Call(thread: caller.thread, name: name)
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

    /// The call has got another answer.
    func forget(_ caller: Caller, _ name: [UInt8]) {
        guard count.load(ordering: .relaxed) > 0 else { return }
        refused.withLock { refused in
            refused[Call(thread: caller.thread, name: name)] = nil
            count.store(refused.count, ordering: .relaxed)
        }
    }
}
