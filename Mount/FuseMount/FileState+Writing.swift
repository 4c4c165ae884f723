internal import Base
internal import Chunks
internal import Share

extension FileState {
    /// What a change of content asks of the publisher.
    struct Change {
        var wasClean = false
        /// So much is staged that a job should take it, though the file is still written.
        var isLarge = false
    }

    /// Puts bytes over what is there.
    func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, in depot: StagingDepot
    ) throws(StorageError) -> Change {
        let range = offset..<offset + UInt64(bytes.count)
        var flight: WriteInFlight?
        let change = try change(touching: range, writing: range) {
            (state, _) throws(StorageError) in
            flight = try unsafe state.overlay.write(bytes, at: offset, in: depot)
        }
        guard let flight else { return change }
        do throws(StorageError) {
            try unsafe flight.finish(bytes)
        } catch {
            access { state in
                state.overlay.lose(flight)
                state.endJournal()
            }
            throw error
        }
        return change
    }

    /// Lets the disk begin with what was staged.
    func letDiskBegin() { access { $0.overlay.staged?.file }?.beginWriting() }

    func truncate(to size: UInt64, in depot: StagingDepot, chunks: any ChunkStorage)
        throws(StorageError) -> Change
    {
        // An emptied file leaves its staging file to the job.
        let touched = size == 0 ? 0..<0 : 0..<UInt64.max
        return try change(touching: touched) { (state, now) throws(StorageError) in
            try state.overlay.truncate(to: size, in: depot, now: now)
            if size == 0 { state.reader = ContentReader(.empty, storage: chunks) }
        }
    }

    /// Makes a range read as zeros; the file grows to its end if `grows`.
    func zero(_ range: Range<UInt64>, grows: Bool, in depot: StagingDepot)
        throws(StorageError) -> Change
    {
        try change(touching: range) { (state, now) throws(StorageError) in
            if grows, range.upperBound > state.overlay.size {
                try state.overlay.truncate(to: range.upperBound, in: depot, now: now)
            }
            try state.overlay.zero(range, in: depot)
        }
    }

    /// Makes an empty file's content that of another file, without a copy.
    ///
    /// - Returns: nil if it is not empty, or its bytes are in use.
    func share(_ content: Content, chunks: any ChunkStorage) -> Change? {
        access { state in
            guard state.isLoaded, state.overlay.size == 0, state.overlay.cut == nil,
                state.overlay.staged == nil
            else { return nil }
            state.reader = ContentReader(content, storage: chunks)
            state.overlay = Overlay(base: content)
            state.endJournal()
            return state.noteChange(setsTime: !hasKernelTimes)
        }
    }

    /// The content, if it is stored in chunks (published or not) and nothing lies over it.
    var storedContent: Content? {
        access { state in
            guard let reader = state.reader, state.overlay.memory == nil,
                state.overlay.dirty.isEmpty, state.overlay.size == reader.size
            else { return nil }
            return reader.content
        }
    }

    /// Bytes that a job would have to read.
    var stagedByteCount: UInt64 { access { $0.overlay.staged?.byteCount ?? 0 } }

    /// What readers may still ask for: the base, and what a job is reading.
    var contentsInUse: [Content] {
        access { state in
            [state.reader, state.work?.reader].compactMap { $0?.content }
        }
    }

    /// Waits for moments if a job is about to end that makes chunks of what changes.
    ///
    /// - Parameter touched: whatever changes is in it, or past the end.
    /// - Parameter range: all that changes, if that is known.
    private func change(
        touching touched: Range<UInt64>, writing range: Range<UInt64>? = nil,
        _ body: (inout State, Instant) throws(StorageError) -> Void
    ) throws(StorageError) -> Change {
        var held: Latch?
        while true {
            let change = try access { (state) throws(StorageError) -> Change? in
                // What a write or a growth leaves between becomes zeros.
                let start = min(touched.lowerBound, state.overlay.size)
                guard !state.overlay.isHeld(start..<touched.upperBound) else {
                    if held == nil {
                        let latch = Latch()
                        state.waiting.append { _ in latch.open() }
                        held = latch
                    }
                    return nil
                }
                return try state.change(range, setsTime: !hasKernelTimes, body)
            }
            if let change { return change }
            // The job may have let go without ending.
            held?.wait(until: Clock.now() + MountLimits.heldWriterInterval)
        }
    }
}

extension FileState.State {
    fileprivate mutating func change(
        _ range: Range<UInt64>?, setsTime: Bool,
        _ body: (inout Self, Instant) throws(StorageError) -> Void
    ) throws(StorageError) -> FileState.Change {
        if let before { goBack(to: before) }
        noteWriting(range)
        let staged = overlay.staged
        do throws(StorageError) {
            try body(&self, Clock.now())
        } catch {
            endJournal()
            throw error
        }
        // It is another file that the next record must name.
        if let staged, overlay.staged !== staged { endJournal() }
        return noteChange(setsTime: setsTime)
    }

    /// Bytes come that were written on the content before.
    mutating func goBack(to before: FileState.Before) {
        reader = before.reader
        parents = before.parents
        overlay = before.overlay
        endJournal()
        modified = before.modified
        isTimeUntold = before.isTimeUntold
        self.before = nil
        isOutdated = true
    }

    mutating func noteChange(setsTime: Bool) -> FileState.Change {
        let wasClean = !isDirty
        let now = Clock.now()
        if generation == recorded || wasClean { unrecordedSince = now }
        generation += 1
        lastWrite = now
        changed = Clock.wallTime()
        if setsTime {
            modified = changed
        } else if modified != changed {
            // In one tick of the clock with what it knows the kernel has nothing to tell.
            isTimeUntold = true
        }
        if isOrphan { overlay.uncount() }
        return FileState.Change(wasClean: wasClean, isLarge: isLarge(at: now))
    }

    /// Whether so much is staged that a job should take it, though the file is still written.
    func isLarge(at now: Instant) -> Bool {
        overlay.dirty.count >= MountLimits.dirtyRangesMax
            || overtaken <= now
                && overlay.staged.map { $0.byteCount >= MountLimits.flattenBytes } ?? false
    }
}
