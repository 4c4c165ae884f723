internal import Base
internal import Chunks
internal import Share
internal import Synchronization

/// Turns dirty files into versions: small ones in the call, others by background jobs.
///
/// Locks: its own is held for moments; under it a file's may be taken, never the other way round.
final class Publisher: Sendable {
    struct State {
        var dirty: [ObjectIdentifier: FileState] = [:]
        var lastNumber: UInt64 = 0
        var isReleasing = false
    }

    let volume: any Volume
    let chunks: any ChunkStorage
    let keys: ContentKeys
    let depot: StagingDepot
    let table: InodeTable
    let group: SyncGroup
    let journal: SyncJournal
    let submit: FuseMount.Submit
    let log: @Sendable (String) -> Void
    let changes: ChangeCount
    let invalidator: Invalidator
    let writeBack: WriteBack
    let queue = JobQueue()
    let state = Mutex(State())

    init(
        volume: any Volume, chunks: any ChunkStorage, keys: ContentKeys, depot: StagingDepot,
        table: InodeTable, changes: ChangeCount, invalidator: Invalidator, writeBack: WriteBack,
        submit: @escaping FuseMount.Submit, log: @escaping @Sendable (String) -> Void
    ) {
        self.volume = volume
        self.chunks = chunks
        self.keys = keys
        self.depot = depot
        self.table = table
        self.submit = submit
        self.log = log
        self.changes = changes
        self.invalidator = invalidator
        self.writeBack = writeBack
        group = SyncGroup(chunks)
        journal = SyncJournal(depot.journal)
    }

    // MARK: Asking for it

    /// To be called when a clean file was changed.
    func noteDirty(_ file: FileState) {
        state.withLock { $0.dirty[ObjectIdentifier(file)] = file }
    }

    /// Publishes what is dirty: in the call if it is small, else by a job, after a record was made.
    ///
    /// - Throws: what stood in the way; the bytes stay and are tried again later.
    func publish(_ file: FileState) throws(VolumeError) {
        switch file.begin(number: nextNumber()) {
        case .nothing, .underway: return
        case .now(let ticket, let content):
            try publishNow(content, of: file, ticket)
        case .job(let number):
            // Bytes in memory become a version as soon as a record could be made of them.
            let recorded = Result { () throws(VolumeError) in
                if file.isWorthRecording { try record(file) }
            }
            enqueue(file, number, publishes: true)
            try recorded.get()
        }
    }

    /// Publishes what is dirty now and then calls back, on any thread.
    ///
    /// - Parameter isPatient: whether to wait for chunks from the network.
    func settle(
        _ file: FileState, isPatient: Bool = true,
        then call: @escaping @Sendable (VolumeError?) -> Void
    ) {
        let generation = file.access { $0.generation }
        settle(file, upTo: generation, isPatient, rounds: 3, then: call)
    }

    private func settle(
        _ file: FileState, upTo generation: UInt64, _ isPatient: Bool, rounds: Int,
        then call: @escaping @Sendable (VolumeError?) -> Void
    ) {
        do {
            try publish(file)
        } catch {
            return call(error)
        }
        queue.hurry()
        let isSettled = file.access { state in
            if case .fetching = state.publication, !isPatient { return true }
            return state.published >= generation || !state.isDirty || state.isOrphan
                || state.publication == .idle && rounds == 0
        }
        if isSettled { return call(nil) }
        guard rounds > 0 else { return call(.storage(.io(code: ErrorCode.busy, action: "saving"))) }
        file.whenFree { error in
            if let error { return call(error) }
            self.settle(file, upTo: generation, isPatient, rounds: rounds - 1, then: call)
        }
    }

    /// Keeps jobs away from a file whose name is about to go, until `release`.
    func hold(_ file: FileState) {
        giveBack(file.hold(), of: file)
    }

    /// Ends `hold`, and lets go on what waited for it.
    func release(_ file: FileState) {
        finish(file, file.release(), failure: nil)
    }

    // MARK: In the call

    func publishNow(_ content: Content, of file: FileState, _ ticket: FileState.Ticket)
        throws(VolumeError)
    {
        do {
            try publish(content, of: file, ticket: ticket)
        } catch {
            finish(
                file, file.endFailed(retryAt: Clock.now() + MountLimits.retryAfter), failure: error)
            throw error
        }
    }

    func publish(_ content: Content, of file: FileState, ticket: FileState.Ticket)
        throws(VolumeError)
    {
        let ending = try file.telling.withLock { _ throws(VolumeError) in
            var particulars = file.particulars(ticket)
            let published = try volume.publish(
                Save(
                    node: particulars.node, parents: ticket.parents, content: content,
                    modified: particulars.modified, settlesStaging: particulars.settlesStaging,
                    bringsBack: particulars.bringsBack))
            changes.increment()
            if published.node != particulars.node {
                table.rebind(file.id, to: published.node)
                if !particulars.settlesStaging { try volume.forgetStaged(particulars.node) }
            }
            while true {
                while file.outdates(&particulars, of: ticket) {
                    setTime(particulars.modified, of: published.node)
                }
                let ending = file.endPublished(
                    ticket, particulars, content: content, as: published, chunks: chunks)
                if let ending { return ending }
            }
        }
        finish(file, ending, failure: nil)
    }

    /// The version is there: where this fails, as on a full disk, it is shown with the time of its bytes.
    private func setTime(_ time: Timestamp, of node: NodeID) {
        do {
            _ = try volume.setAttributes(of: node, to: AttributeChange(modified: time))
        } catch {
            log("the time that was set of a file is lost: \(error)")
        }
    }

    // MARK: What comes after

    /// What the end of a publication brings with it.
    func finish(_ file: FileState, _ ending: FileState.Ending, failure: VolumeError?) {
        do {
            // What was synced of it was so over another base.
            if ending.needsRecord { try record(file, again: true, isSynced: true) }
            // Not before: the record of before may name the staging file. Where no other can be made
            // it is left to the next start.
            giveBack(ending.leftovers, of: file)
        } catch {
            log("saving goes on later: \(error)")
        }
        for call in ending.waiting { call(failure) }
        if ending.isOutdated {
            invalidator.showContent(of: file)
        } else if ending.wasShown, !writeBack.isUsed {
            // Where the kernel writes back, size and times are its own.
            invalidator.forgetAttributes(of: file.id)
        }
        if ending.isWanted {
            do {
                try publish(file)
            } catch {
                log("saving goes on later: \(error)")
            }
        }
        state.withLock { state in
            // Asked under the lock: who makes it dirty again comes here afterwards.
            if !file.isDirty || file.isOrphan { state.dirty[ObjectIdentifier(file)] = nil }
        }
        table.dropIfIdle(file)
    }

    func giveBack(_ leftovers: Overlay.Leftovers, of file: FileState) {
        let now = Clock.now()
        if let staged = leftovers.file {
            depot.retire(staged, isSpare: !leftovers.isRecorded, now: now)
        }
        guard let staged = leftovers.partly, !leftovers.ranges.isEmpty else { return }
        let log = log
        depot.retire(now: now) {
            do {
                try file.punch(leftovers.ranges, of: staged)
            } catch {
                log("staging space is given back later: \(error)")
            }
        }
    }

    func nextNumber() -> UInt64 {
        state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
    }
}
