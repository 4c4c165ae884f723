internal import Base
internal import Chunks
internal import Share

/// The version below: what is shown until somebody writes.
extension FileState {
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
                modified: state.modified, isTimeUntold: state.isTimeUntold)
            state.show(opened, chunks: chunks)
            // What the kernel owes is the time of other bytes.
            state.isTimeUntold = false
            state.arePagesOld = true
            return true
        }
    }

    /// Whether these are the versions whose bytes are shown.
    func shows(_ versions: [UInt64]) -> Bool { access { $0.parents == versions } }

    /// The kernel has no page of the old content any more.
    ///
    /// - Returns: false if somebody wrote on the old content meanwhile: then that is shown again.
    func endSwitch() -> Bool {
        access { state in
            defer { state.before = nil }
            return state.before != nil || !state.isOutdated
        }
    }

    /// Shows the content again that was shown before `refresh`: of the other, the kernel has heard nothing.
    func undoSwitch() {
        access { state in
            if let before = state.before { state.goBack(to: before) }
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
        isGoneElsewhere = false
    }
}
