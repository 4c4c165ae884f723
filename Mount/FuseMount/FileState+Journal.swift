internal import Base
internal import Share

/// What of a file's bytes goes to the journal when it is synced.
extension FileState {
    struct JournalEntry {
        let writes: StagedWrites
        let generation: UInt64
    }

    /// What was written since the last sync; what is written from now on is for the next.
    ///
    /// - Returns: nil if a record must be made.
    func takeUnsynced() throws(StorageError) -> JournalEntry? {
        try access { (state) throws(StorageError) in
            guard state.isDirty, !state.isOrphan, state.isRecordDurable,
                let unsynced = state.unsynced, let staged = state.overlay.staged,
                let file = staged.file
            else { return nil }
            var bytes = [UInt8](repeating: 0, count: Int(unsynced.byteCount))
            var span = bytes.mutableSpan
            try unsafe span.withUnsafeMutableBytes { (bytes) throws(StorageError) in
                var position = 0
                for range in unsynced.ranges {
                    let end = position + range.count
                    // As long as all ranges together.
                    try unsafe staged.read(
                        at: range.lowerBound,
                        into: UnsafeMutableRawBufferPointer(rebasing: bytes[position..<end]))
                    position = end
                }
            }
            state.unsynced = RangeSet()
            return JournalEntry(
                writes: StagedWrites(
                    file: file.id, size: state.overlay.size, modified: state.modified,
                    ranges: unsynced.ranges, bytes: bytes),
                generation: state.generation)
        }
    }

    /// The journal has it, durably, or else it must not be used any more.
    func endSync(of entry: JournalEntry, isDurable: Bool) {
        access { state in
            guard isDurable else { return state.endJournal() }
            state.synced = max(state.synced, entry.generation)
            state.recorded = max(state.recorded, entry.generation)
            if state.generation != state.recorded { state.unrecordedSince = Clock.now() }
        }
    }

    /// What `record` made is on the disk: the journal may go on from it, if it still stands.
    func recordIsDurable(_ number: UInt64) {
        access { state in
            if state.recordings == number { state.isRecordDurable = true }
        }
    }
}

extension FileState.State {
    /// Until the next durable record of the file the journal's entries would not say all.
    mutating func endJournal() {
        recordings += 1
        isRecordDurable = false
        unsynced = nil
    }

    /// To be called before a change.
    ///
    /// - Parameter range: all of the change; nil if the journal cannot tell of it.
    mutating func noteWriting(_ range: Range<UInt64>?) {
        guard unsynced != nil else { return }
        // Beyond the end the file gets zeros too.
        guard let range, range.lowerBound <= overlay.size else { return endJournal() }
        unsynced?.insert(range)
        guard let unsynced, unsynced.byteCount <= MountLimits.journaledBytesMax,
            unsynced.count <= MountLimits.journaledRangesMax
        else { return endJournal() }
    }
}
