internal import Base
internal import Chunks
internal import Share

/// What a crash must leave of a file, and what the passing of time asks for.
extension FileState {
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
            // Who holds it is about to say what becomes of its bytes.
            due.record =
                state.publication != .held
                && (state.generation != state.synced || !state.hasRecord)
                && state.unrecordedSince + MountLimits.recordAfter <= now
            due.flatten = isIdle && state.isLarge(at: now)
            return due
        }
    }
}

extension StagedFile.Synced {
    init(_ staged: StagedFile) {
        self.init(
            size: staged.size, modified: staged.modified, dirty: staged.dirty, file: staged.file,
            journal: staged.journal)
    }
}
