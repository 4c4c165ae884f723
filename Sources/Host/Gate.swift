import Glibc

/// A mutex and a condition around a value, for threads that wait for one another.
///
/// `Mutex` has no condition to wait on. Used by the shells only, never on a hot path.
@safe
final class Gate<State>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    init(_ state: sending State) {
        self.state = state
        // Allocated here so that they never move; freed in deinit, when no thread can hold them.
        unsafe mutex = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(condition, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    /// Changes the value and wakes those who wait for it.
    func update<Result>(_ body: (inout State) -> Result) -> Result {
        // The lock is held for the whole of `body`, so access to the state is exclusive.
        unsafe pthread_mutex_lock(mutex)
        defer {
            unsafe pthread_cond_broadcast(condition)
            unsafe pthread_mutex_unlock(mutex)
        }
        return body(&state)
    }

    /// Waits until `body` gives a result, trying again after each `update`.
    @discardableResult
    func wait<Result>(_ body: (inout State) -> Result?) -> Result {
        // The lock is held whenever `body` runs.
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        while true {
            if let result = body(&state) {
                // The body may have taken something for which others wait.
                unsafe pthread_cond_broadcast(condition)
                return result
            }
            unsafe pthread_cond_wait(condition, mutex)
        }
    }
}
