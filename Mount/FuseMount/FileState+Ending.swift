internal import Base
internal import Chunks
internal import Share

/// How a publication ends, and what it leaves to do.
extension FileState {
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
        var isClean = false
    }

    /// What `Save` says at the moment of publishing.
    struct Particulars {
        let node: NodeID
        var modified: Timestamp
        var modifiedSettings: UInt64
        let settlesStaging: Bool
        let bringsBack: Bool
    }

    func particulars(_ ticket: Ticket) -> Particulars {
        access { state in
            let isLatest = state.generation == ticket.generation
            // A time set since belongs to these bytes, unless others followed.
            return Particulars(
                node: state.node, modified: isLatest ? state.modified : ticket.modified,
                modifiedSettings: state.modifiedSettings,
                settlesStaging: state.hasRecord && isLatest, bringsBack: !state.isGoneElsewhere)
        }
    }

    /// Whether the time of modification was set since the version was made, which the volume must be told
    /// of before the publication ends: afterwards a rename may give the bytes to another node.
    func outdates(_ particulars: inout Particulars, of ticket: Ticket) -> Bool {
        access { state in
            // Later bytes bring their own.
            guard state.generation == ticket.generation,
                state.modifiedSettings != particulars.modifiedSettings
            else { return false }
            particulars.modified = state.modified
            particulars.modifiedSettings = state.modifiedSettings
            return true
        }
    }

    /// A version with `content` exists now.
    ///
    /// - Returns: nil if `outdates` has something to say again.
    func endPublished(
        _ ticket: Ticket, _ particulars: Particulars, content: Content, as published: Published,
        chunks: any ChunkStorage
    ) -> Ending? {
        access { state in
            if state.generation == ticket.generation,
                state.modifiedSettings != particulars.modifiedSettings
            {
                return nil
            }
            // It has a name again.
            if published.version != ticket.parents.first ?? 0 { state.isGoneElsewhere = false }
            state.node = published.node
            state.parents = [published.version]
            state.published = ticket.generation
            var ending = state.end()
            ending.leftovers = state.lay(content, below: ticket, chunks: chunks)
            if particulars.settlesStaging { state.hasRecord = false }
            ending.isClean = !state.isDirty
            if ending.isClean { state.overlay.retireOutgrown() }
            ending.needsRecord = state.hasRecord && state.isDirty
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
            if state.overlay.cut?.isAbandoned ?? false {
                state.overtaken = Clock.now() + MountLimits.retryAfter
            }
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
}

extension FileState.State {
    /// The bytes of `ticket` are stored as `content`: what came after lies over that.
    mutating func lay(
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

    mutating func end() -> FileState.Ending {
        var ending = FileState.Ending()
        publication = .idle
        work = nil
        ending.waiting = waiting
        waiting = []
        ending.isWanted = isWanted && isDirty && !isOrphan
        isWanted = false
        ending.isOutdated = isOutdated && !isDirty
        if ending.isOutdated { isOutdated = false }
        return ending
    }
}
