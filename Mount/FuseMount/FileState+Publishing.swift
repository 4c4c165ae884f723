internal import Base
internal import Chunks
internal import Share

extension FileState {
    /// What a publication must know and give back.
    struct Ticket: Sendable {
        let number: UInt64
        let node: NodeID
        let parents: [UInt64]
        let generation: UInt64
        /// The modification time of the bytes.
        let modified: Timestamp
    }

    /// How publishing begins.
    enum Beginning {
        /// Nothing to publish, or nobody may.
        case nothing
        /// One is under way; another follows it.
        case underway
        /// Small: to be published now, then `end`.
        case now(Ticket, Content)
        /// To be recorded, then given to a job.
        case job(number: UInt64)
    }

    /// What a job works on.
    struct Work: Sendable {
        let ticket: Ticket
        let reader: ContentReader
        let size: UInt64
        let dirty: [Range<UInt64>]
        /// Those that may become chunks where they are.
        let inPlace: [Range<UInt64>]
        /// The base as it is: no bytes lie over it.
        let isStored: Bool
    }

    /// Starts a publication if there is something to publish.
    func begin(number: UInt64) -> Beginning {
        access { state in
            guard state.isDirty, !state.isOrphan, state.isLoaded else { return .nothing }
            guard state.publication == .idle else {
                state.isWanted = true
                return .underway
            }
            state.isWanted = false
            state.isCancelled = false
            if let bytes = state.overlay.memory {
                state.publication = .running(number)
                return .now(state.ticket(number), .inline(bytes))
            }
            guard state.cut(number) else { return .nothing }
            state.publication = .queued(number)
            return .job(number: number)
        }
    }

    /// As `begin`, only for what can be published in the call.
    func beginNow(number: UInt64) -> Beginning {
        access { state in
            guard state.isDirty, !state.isOrphan, state.publication == .idle,
                let bytes = state.overlay.memory
            else { return .nothing }
            state.isCancelled = false
            state.publication = .running(number)
            return .now(state.ticket(number), .inline(bytes))
        }
    }

    /// As `begin`, for a job that makes no version.
    func beginStoring(number: UInt64) -> UInt64? {
        access { state in
            guard state.isDirty, !state.isOrphan, state.publication == .idle,
                state.overlay.memory == nil
            else { return nil }
            guard state.cut(number) else { return nil }
            state.isCancelled = false
            state.publication = .queued(number)
            return number
        }
    }

    /// A job takes the file up.
    ///
    /// - Returns: nil if the file no longer waits for this job: see `endUnstarted`.
    func startWork(number: UInt64, chunks: any ChunkStorage) -> Work? {
        access { state in
            guard state.isAwaiting(number), state.isDirty, !state.isOrphan else { return nil }
            if state.work == nil {
                if let bytes = state.overlay.memory {
                    // Emptied and written small while chunks were fetched.
                    state.work = Work(
                        ticket: state.ticket(number),
                        reader: ContentReader(.inline(bytes), storage: chunks),
                        size: UInt64(bytes.count), dirty: [], inPlace: [], isStored: true)
                } else if !state.cut(number) {
                    return nil
                }
            }
            state.publication = .running(number)
            return state.work
        }
    }

    /// The job has the bytes in chunks and goes on with other files.
    func endBuilding(number: UInt64) {
        access { state in
            if state.publication == .running(number) { state.publication = .stored(number) }
        }
    }

    /// The job goes on with the file.
    ///
    /// - Returns: whether it still may.
    func resumeWork(number: UInt64) -> Bool {
        access { state in
            guard state.publication == .stored(number) else { return false }
            state.publication = .running(number)
            return true
        }
    }

    /// The job could not begin.
    ///
    /// - Returns: nil if the file waits for another.
    func endUnstarted(number: UInt64) -> Ending? {
        access { state in
            guard state.isAwaiting(number) else { return nil }
            var ending = state.end()
            ending.leftovers = state.overlay.abandonCut()
            return ending
        }
    }

    /// Bytes of the cut; `gaps` are the base's.
    func readCut(
        _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>]
    ) throws(StorageError) {
        try access { (state) throws(StorageError) in
            guard let cut = state.overlay.cut, !cut.isAbandoned, !state.isCancelled else {
                throw .io(code: ErrorCode.cancelled, action: "publishing")
            }
            try unsafe state.overlay.readCut(range, into: buffer, gaps: &gaps)
        }
    }

    /// Parts of what is in place are to become chunks there: from now on nothing changes them.
    ///
    /// - Returns: nil if somebody changed them since the cut.
    func freeze(_ ranges: [Range<UInt64>]) -> StagedData? {
        access { state in
            state.isCancelled ? nil : state.overlay.freeze(ranges)
        }
    }

    func cutStretch(at offset: UInt64) -> Overlay.Stretch? {
        access { $0.overlay.cut?.stretch(at: offset) }
    }

    var isCancelled: Bool { access { $0.isCancelled || $0.isOrphan } }

    /// Whether too much was overwritten for the job to go on; another begins when it is quiet.
    var isOvertaken: Bool { access { $0.overlay.cut?.isAbandoned ?? false } }

    /// Who waits, and whether to go on, after a publication ended.
    struct Ending {
        var leftovers = Overlay.Leftovers()
        var waiting: [@Sendable (VolumeError?) -> Void] = []
        var isWanted = false
        /// The staging record must be written anew: its base is no longer the file's.
        var needsRecord = false
        /// A remote change waits to be shown.
        var isOutdated = false
        /// The kernel may keep attributes of before.
        var wasShown = false
        /// The modification time was set while the version was being published.
        var modified: Timestamp?
        var isClean = false
    }

    /// What `Save` says at the moment of publishing.
    struct Particulars {
        let node: NodeID
        let modified: Timestamp
        let modifiedSettings: UInt64
        let settlesStaging: Bool
    }

    func particulars(_ ticket: Ticket) -> Particulars {
        access { state in
            let isLatest = state.generation == ticket.generation
            // A time set since belongs to these bytes, unless others followed.
            return Particulars(
                node: state.node, modified: isLatest ? state.modified : ticket.modified,
                modifiedSettings: state.modifiedSettings,
                settlesStaging: state.hasRecord && isLatest)
        }
    }

    /// A version with `content` exists now.
    func endPublished(
        _ ticket: Ticket, _ particulars: Particulars, content: Content, as published: Published,
        chunks: any ChunkStorage
    ) -> Ending {
        access { state in
            state.node = published.node
            state.parents = [published.version]
            state.published = ticket.generation
            var ending = state.end()
            ending.leftovers = state.lay(content, below: ticket, chunks: chunks)
            if state.modifiedSettings != particulars.modifiedSettings {
                ending.modified = state.modified
            }
            if particulars.settlesStaging { state.hasRecord = false }
            ending.isClean = !state.isDirty
            if ending.isClean { state.overlay.retireOutgrown() }
            ending.needsRecord = state.hasRecord && state.isDirty
            ending.isOutdated = state.isOutdated && !state.isDirty
            if ending.isOutdated { state.isOutdated = false }
            ending.wasShown = state.wasShown
            state.wasShown = false
            return ending
        }
    }

    /// The cut's bytes are in chunks now; no version was made.
    func endStored(_ ticket: Ticket, content: Content, chunks: any ChunkStorage) -> Ending {
        access { state in
            var ending = state.end()
            ending.leftovers = state.lay(content, below: ticket, chunks: chunks)
            ending.needsRecord = state.hasRecord
            return ending
        }
    }

    /// It failed or was cancelled; the bytes stay dirty.
    ///
    /// - Parameter retryAt: when to try again.
    func endFailed(retryAt: Instant) -> Ending {
        access { state in
            var ending = state.end()
            ending.leftovers = state.overlay.abandonCut()
            if !state.isCancelled {
                state.retryAt = retryAt
                ending.isWanted = false
            }
            return ending
        }
    }

    /// The job waits for chunks; who takes the file's name away need not.
    ///
    /// - Returns: nil if the publication was cancelled meanwhile: end it.
    func awaitChunks(number: UInt64) -> Overlay.Leftovers? {
        access { state in
            guard state.publication == .running(number), !state.isCancelled else { return nil }
            state.publication = .fetching(number)
            state.work = nil
            return state.overlay.abandonCut()
        }
    }

    /// The chunks did not come.
    func endFetching(number: UInt64, retryAt: Instant) -> Ending? {
        access { state in
            guard state.publication == .fetching(number) else { return nil }
            state.retryAt = retryAt
            return state.end()
        }
    }

    /// Calls back when no publication is under way: at once, if none is.
    func whenFree(_ call: @escaping @Sendable (VolumeError?) -> Void) {
        let isFree = access { state in
            guard state.publication != .idle else { return true }
            state.waiting.append(call)
            return false
        }
        if isFree { call(nil) }
    }

    /// Stops a publication under way and keeps others from starting, until `release`. Blocks for
    /// moments: as long as a job takes to notice.
    func hold() -> Overlay.Leftovers {
        while true {
            var leftovers = Overlay.Leftovers()
            let latch: Latch? = access { state in
                switch state.publication {
                case .idle: break
                case .queued, .fetching, .stored:
                    state.isWanted = true
                    state.work = nil
                    leftovers = state.overlay.abandonCut()
                case .running, .held:
                    state.isCancelled = true
                    state.isWanted = true
                    let latch = Latch()
                    state.waiting.append { _ in latch.open() }
                    return latch
                }
                state.publication = .held
                return nil
            }
            guard let latch else { return leftovers }
            latch.wait()
        }
    }

    /// Ends `hold`.
    func release() -> Ending {
        access { state in state.end() }
    }

    /// Nothing will be published any more: the file has no name.
    ///
    /// - Returns: whether a record must be forgotten.
    func makeOrphan() -> Bool {
        access { state in
            state.isOrphan = true
            state.endJournal()
            state.isWanted = false
            state.overlay.uncount()
            let hadRecord = state.hasRecord
            state.hasRecord = false
            return hadRecord
        }
    }

    /// Removes what an orphan staged; it must not be used again.
    func discard() {
        access { state in
            state.overlay.discard()
            state.reader = nil
            state.published = state.generation
        }
    }

    /// The name's node is another now; the bytes go on as its content.
    ///
    /// - Returns: whether something was recorded under the old node.
    @discardableResult
    func rebind(to node: NodeID, parents: [UInt64]?) -> Bool {
        access { state in
            state.node = node
            state.endJournal()
            if let parents { state.parents = parents }
            return state.hasRecord
        }
    }

    // MARK: Records

    struct Record: Sendable {
        let staged: StagedFile
        let generation: UInt64
        let bytes: any StagingFile
        /// Tells it from others of the file.
        let number: UInt64
    }

    /// What to record for a crash; nil if nothing is dirty, or it is recorded already.
    ///
    /// - Parameter again: whether also to give what was recorded before.
    /// - Parameter isSynced: whether the bytes will be, before the record is made.
    func record(in depot: StagingDepot, again: Bool, isSynced: Bool) throws(StorageError)
        -> Record?
    {
        try access { (state) throws(StorageError) in
            guard state.isDirty, !state.isOrphan, let reader = state.reader,
                again || state.recorded != state.generation || !state.hasRecord
            else { return nil }
            let file = try state.overlay.spill(in: depot)
            state.endJournal()
            if isSynced { state.unsynced = RangeSet() }
            let record = StagedFile(
                node: state.node, parents: state.parents,
                base: state.overlay.baseSize == 0 ? .empty : reader.content,
                size: state.overlay.size, modified: state.modified,
                dirty: state.overlay.dirty.ranges, file: file.id, isSynced: isSynced,
                synced: isSynced ? nil : state.syncedRecord, journal: depot.journal?.last ?? 0)
            return Record(
                staged: record, generation: state.generation, bytes: file,
                number: state.recordings)
        }
    }

    /// Whether a crash would take bytes that no record names, though they are on the disk.
    var isWorthRecording: Bool { access { $0.overlay.staged?.file != nil } }

    /// The volume has it.
    func recorded(_ record: Record) {
        let generation = record.generation
        access { state in
            if record.staged.isSynced {
                state.synced = max(state.synced, generation)
                if record.staged.file == state.overlay.staged?.file?.id {
                    state.overlay.retireOutgrown()
                }
                // Unless a job has put another base below meanwhile.
                let base = state.overlay.baseSize == 0 ? .empty : state.reader?.content
                if base == record.staged.base {
                    state.syncedRecord = StagedFile.Synced(record.staged)
                }
            }
            state.recorded = max(state.recorded, generation)
            state.hasRecord = true
            if state.generation != state.recorded { state.unrecordedSince = Clock.now() }
        }
    }

    func punch(_ ranges: [Range<UInt64>], of file: StagedData) throws(StorageError) {
        try access { (state) throws(StorageError) in
            try state.overlay.punch(ranges, of: file)
        }
    }

    /// What the passing of time asks for.
    struct Due {
        var record = false
        var publish = false
        var flatten = false
        var byteCount: UInt64 = 0
    }

    func due(now: Instant) -> Due {
        access { state in
            var due = Due()
            guard state.isDirty, !state.isOrphan, state.isLoaded else { return due }
            due.byteCount = state.overlay.staged?.byteCount ?? 0
            let isQuiet = state.lastWrite + MountLimits.publishAfter <= now
            let isIdle = state.publication == .idle && state.retryAt <= now
            due.publish = isQuiet && isIdle
            due.record =
                (state.generation != state.synced || !state.hasRecord)
                && state.unrecordedSince + MountLimits.recordAfter <= now
            due.flatten = isIdle && state.isLarge
            return due
        }
    }
}

extension FileState.State {
    fileprivate func isAwaiting(_ number: UInt64) -> Bool {
        publication == .queued(number) || publication == .fetching(number)
    }

    /// Freezes the bytes for a job.
    fileprivate mutating func cut(_ number: UInt64) -> Bool {
        guard let reader, overlay.cut == nil, overlay.memory == nil else { return false }
        let cut = overlay.beginCut()
        work = FileState.Work(
            ticket: ticket(number), reader: reader, size: cut.size, dirty: cut.dirty.ranges,
            inPlace: cut.inPlace.ranges,
            isStored: cut.dirty.isEmpty && cut.size == reader.size)
        return true
    }

    fileprivate func ticket(_ number: UInt64) -> FileState.Ticket {
        FileState.Ticket(
            number: number, node: node, parents: parents, generation: generation,
            modified: modified)
    }

    /// The bytes of `ticket` are stored as `content`: what came after lies over that.
    fileprivate mutating func lay(
        _ content: Content, below ticket: FileState.Ticket, chunks: any ChunkStorage
    ) -> Overlay.Leftovers {
        syncedRecord = nil
        endJournal()
        if let cut = overlay.cut {
            if !cut.isDetached { reader = ContentReader(content, storage: chunks) }
            return overlay.endCut(as: content)
        }
        // Published from memory: whoever wrote since did so over a copy of the whole.
        guard generation == ticket.generation else { return Overlay.Leftovers() }
        reader = ContentReader(content, storage: chunks)
        return Overlay.Leftovers(file: overlay.replaceBase(with: content))
    }

    fileprivate mutating func end() -> FileState.Ending {
        var ending = FileState.Ending()
        publication = .idle
        work = nil
        ending.waiting = waiting
        waiting = []
        ending.isWanted = isWanted && isDirty && !isOrphan
        isWanted = false
        return ending
    }
}

extension StagedFile.Synced {
    init(_ staged: StagedFile) {
        self.init(
            size: staged.size, modified: staged.modified, dirty: staged.dirty, file: staged.file,
            journal: staged.journal)
    }
}
