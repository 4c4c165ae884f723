import Synchronization

/// A value and the lock that owns it: nothing reaches the value but `withLock`.
///
/// Like `Mutex`, but a class, and it takes values that are not `Sendable` because nothing of them
/// leaves the lock. Not recursive: a call from inside its own closure never returns.
@safe package final class Guarded<Value>: @unchecked Sendable {
    private let mutex = Mutex(())
    // Only touched while the mutex is held.
    private var value: Value

    package init(_ value: Value) { self.value = value }

    /// Runs `body` alone with the value. What it returns must not share state with it.
    package func withLock<Result, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        mutex._unsafeLock()
        defer { mutex._unsafeUnlock() }
        return try body(&value)
    }
}
