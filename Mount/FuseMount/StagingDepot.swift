internal import Base
internal import Share
internal import Synchronization

/// A staging file and how many of its bytes count against the bound on unpublished bytes.
final class StagedData: Sendable {
    let file: any StagingFile
    private let depot: StagingDepot
    private let counted = Atomic<UInt64>(0)

    fileprivate init(file: any StagingFile, depot: StagingDepot) {
        self.file = file
        self.depot = depot
    }

    deinit { count(0) }

    var byteCount: UInt64 { counted.load(ordering: .relaxed) }

    /// Says how many bytes the file holds that no version has.
    func count(_ bytes: UInt64) {
        depot.recount(from: counted.exchange(bytes, ordering: .relaxed), to: bytes)
    }

    /// Reads at `offset`, with zeros past the staging file's end.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError)
    {
        let count = try unsafe file.read(at: offset, into: buffer)
        guard count < buffer.count else { return }
        // Within the buffer: `count` is less than its size.
        unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).initializeMemory(
            as: UInt8.self, repeating: 0)
    }
}

/// Where dirty bytes wait: makes staging files, bounds them together, gives their space back once no
/// crash could need them.
///
/// A staging file outlives the version that replaces it until that version and the removal of its
/// record are durable: else a crash in between would find the record and no bytes.
final class StagingDepot: Sendable {
    private enum Retired: Sendable {
        case file(StagedData, since: Instant)
        case ranges(since: Instant, punch: @Sendable () -> Void)

        var since: Instant {
            switch self {
            case .file(_, let since), .ranges(let since, _): since
            }
        }
    }

    private struct Room {
        var progress: UInt64 = 0
        var waiting: [Latch] = []
        var waitingCount = 0
    }

    private let area: any StagingArea
    private let used = Atomic<UInt64>(0)
    private let room = Mutex(Room())
    private let retired = Mutex<[Retired]>([])
    let bytesMax: UInt64

    init(area: any StagingArea, bytesMax: UInt64) {
        self.area = area
        self.bytesMax = bytesMax
    }

    /// Bytes that no version holds yet, over all files.
    var bytesUsed: UInt64 { used.load(ordering: .relaxed) }

    func create() throws(StorageError) -> StagedData {
        StagedData(file: try area.create(), depot: self)
    }

    func open(_ id: UInt64) throws(StorageError) -> StagedData {
        StagedData(file: try area.open(id), depot: self)
    }

    func removeAll(except kept: Set<UInt64>) throws(StorageError) {
        try area.removeAll(except: kept)
    }

    /// Removes the file once `release` runs after a sync.
    func retire(_ staged: StagedData, now: Instant) {
        retired.withLock { $0.append(.file(staged, since: now)) }
    }

    /// Runs `punch` once `release` runs after a sync.
    func retire(now: Instant, punch: @escaping @Sendable () -> Void) {
        retired.withLock { $0.append(.ranges(since: now, punch: punch)) }
    }

    /// Whether something retired at or before `deadline` waits for a sync.
    func hasRetired(by deadline: Instant) -> Bool {
        retired.withLock { $0.first.map { $0.since <= deadline } ?? false }
    }

    /// Gives back what was retired before `sync` was called.
    func release(after sync: () throws(VolumeError) -> Void) throws(VolumeError) {
        let due = retired.withLock { retired in
            let due = retired
            retired = []
            return due
        }
        guard !due.isEmpty else { return }
        do {
            try sync()
        } catch {
            retired.withLock { $0.insert(contentsOf: due, at: 0) }
            throw error
        }
        for item in due {
            switch item {
            case .file(let staged, _):
                staged.count(0)
                staged.file.remove()
            case .ranges(_, let punch): punch()
            }
        }
    }

    fileprivate func recount(from old: UInt64, to new: UInt64) {
        if new >= old {
            used.wrappingAdd(new - old, ordering: .relaxed)
            return
        }
        used.wrappingSubtract(old - new, ordering: .relaxed)
        let waiting = room.withLock { room in
            room.progress &+= 1
            let waiting = room.waiting
            room.waiting = []
            return waiting
        }
        for latch in waiting { latch.open() }
    }

    /// Blocks while too many bytes wait, unless as many as may do so already.
    ///
    /// - Parameter isInterrupted: asked now and then; true ends the wait.
    /// - Throws: `full` when nothing moved for `MountLimits.writerPatience`.
    func waitForRoom(isInterrupted: () -> Bool) throws(StorageError) {
        let isAdmitted = room.withLock { room in
            guard room.waitingCount < MountLimits.waitingWritersMax else { return false }
            room.waitingCount += 1
            return true
        }
        guard isAdmitted else { return }
        defer { room.withLock { $0.waitingCount -= 1 } }
        var deadline = Clock.now() + MountLimits.writerPatience
        var progress = room.withLock { $0.progress }
        while bytesUsed >= bytesMax, !isInterrupted() {
            let latch = Latch()
            let seen = room.withLock { room in
                room.waiting.append(latch)
                return room.progress
            }
            let now = Clock.now()
            if seen != progress {
                progress = seen
                deadline = now + MountLimits.writerPatience
            }
            guard now < deadline else { throw .full }
            latch.wait(until: now + .milliseconds(100))
        }
    }
}
