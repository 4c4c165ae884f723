internal import Base
internal import Synchronization

/// Whose call was answered with ESTALE, so that the kernel looks up again and calls again: it does so once, and a
/// second one would reach the program. Until the program's call has ended it may be refused for any name of its
/// paths.
final class Refusals: Sendable {
    private enum Limits {
        static let count = 64
        /// How long after it the call comes again.
        static let time = Duration.seconds(1)
    }

    /// By the thread that called.
    private let refused = Mutex<[Int32: Instant]>([:])
    /// So that the others need no lock.
    private let count = Atomic(0)

    /// Whether the caller was refused just now.
    func isRepeated(_ caller: Caller) -> Bool {
        guard count.load(ordering: .relaxed) > 0 else { return false }
        return refused.withLock { refused in
            refused[caller.thread].map { Clock.now() < $0 + Limits.time } ?? false
        }
    }

    /// - Parameter isLookup: whether it is a look-up, after whose failure the kernel may try another before
    ///   the call ends.
    /// - Returns: whether to answer with ESTALE: not if the caller was refused just now.
    func refuse(_ caller: Caller, isLookup: Bool) -> Bool {
        let now = Clock.now()
        return refused.withLock { refused in
            defer { count.store(refused.count, ordering: .relaxed) }
            if let time = refused[caller.thread], now < time + Limits.time {
                if !isLookup { refused[caller.thread] = nil }
                return false
            }
            if refused.count >= Limits.count {
                refused = refused.filter { now < $0.value + Limits.time }
                if refused.count >= Limits.count { return false }
            }
            refused[caller.thread] = now
            return true
        }
    }

    /// The caller's call has ended with another answer. A look-up is only on the way to that.
    func forget(_ caller: Caller) {
        guard count.load(ordering: .relaxed) > 0 else { return }
        refused.withLock { refused in
            refused[caller.thread] = nil
            count.store(refused.count, ordering: .relaxed)
        }
    }
}
