internal import Base
internal import CSQLite
internal import Synchronization

/// Moves pages from a database's WAL into the database while its connection goes on: a passive
/// checkpoint (https://www.sqlite.org/wal.html) by a connection of its own, on another thread.
///
/// What is written to the WAL meanwhile is left to the next pass or, when it is little, to the connection itself.
@safe final class PageMover: @unchecked Sendable {
    /// What the holder of the lock has; the handle is nobody else's.
    @safe private struct State: @unchecked Sendable {
        /// Never writes; nil once closed.
        var handle: OpaquePointer?
        /// Pages from the start of the WAL that are in the database, synced.
        var moved: Int32 = 0
        var failure: StorageError?
    }

    private let path: String
    // Held during a pass on purpose: whoever finds it taken knows that one is under way.
    private let state: Mutex<State>
    private let isAsked = Atomic(false)

    /// - Parameter handle: a connection for one thread at a time.
    init(owning handle: OpaquePointer, path: String) {
        self.path = path
        state = unsafe Mutex(State(handle: handle))
    }

    /// Waits for a pass that is under way; there is none later.
    func close() {
        state.withLock { state in
            unsafe sqlite3_close_v2(state.handle)
            unsafe state.handle = nil
        }
    }

    /// Makes a pass on another thread: of all that is committed when it begins, up to where the transaction began
    /// that is open then.
    ///
    /// - Returns: whether there will be one.
    func begin(_ elsewhere: Elsewhere) -> Bool {
        isAsked.store(true, ordering: .relaxed)
        let isTaken = elsewhere { [self] in
            move()
            isAsked.store(false, ordering: .releasing)
        }
        if !isTaken { isAsked.store(false, ordering: .relaxed) }
        return isTaken
    }

    private func move() {
        state.withLock { state in
            guard let handle = unsafe state.handle else { return }
            var moved: Int32 = 0
            // The number is written during the call only.
            let code = unsafe sqlite3_wal_checkpoint_v2(
                handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, &moved)
            // Busy: the connection itself is at it.
            guard code != SQLITE_OK, code & 0xff != SQLITE_BUSY else {
                state.moved = max(moved, 0)
                return
            }
            // The message lives until the next call on the connection; it is copied.
            let message = unsafe sqlite3_errmsg(handle).map { unsafe String(cString: $0) } ?? ""
            state.moved = 0
            state.failure = .sqlite(
                code: code, systemCode: unsafe sqlite3_system_errno(handle), message: message,
                path: path)
        }
    }

    /// Pages of the WAL that were moved; nil while a pass is under way or about to be.
    ///
    /// - Throws: why the last pass failed, once.
    func moved() throws(StorageError) -> Int32? {
        guard !isAsked.load(ordering: .acquiring) else { return nil }
        return try state.withLock { (state) throws(StorageError) in
            if let failure = state.failure {
                state.failure = nil
                throw failure
            }
            return state.moved
        }
    }

    /// The WAL is about to begin anew: what was moved of the old one counts no more. Waits for a pass under way.
    func forget() { state.withLock { $0.moved = 0 } }
}
