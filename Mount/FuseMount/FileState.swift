internal import Base
internal import Chunks
internal import Share
internal import Synchronization

/// One file that is open or has bytes no version holds yet: the version below, what was written over
/// it, and where publishing that stands.
///
/// The lock of its state is held while staging is read or written, never while the volume or the table
/// is called.
/// `pin` and `unpin` belong to `InodeTable`.
final class FileState: Sendable {
    /// How far publishing has come. The number tells a job whether the file still waits for it.
    enum Publication: Equatable {
        case idle
        /// Nobody may begin: the file's name is being taken away.
        case held
        case queued(UInt64)
        case running(UInt64)
        /// The bytes are in chunks; whoever takes the file's name away need not wait for the rest.
        case stored(UInt64)
        /// The job waits for chunks of the base from the network.
        case fetching(UInt64)
    }

    struct State {
        var node: NodeID
        var reader: ContentReader?
        /// The versions whose bytes are shown: the parents of the next one.
        var parents: [UInt64] = []
        var overlay = Overlay(base: .empty)
        /// Counts changes of content; equal to `published` when a version holds everything.
        var generation: UInt64 = 0
        var published: UInt64 = 0
        var recorded: UInt64 = 0
        /// Over the base as it is, what the last record whose bytes were synced said.
        var syncedRecord: StagedFile.Synced?
        /// The newest generation that a record, or the journal over one, and synced bytes hold.
        var synced: UInt64 = 0
        /// What was written since the last record whose bytes were synced, or the last entry of the
        /// journal; nil if more changed than an entry can say.
        var unsynced: RangeSet?
        /// Counts what makes the journal's entries worthless: records, and other content below.
        var recordings: UInt64 = 0
        /// Whether the last record is on the disk: only then the journal may go on from it.
        var isRecordDurable = false
        var hasRecord = false
        var modified = Timestamp.epoch
        var changed = Timestamp.epoch
        /// Counts explicit settings of `modified`.
        var modifiedSettings: UInt64 = 0
        /// The kernel has not told the time of the last write yet.
        var isTimeUntold = false
        var lastWrite = Instant.zero
        var unrecordedSince = Instant.zero
        var retryAt = Instant.zero
        var publication = Publication.idle
        /// What the job works on: the bytes as they were when it was asked for.
        var work: Work?
        var isCancelled = false
        /// Publish again as soon as the publication under way has ended.
        var isWanted = false
        var waiting: [@Sendable (VolumeError?) -> Void] = []
        var isOrphan = false
        /// What was shown before the content that the kernel is being made to show.
        var before: Before?
        /// Bytes that the kernel had counted in did not arrive.
        var isKernelSizeWrong = false
        /// Counts remote changes of the content, so that a load that they overtook is repeated.
        var remoteChanges: UInt64 = 0
        /// A remote change could not be shown because the file was dirty.
        var isOutdated = false
        /// The kernel may have pages of an earlier content.
        var arePagesOld = false
        /// Setuid or setgid bits may have to be cleared by a write of an ordinary user.
        var mayHaveSetID = true
        /// A capability may have to be removed by a write.
        var mayHaveCapability = true
        /// The kernel was shown attributes that no version has yet.
        var wasShown = false
        /// What stat showed last: for a file that was removed elsewhere and is open here.
        var lastAttributes: Attributes?

        var isDirty: Bool { generation != published }
        var isLoaded: Bool { reader != nil }
    }

    /// A version that another is taking the place of.
    struct Before {
        let reader: ContentReader?
        let parents: [UInt64]
        let overlay: Overlay
        let modified: Timestamp
    }

    let id: InodeID
    let hasKernelTimes: Bool
    private let pins = Atomic<Int>(0)
    private let writers = Atomic<Int>(0)
    private let busy = Atomic<Bool>(false)
    /// Held while the volume is told of the file's bytes, so that it hears records, versions and the
    /// end of both in the order in which they were made. Taken before the state's lock.
    let telling = Mutex<Void>(())
    private let state: Mutex<State>

    /// - Parameter hasKernelTimes: whether the kernel sets the time of modification itself, and tells.
    init(id: InodeID, node: NodeID, hasKernelTimes: Bool = false) {
        self.id = id
        self.hasKernelTimes = hasKernelTimes
        state = Mutex(State(node: node))
    }

    // MARK: Lifetime

    /// Only under the table's lock.
    func pin() { pins.wrappingAdd(1, ordering: .acquiringAndReleasing) }
    func unpin() { pins.wrappingSubtract(1, ordering: .acquiringAndReleasing) }

    var isPinned: Bool { pins.load(ordering: .acquiring) > 0 }

    /// Opens that may write; while there is one, the kernel may have bytes that we have not.
    var hasWriters: Bool { writers.load(ordering: .acquiring) > 0 }
    func beginWriting() { writers.wrappingAdd(1, ordering: .acquiringAndReleasing) }
    func endWriting() { writers.wrappingSubtract(1, ordering: .acquiringAndReleasing) }

    /// Whether nothing would be lost by forgetting this.
    var isIdle: Bool { !isPinned && !busy.load(ordering: .acquiring) }

    /// Every access goes through here, so that `busy` is kept.
    func access<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try state.withLock { (state) throws(Failure) in
            defer {
                let isBusy = state.isDirty || state.publication != .idle
                busy.store(isBusy, ordering: .releasing)
            }
            // The lock's closure wants a result that nobody else holds; all of ours are Sendable or
            // made inside.
            nonisolated(unsafe) let result = try body(&state)
            return unsafe result
        }
    }

    var node: NodeID { access { $0.node } }
    var isDirty: Bool { access { $0.isDirty } }

    /// Bytes that no version holds yet: at least 1 while there is anything to publish.
    var unpublishedBytes: UInt64 {
        access { state in
            guard state.isDirty, !state.isOrphan else { return 0 }
            let bytes = state.overlay.memory.map { UInt64($0.count) }
            return max(1, bytes ?? state.overlay.dirty.byteCount)
        }
    }
    var isOrphan: Bool { access { $0.isOrphan } }

    // MARK: The version below

    /// Makes sure that the content is known.
    ///
    /// - Parameter pages: the mark of the content that the kernel may have pages of.
    func load(
        from volume: any Volume, chunks: any ChunkStorage, orphan: Orphan?, pages: UInt64
    ) throws(VolumeError) {
        while true {
            let (isLoaded, node, changes) = access { ($0.isLoaded, $0.node, $0.remoteChanges) }
            if isLoaded { return }
            let opened =
                if let content = orphan?.content { content } else {
                    try volume.openContent(of: node)
                }
            let isDone = access { state in
                guard !state.isLoaded, changes == state.remoteChanges else { return false }
                state.show(opened, chunks: chunks)
                state.arePagesOld = pages != state.mark
                return true
            }
            if isDone { return }
        }
    }

    /// Takes up content that is known without asking.
    func load(_ opened: OpenedContent, chunks: any ChunkStorage) {
        access { state in
            if !state.isLoaded { state.show(opened, chunks: chunks) }
        }
    }

    /// Takes up what an earlier run left.
    func restore(_ record: StagedFile, staged: StagedData, chunks: any ChunkStorage, now: Instant) {
        access { state in
            state.reader = ContentReader(record.base, storage: chunks)
            state.parents = record.parents
            state.overlay = Overlay(
                base: record.base, size: record.size, dirty: record.dirty, staged: staged)
            state.modified = record.modified
            state.changed = record.modified
            state.generation = 1
            state.recorded = 1
            state.hasRecord = true
            if record.isSynced {
                state.synced = 1
                state.syncedRecord = StagedFile.Synced(record)
            } else {
                state.syncedRecord = record.synced
            }
            state.lastWrite = now
        }
    }

    /// Shows what the volume shows since a remote change, unless there are bytes to keep.
    ///
    /// - Returns: whether the kernel must drop what it keeps of the content.
    func refresh(from volume: any Volume, chunks: any ChunkStorage) -> Bool {
        let (node, changes, isClean, isLoaded) = access { state in
            state.remoteChanges += 1
            let isClean = !state.isDirty && state.publication == .idle && !state.isOrphan
            if !isClean { state.isOutdated = true }
            return (state.node, state.remoteChanges, isClean, state.isLoaded)
        }
        guard isClean else { return false }
        // Pages may be left from an earlier opening; whoever is loading it starts again.
        guard isLoaded else { return true }
        // A node that is gone keeps showing what was open.
        guard let opened = try? volume.openContent(of: node) else { return false }
        return access { state in
            guard changes == state.remoteChanges else { return false }
            guard !state.isDirty, state.publication == .idle, !state.isOrphan else {
                state.isOutdated = true
                return false
            }
            state.before = Before(
                reader: state.reader, parents: state.parents, overlay: state.overlay,
                modified: state.modified)
            state.show(opened, chunks: chunks)
            state.arePagesOld = true
            return true
        }
    }

    /// The kernel has no page of the old content any more.
    ///
    /// - Returns: false if somebody wrote on the old content meanwhile: then that is shown again.
    func endSwitch() -> Bool {
        access { state in
            defer { state.before = nil }
            return state.before != nil || !state.isOutdated
        }
    }

    /// Whether a remote change must wait; if so it is remembered.
    func keepsBytes() -> Bool {
        access { state in
            let isClean = !state.isDirty && state.publication == .idle && !state.isOrphan
            if !isClean {
                state.remoteChanges += 1
                state.isOutdated = true
            }
            return !isClean
        }
    }

    // MARK: The kernel's pages

    /// Names the content shown: the kernel's pages of another mark are old.
    ///
    /// Invalidations say so too, but a program may open the file before they get there.
    var mark: UInt64 { access { $0.arePagesOld ? 0 : $0.mark } }

    /// Whether an opener may use the pages that the kernel has; if not, opening drops them.
    func takePages() -> Bool {
        access { state in
            defer { state.arePagesOld = false }
            return !state.arePagesOld
        }
    }

    // MARK: What stat shows

    /// Puts size and times of what is open over those of the volume.
    func patch(_ attributes: inout Attributes) {
        access { state in
            guard state.isLoaded else { return }
            attributes.size = state.overlay.size
            if state.isDirty {
                attributes.modified = state.modified
                attributes.changed = max(attributes.changed, state.changed)
                state.wasShown = true
            }
            state.lastAttributes = attributes
        }
    }

    /// What a file shows that others removed while it was open here.
    var attributesWithoutName: Attributes? {
        access { state in
            var attributes = state.lastAttributes
            attributes?.links = 0
            attributes?.size = state.overlay.size
            return attributes
        }
    }

    /// Whether the kernel owes the time of the last write: it tells when a file is closed, but not for a
    /// program that is killed meanwhile, and never again.
    var isTimeUntold: Bool { access { $0.isTimeUntold } }

    // MARK: Privileges that writing takes away

    /// Whether a write must look for setuid and setgid bits, or for a capability.
    ///
    /// - Parameter byRoot: root keeps setuid and setgid bits when it writes.
    func mayHavePrivileges(byRoot: Bool) -> Bool {
        access { $0.mayHaveCapability || $0.mayHaveSetID && !byRoot }
    }

    /// Whether it was looked for and found to have no capability.
    var hasNoCapability: Bool { access { !$0.mayHaveCapability } }

    /// The privileges were looked for: what is left.
    func notePrivileges(setID: Bool, capability: Bool) {
        access { state in
            state.mayHaveSetID = setID
            state.mayHaveCapability = capability
        }
    }

    /// Attributes changed: the next write looks again.
    func expectPrivileges() { notePrivileges(setID: true, capability: true) }

    /// Notes an explicit modification time.
    ///
    /// - Returns: whether the next version will carry it; else the volume must be told.
    func setModified(_ time: Timestamp, wallTime: Timestamp) -> Bool {
        access { state in
            state.isTimeUntold = false
            guard state.isDirty else { return false }
            state.modified = time
            state.changed = wallTime
            state.modifiedSettings += 1
            return true
        }
    }

    // MARK: Reading

    enum ReadOutcome {
        case bytes(Int)
        case missing([ChunkReference])
    }

    var size: UInt64 { access { $0.overlay.size } }

    /// What the kernel thinks the size is; no size at all if that is not known.
    var kernelSize: UInt64 { access { $0.isKernelSizeWrong ? .max : $0.overlay.size } }

    /// Bytes that a program wrote could not be taken: the kernel has counted them in.
    func noteLoss() { access { $0.isKernelSizeWrong = true } }

    /// Reads what is shown; short only at the end of the file.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> ReadOutcome
    {
        var gaps: [Range<UInt64>] = []
        let (count, reader) = try access {
            (state) throws(StorageError) -> (Int, ContentReader?) in
            let size = state.overlay.size
            guard offset < size else { return (0, nil) }
            let count = Int(min(UInt64(buffer.count), size - offset))
            // `count` is at most the buffer's size.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try unsafe state.overlay.read(
                offset..<offset + UInt64(count), into: part, gaps: &gaps)
            return (count, state.reader)
        }
        guard let reader else { return .bytes(count) }
        if let missing = try unsafe reader.fill(gaps, of: buffer, from: offset) {
            return .missing(missing)
        }
        return .bytes(count)
    }

    /// Where the bytes of a read stand in packs.
    ///
    /// - Returns: nil if they must be read: some are staged, or elsewhere, or there are few.
    func stored(at offset: UInt64, count: Int) throws(StorageError) -> [StoredRange]? {
        guard count >= MountLimits.splicedBytesMin else { return nil }
        let found: (Range<UInt64>, ContentReader)? = access { state in
            guard let reader = state.reader, offset < state.overlay.size else { return nil }
            let end = min(offset + UInt64(count), state.overlay.size)
            guard end <= reader.size, state.overlay.isBase(offset..<end) else { return nil }
            return (offset..<end, reader)
        }
        guard let (range, reader) = found, range.count >= MountLimits.splicedBytesMin else {
            return nil
        }
        return try reader.stored(range, limit: MountLimits.spliceRangesMax)
    }

    /// Where data (or a hole) begins at or after `offset`, as SEEK_DATA and SEEK_HOLE want it.
    func seek(data wanted: Bool, from offset: UInt64) throws(StorageError)
        -> ContentReader.Position
    {
        var position = offset
        while true {
            let (stretch, size, reader) = access { state in
                let size = state.overlay.size
                return (
                    position < size ? state.overlay.stretch(at: position) : nil, size, state.reader
                )
            }
            guard let stretch, let reader else {
                // The end of the file is a hole, but only if the search began before it.
                return wanted || offset >= size ? .none : .offset(size)
            }
            switch stretch {
            case .data: if wanted { return .offset(position) }
            case .zeros: if !wanted { return .offset(position) }
            case .base(let until):
                let found: UInt64
                if position >= reader.size {
                    if !wanted { return .offset(position) }
                    found = until
                } else {
                    let answer =
                        try wanted
                        ? reader.seekData(from: position) : reader.seekHole(from: position)
                    switch answer {
                    case .offset(let offset): found = offset
                    case .none: found = until
                    case .missing: return answer
                    }
                }
                // At the base's end it says "hole"; what lies there is asked again.
                if found < until { return .offset(found) }
            }
            position = stretch.end
        }
    }
}

extension FileState.State {
    /// A hash (FNV-1a) of the versions shown.
    var mark: UInt64 {
        parents.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x100_0000_01b3 }
    }

    /// Shows a version, with nothing over it.
    mutating func show(_ opened: OpenedContent, chunks: any ChunkStorage) {
        reader = ContentReader(opened.content, storage: chunks)
        parents = opened.versions
        overlay = Overlay(base: opened.content)
        endJournal()
        modified = opened.modified
        isOutdated = false
    }
}

extension ContentReader {
    /// Fills `gaps`, ranges of the file, of a buffer whose first byte is that at `start`; past the
    /// content's end with zeros.
    ///
    /// - Returns: the chunks that are missing; nil when all is filled.
    func fill(
        _ gaps: [Range<UInt64>], of buffer: UnsafeMutableRawBufferPointer, from start: UInt64
    ) throws(StorageError) -> [ChunkReference]? {
        for gap in gaps {
            let middle = min(max(size, gap.lowerBound), gap.upperBound)
            let first = Int(gap.lowerBound - start)
            let split = Int(middle - start)
            let end = Int(gap.upperBound - start)
            if split < end {
                // Gaps are parts of what the buffer stands for.
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[split..<end])
                    .initializeMemory(as: UInt8.self, repeating: 0)
            }
            guard first < split else { continue }
            // As above.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[first..<split])
            switch try unsafe read(at: gap.lowerBound, into: part) {
            case .missing(let chunks): return chunks
            case .bytes(let count):
                guard count == part.count else {
                    throw .corrupt(what: "content is shorter than its size: run holdfast check")
                }
            }
        }
        return nil
    }
}
