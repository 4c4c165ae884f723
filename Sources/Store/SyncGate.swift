internal import Base
internal import Synchronization

/// Lets threads that want the same sync share it.
///
/// A thread that arrives while a sync runs cannot rely on it, as its bytes may have come too late;
/// but all that arrive meanwhile rely on the next one. After a failed sync every later one fails
/// too: the kernel may have dropped the pages it could not write, and would call them synced. Only
/// `.full` may be tried again: it comes before anything was to be synced.
final class SyncGate: Sendable {
    private struct State {
        /// The arrivals that a finished sync covers.
        var covered: UInt64 = 0
        var failure: StorageError?
    }

    private let arrivals = Atomic<UInt64>(0)
    // Held across the sync on purpose: waiting for it is what the callers came for.
    private let state = Mutex(State())

    /// Returns when a sync that began after the call has succeeded.
    func pass(_ sync: () throws(StorageError) -> Void) throws(StorageError) {
        let arrival = arrivals.add(1, ordering: .sequentiallyConsistent).newValue
        try state.withLock { (state) throws(StorageError) in
            if let failure = state.failure { throw failure }
            guard state.covered < arrival else { return }
            let covering = arrivals.load(ordering: .sequentiallyConsistent)
            do throws(StorageError) {
                try sync()
            } catch {
                if error != .full { state.failure = error }
                throw error
            }
            state.covered = covering
        }
    }
}
