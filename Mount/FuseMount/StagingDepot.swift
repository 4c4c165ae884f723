internal import Base
internal import Share
internal import Synchronization

/// Where dirty bytes wait: bounds them together, makes staging files, gives their space back once no
/// crash could need them.
///
/// A staging file outlives the version that replaces it until that version and the removal of its
/// record are durable: else a crash in between would find the record and no bytes. After that another
/// file may use it, at once or soon: what lies on the disk and in the page cache already costs far less
/// to write over than a new file costs to fill.
final class StagingDepot: Sendable {
    private enum Retired: Sendable {
        case file(StagedData, since: Instant, isSpare: Bool)
        case ranges(since: Instant, punch: @Sendable () -> Void)

        var since: Instant {
            switch self {
            case .file(_, let since, _), .ranges(let since, _): since
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
    private let memoryUsed = Atomic<UInt64>(0)
    private let room = Mutex(Room())
    private let retired = Mutex<[Retired]>([])
    private let spares = Mutex(StagingSpares())
    let bytesMax: UInt64
    /// Fewer bytes of a file are copied into chunks.
    let adoptedBytesMin: UInt64
    private let memoryMax: Int

    /// - Parameter memoryMax: bytes that are held in memory; soft by those of one file.
    init(
        area: any StagingArea, bytesMax: UInt64, memoryMax: Int = MountLimits.stagedMemoryMax,
        adoptedBytesMin: UInt64 = .max
    ) {
        self.area = area
        self.bytesMax = bytesMax
        self.memoryMax = memoryMax
        self.adoptedBytesMin = adoptedBytesMin
    }

    var journal: (any StagingJournal)? { area.journal }

    /// Bytes that no version holds yet, over all files.
    var bytesUsed: UInt64 { used.load(ordering: .relaxed) }

    /// Room for dirty bytes of a file.
    ///
    /// - Parameter bytes: about how many there will be, at the least.
    func make(expecting bytes: UInt64) -> StagedData {
        StagedData(expecting: bytes, depot: self)
    }

    /// A staging file, new or used before.
    ///
    /// - Parameter bytes: about how long it will be, at the least.
    func makeFile(expecting bytes: UInt64) throws(StorageError) -> StagingSpares.Spare {
        if let spare = spares.withLock({ $0.take(for: bytes) }) { return spare }
        do throws(StorageError) {
            return .init(file: try area.create(), size: 0)
        } catch .full where dropSpares() {
            return .init(file: try area.create(), size: 0)
        }
    }

    /// Opens what an earlier run left, and cuts off what lies past `size`.
    func open(_ id: UInt64, size: UInt64) throws(StorageError) -> StagedData {
        let file = try area.open(id)
        try file.truncate(to: size)
        return StagedData(file, size: size, depot: self)
    }

    func openFile(_ id: UInt64) throws(StorageError) -> any StagingFile { try area.open(id) }

    /// Gives the space of files that nobody uses back to the disk.
    ///
    /// - Returns: whether there were any.
    @discardableResult
    func dropSpares(unusedSince deadline: Instant = .distantFuture) -> Bool {
        let dropped = spares.withLock { $0.drop(unusedSince: deadline) }
        for spare in dropped { spare.file.remove() }
        return !dropped.isEmpty
    }

    var bytesInMemory: UInt64 { memoryUsed.load(ordering: .relaxed) }

    /// Whether further bytes may be held in memory.
    var hasMemory: Bool { bytesInMemory < UInt64(memoryMax) }

    func countMemory(from old: Int, to new: Int) {
        if new >= old {
            memoryUsed.wrappingAdd(UInt64(new - old), ordering: .relaxed)
        } else {
            memoryUsed.wrappingSubtract(UInt64(old - new), ordering: .relaxed)
        }
    }

    func removeAll(except kept: Set<UInt64>) throws(StorageError) {
        try area.removeAll(except: kept)
    }

    /// Removes the bytes once `release` runs after a sync; at once where no record can name them.
    ///
    /// - Parameter isSpare: whether another may use the staging file then: only if no record names it,
    ///   or one that does was replaced before the call.
    func retire(_ staged: StagedData, isSpare: Bool, now: Instant) {
        guard staged.file != nil else {
            staged.count(0)
            return staged.remove()
        }
        let isSpare = isSpare && !staged.isAdopted
        retired.withLock { $0.append(.file(staged, since: now, isSpare: isSpare)) }
    }

    /// Runs `punch` once `release` runs after a sync.
    func retire(now: Instant, punch: @escaping @Sendable () -> Void) {
        retired.withLock { $0.append(.ranges(since: now, punch: punch)) }
    }

    /// Whether something retired at or before `deadline` waits for a sync.
    func hasRetired(by deadline: Instant) -> Bool {
        retired.withLock { $0.first.map { $0.since <= deadline } ?? false }
    }

    /// Gives back, or keeps for others, what was retired before `sync` was called.
    func release(now: Instant, after sync: () throws(VolumeError) -> Void) throws(VolumeError) {
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
            case .file(let staged, _, let isSpare):
                staged.count(0)
                if isSpare { keep(staged, now: now) } else { staged.remove() }
            case .ranges(_, let punch): punch()
            }
        }
    }

    private func keep(_ staged: StagedData, now: Instant) {
        guard let spare = staged.takeFile() else { return }
        let dropped = spares.withLock { $0.keep(spare, bytesMax: bytesMax / 2, now: now) }
        for spare in dropped { spare.file.remove() }
    }

    /// To be called by `StagedData` when it counts.
    func recount(from old: UInt64, to new: UInt64) {
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
