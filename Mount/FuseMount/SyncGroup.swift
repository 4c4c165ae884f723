internal import Base
internal import Chunks
internal import Synchronization

/// Syncs a chunk storage for many at once: who comes while a sync runs shares the next one.
final class SyncGroup: Sendable {
    private final class Round: Sendable {
        let done = Latch()
        let failure = Mutex<StorageError?>(nil)
    }

    private struct State {
        var isRunning = false
        var next: Round?
    }

    private let storage: any ChunkStorage
    private let state = Mutex(State())

    init(_ storage: any ChunkStorage) {
        self.storage = storage
    }

    /// Returns when everything appended before the call is durable.
    func sync() throws(StorageError) {
        let joined: Round? = state.withLock { state in
            guard state.isRunning else {
                state.isRunning = true
                return nil
            }
            let round = state.next ?? Round()
            state.next = round
            return round
        }
        guard let joined else {
            // The first comer syncs for itself, then once more for all who came meanwhile.
            let result = Result { () throws(StorageError) in try storage.sync() }
            runWaiting()
            return try result.get()
        }
        joined.done.wait()
        if let failure = joined.failure.withLock({ $0 }) { throw failure }
    }

    private func runWaiting() {
        while true {
            let round: Round? = state.withLock { state in
                let round = state.next
                state.next = nil
                state.isRunning = round != nil
                return round
            }
            guard let round else { return }
            do {
                try storage.sync()
            } catch {
                round.failure.withLock { $0 = error }
            }
            round.done.open()
        }
    }
}
