internal import Base
internal import Share
internal import Synchronization

/// Large writes to one staging file that are on their way to the disk outside of the file's lock: a disk
/// takes several at once in little more time than one.
///
/// The file counts their bytes as written. Whoever wants some of them waits for them; if they failed,
/// whoever wants them fails, until the file has been told.
final class WritesInFlight: Sendable {
    private struct Flight {
        let number: UInt64
        let range: Range<UInt64>
        var failure: StorageError?
        var hasLanded: Bool { failure != nil }
    }

    private struct State {
        var flights: [Flight] = []
        var last: UInt64 = 0
        var waiting: [Latch] = []
    }

    private let state = Mutex(State())
    /// So that the others need no lock.
    private let count = Atomic(0)

    /// - Precondition: none is under way there: see `wait`.
    func begin(_ range: Range<UInt64>) -> UInt64 {
        state.withLock { state in
            state.last += 1
            state.flights.append(Flight(number: state.last, range: range))
            count.store(state.flights.count, ordering: .releasing)
            return state.last
        }
    }

    func end(_ number: UInt64) {
        land(number) { flights, index in flights.remove(at: index) }
    }

    /// `forget` must follow.
    func fail(_ number: UInt64, _ failure: StorageError) {
        land(number) { flights, index in flights[index].failure = failure }
    }

    /// The file knows that it has not these bytes.
    func forget(_ number: UInt64) { end(number) }

    private func land(_ number: UInt64, _ change: (inout [Flight], Int) -> Void) {
        let waiting = state.withLock { state in
            if let index = state.flights.firstIndex(where: { $0.number == number }) {
                change(&state.flights, index)
            }
            count.store(state.flights.count, ordering: .releasing)
            defer { state.waiting = [] }
            return state.waiting
        }
        for latch in waiting { latch.open() }
    }

    /// Waits until none is under way in a range.
    ///
    /// - Throws: why one failed there.
    func wait(for range: Range<UInt64> = 0..<UInt64.max) throws(StorageError) {
        if let failure = waitForEnd(in: range) { throw failure }
    }

    /// As `wait`.
    ///
    /// - Returns: why one failed.
    @discardableResult
    func waitForEnd(in range: Range<UInt64> = 0..<UInt64.max) -> StorageError? {
        guard count.load(ordering: .acquiring) > 0 else { return nil }
        while true {
            let (failure, latch) = state.withLock { state -> (StorageError?, Latch?) in
                let found = state.flights.filter { $0.range.overlaps(range) }
                guard found.contains(where: { !$0.hasLanded }) else {
                    return (found.first?.failure, nil)
                }
                let latch = Latch()
                state.waiting.append(latch)
                return (nil, latch)
            }
            guard let latch else { return failure }
            latch.wait()
        }
    }
}

/// A write that has begun.
struct WriteInFlight: Sendable {
    /// What must stand again if it fails.
    struct Before: Sendable {
        var size: UInt64 = 0
        /// What of the range was not dirty.
        var clean = RangeSet()
        /// What of it was zeros.
        var zeroed: [Range<UInt64>] = []
    }

    let number: UInt64
    let range: Range<UInt64>
    let staged: StagedData
    let file: any StagingFile
    var before = Before()

    /// Puts the bytes on the disk; to be called once, without the file's lock.
    ///
    /// - Parameter bytes: those that it was begun with.
    /// - Throws: what the disk says; then the file must be told: see `Overlay.lose`.
    func finish(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        do throws(StorageError) {
            try unsafe staged.write(bytes, at: range.lowerBound, to: file)
        } catch {
            staged.flights.fail(number, error)
            throw error
        }
        staged.flights.end(number)
    }
}
