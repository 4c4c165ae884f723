internal import Base
internal import Chunks

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
        try change(writing: offset..<offset + UInt64(bytes.count)) {
            (state, _) throws(StorageError) in
            try unsafe state.overlay.write(bytes, at: offset, in: depot)
        }
    }

    func truncate(to size: UInt64, in depot: StagingDepot, chunks: any ChunkStorage)
        throws(StorageError) -> Change
    {
        try change { (state, now) throws(StorageError) in
            try state.overlay.truncate(to: size, in: depot, now: now)
            if size == 0 { state.reader = ContentReader(.empty, storage: chunks) }
        }
    }

    /// Makes a range read as zeros; the file grows to its end if `grows`.
    func zero(_ range: Range<UInt64>, grows: Bool, in depot: StagingDepot)
        throws(StorageError) -> Change
    {
        try change { (state, now) throws(StorageError) in
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

    /// - Parameter range: all that changes, if that is known.
    private func change(
        writing range: Range<UInt64>? = nil,
        _ body: (inout State, Instant) throws(StorageError) -> Void
    ) throws(StorageError) -> Change {
        try access { (state) throws(StorageError) in
            if let before = state.before { state.goBack(to: before) }
            state.noteWriting(range)
            do throws(StorageError) {
                try body(&state, Clock.now())
            } catch {
                state.endJournal()
                throw error
            }
            return state.noteChange(setsTime: !hasKernelTimes)
        }
    }
}

extension FileState.State {
    /// Bytes come that were written on the content before.
    fileprivate mutating func goBack(to before: FileState.Before) {
        reader = before.reader
        parents = before.parents
        overlay = before.overlay
        endJournal()
        modified = before.modified
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
        if setsTime { modified = changed }
        if isOrphan { overlay.uncount() }
        return FileState.Change(wasClean: wasClean, isLarge: isLarge)
    }

    var isLarge: Bool {
        overlay.dirty.count >= MountLimits.dirtyRangesMax
            || overlay.staged.map { $0.byteCount >= MountLimits.flattenBytes } ?? false
    }
}
