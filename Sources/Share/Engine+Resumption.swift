import Base
import Chunks
import FileTree
import Hypercore

/// A restored device's way to a checkpoint. See <doc:Backups>.
extension Engine {
    mutating func beginResumption(now: Instant) throws(StorageError) {
        guard let point = chances.offers.popLast() else { return }
        for link in point.links where link.log != writers.key(of: ownSlot) {
            guard let slot = writers.insert(link.log), logs[slot] == nil else { continue }
            // A member that this device has not heard of: all that it shows is taken once it is known to be one.
            logs[slot] = try openLog(link.log, slot)
            logs[slot]?.want(only: point.links.filter { $0.log == link.log }.map(\.block))
        }
        // Of what is behind the blocks that are here, and comes before these, the checkpoint tells.
        for link in point.links {
            guard let slot = writers.slot(of: link.log), slot != ownSlot, let log = logs[slot],
                log.length > 0, link.block >= max(log.length, log.fetchStart)
            else { continue }
            if log.fetchStart <= log.length { log.fetchStart = link.block }
            logsToReopen.append(slot)
        }
        resumption = Resumption(
            point: point, phase: .proving(point), deadline: now + Resumption.Limits.patience)
        if chances.refusal == nil {
            notices.append(
                "this device's state is older than what the other members have kept: it goes on from a"
                    + " checkpoint")
        }
        mustOpenLogs = true
        markDirty()
    }

    mutating func noteResumptionProgress() {
        resumption?.deadline = environment.now() + Resumption.Limits.patience
    }

    /// - Returns: whether there is more to do at once.
    mutating func advanceResumption(now: Instant, isConnected: Bool) throws(StorageError) -> Bool {
        guard let current = resumption, failure == nil else { return false }
        if !isConnected { noteResumptionProgress() }
        let isLate = isConnected && current.deadline <= now
        switch current.phase {
        case .proving(let point):
            switch try check(point) {
            case .open: break
            case .wrong(let reason): return try refuseResumption(reason)
            case .proven(let checkpoint):
                resumption?.phase = .fetching(checkpoint)
                try want(checkpoint.content.pieces)
                noteResumptionProgress()
                return true
            }
        case .fetching(let checkpoint):
            if isHere(checkpoint.content) {
                let reader = CheckpointReader(
                    tree: try FileTree(storage: MemoryTreeStorage(), writers: writers),
                    skipsRows: true, timesOf: pendingFork == nil ? nil : ownSlot)
                resumption?.phase = .reading(checkpoint, reader, offset: 0)
                return true
            }
        case .reading(let checkpoint, let reader, let offset):
            return try readMore(of: checkpoint, reader, at: offset)
        case .following(let checkpoint, let contents):
            let isKnown = pendingFork == nil || current.common != nil
            if isKnown, isFollowed(contents, wholly: !isLate) {
                try resume(from: checkpoint, contents)
                guard resumption != nil else { return true }
                return try refuseResumption(
                    forkHindrance ?? "this device cannot read what it wrote")
            }
        }
        if isLate {
            return try refuseResumption(
                current.lateness(isForked: pendingFork != nil), isForGood: false)
        }
        return false
    }

    private mutating func readMore(
        of checkpoint: PublishedCheckpoint, _ known: CheckpointReader, at offset: UInt64
    ) throws(StorageError) -> Bool {
        var reader = known
        do throws(CheckpointError) {
            if let bytes = try Self.piece(of: checkpoint.content, at: offset, in: chunks) {
                try reader.feed(bytes)
                resumption?.phase = .reading(
                    checkpoint, reader, offset: offset + UInt64(bytes.count))
            } else {
                try follow(checkpoint, try reader.finishSkipping())
            }
            noteResumptionProgress()
            return true
        } catch {
            switch error {
            case .malformed(let what): return try refuseResumption("it is malformed: \(what)")
            case .otherView: return try refuseResumption("it holds another view than it says")
            case .storage(let error): throw error
            }
        }
    }

    /// Asks for what comes after the checkpoint, of the logs of all members that it knows.
    private mutating func follow(
        _ checkpoint: PublishedCheckpoint, _ contents: CheckpointContents
    ) throws(CheckpointError) {
        do throws(StorageError) {
            let known = try members(in: contents, by: checkpoint)
            for key in known.logs {
                guard let slot = writers.insert(key) else { continue }
                if logs[slot] == nil { logs[slot] = try openLog(key, slot) }
            }
            for state in contents.states {
                guard let slot = followedSlot(state.writer), let log = logs[slot] else { continue }
                log.wantAll()
                log.fetchStart = state.number
                // The view is about to be another one.
                log.mayLeap = true
                logsToReopen.append(slot)
            }
        } catch {
            throw .malformed("\(error)")
        }
        resumption?.phase = .following(checkpoint, contents)
        beginLooking()
        mustOpenLogs = true
    }

    /// Where a log is fetched to.
    private func followedSlot(_ slot: WriterSlot) -> WriterSlot? {
        if let pendingFork, slot == ownSlot { return pendingFork.branch }
        return slot
    }

    /// Whether what comes after the checkpoint is here: of the own log, or of all.
    private func isFollowed(_ contents: CheckpointContents, wholly: Bool) -> Bool {
        let own = ownSlots
        return contents.states.allSatisfy { state in
            guard wholly || own.contains(state.writer) else { return true }
            guard let log = followedSlot(state.writer).flatMap({ logs[$0] }) else { return false }
            guard log.length >= state.number else { return false }
            return log.isComplete || bound(of: state.writer) < log.length
        }
    }

    /// The members that a checkpoint names, if this device is one of them and all of it counts.
    func members(in contents: CheckpointContents, by checkpoint: PublishedCheckpoint)
        throws(StorageError) -> Membership
    {
        let known = try Membership(
            decoding: contents.values[StoredValue.membership] ?? [],
            foundingLog: membership.foundingLog)
        guard known.isMember(log: checkpoint.log) else {
            throw .corrupt(what: "its author is no member in it")
        }
        guard
            contents.states.allSatisfy({ $0.number <= known.length(of: writers.key(of: $0.writer)) }
            )
        else { throw .corrupt(what: "it holds blocks that do not count") }
        let own = succession?.succession.predecessor ?? writers.key(of: ownSlot)
        guard known.isMember(log: own), known.end(of: own) == nil else {
            throw .corrupt(what: "this device is no member in it")
        }
        return known
    }

    /// - Parameter isForGood: whether it is of no use to try it again, after all others that are offered.
    private mutating func refuseResumption(_ reason: String, isForGood: Bool = true)
        throws(StorageError) -> Bool
    {
        guard let current = resumption else { return false }
        if isForGood { chances.refused.append(current.point) }
        if chances.refused.count > Resumption.Limits.offers { chances.refused.removeFirst() }
        if chances.refusal != reason { notices.append("a checkpoint was refused: \(reason)") }
        chances.refusal = reason
        try endResumption()
        if !isForGood { chances.noteAgain(current.point) }
        return true
    }

    /// What is known of the own log is not what it was when this began: it begins again.
    mutating func beginResumptionAgain() throws(StorageError) {
        guard let current = resumption else { return }
        try endResumption()
        chances.note(current.point)
    }

    private mutating func endResumption() throws(StorageError) {
        chances.hopelessSince = nil
        resumption = nil
        for (slot, log) in logs {
            log.fetchStart = starts[slot]?.number ?? 0
            log.mayLeap = false
        }
        if let branch = pendingFork?.branch {
            logs[branch]?.fetchStart = ownStart
        }
        try rebuildWanted()
    }

    // MARK: Where the own log's histories part

    /// What is known of where they part is of what the source has.
    private mutating func beginLooking() {
        guard let branch = pendingFork.flatMap({ logs[$0.branch] }), branch.length > 0,
            let own = ownLog, case .following? = resumption?.phase
        else { return }
        resumption?.mustLook = false
        resumption?.agreement = nil
        resumption?.nextLook = min(own.length, branch.length)
    }

    /// The source can tell no more: another one may, and else what is known must do.
    ///
    /// - Returns: whom to ask in its place.
    mutating func nextToLook(among sessions: [PeerSession]) -> ConnectionID? {
        guard let current = resumption, current.isSourceAtEnd, let source = branchSource else {
            return nil
        }
        resumption?.isSourceAtEnd = false
        resumption?.ignorant.insert(source.connection)
        let key = writers.key(of: ownSlot)
        let next = sessions.first { session in
            resumption?.ignorant.contains(session.id) == false
                && session.view.clock.contains { $0.0 == key && $0.1 > 0 }
        }
        if next == nil { resumption?.common = current.least }
        return next?.id
    }

    /// How much of the own log's other history to ask its source to prove, once in a while.
    var nextLook: (id: ReplicationID, length: UInt64)? {
        guard let fork = pendingFork, let source = branchSource, let resumption,
            resumption.common == nil, let length = resumption.nextLook
        else { return nil }
        return (ReplicationID(connection: source.connection, slot: fork.branch), length)
    }

    mutating func askForLook(now: Instant, into effects: inout [LogReplication.Effect])
        -> ReplicationID?
    {
        if resumption?.mustLook == true { beginLooking() }
        guard let (id, length) = nextLook else { return nil }
        // Many turns may go by before a slow peer answers.
        if let asked = resumption?.askedLook, asked.id == id, asked.length == length,
            now < asked.until
        {
            return nil
        }
        replications[id]?.askPrefix(length, into: &effects)
        guard !effects.isEmpty else { return nil }
        resumption?.askedLook = (id, length, now + Resumption.Limits.answerPatience)
        return id
    }

    mutating func noteLook(_ prefix: LogPrefix, of slot: WriterSlot) throws(StorageError) {
        guard slot == pendingFork?.branch, resumption?.nextLook == prefix.length,
            case .following(_, let contents)? = resumption?.phase,
            let agreement = try ownLog?.agreement(with: prefix, after: resumption?.agreement)
        else { return }
        noteResumptionProgress()
        resumption?.agreement = agreement
        resumption?.nextLook = agreement.next
        guard agreement.next == nil else { return }
        // A source that has what is here, or too little of it, cannot tell where the other history parts.
        if let difference = try provenDifference(),
            agreement.doubtful == 0 || agreement.contradicts(difference)
        {
            let least = try common(after: difference, by: contents.times)
            resumption?.isSourceAtEnd = true
            resumption?.least = least
        } else {
            resumption?.common = agreement.common
        }
    }

    /// What the proof tells that the other history was first known by; nil if that showed no difference.
    private func provenDifference() throws(StorageError) -> LogAgreement? {
        guard let pendingFork else { return nil }
        return try ownLog?.difference(from: pendingFork.evidence)
    }

    /// The source cannot tell any closer: it began to copy the log after that, and lacks the tree nodes.
    mutating func noteNoLook(_ length: UInt64, of slot: WriterSlot) throws(StorageError) {
        guard slot == pendingFork?.branch, let current = resumption, current.nextLook == length,
            case .following(_, let contents) = current.phase, let own = ownLog,
            let branch = logs[slot]
        else { return }
        noteResumptionProgress()
        resumption?.nextLook = nil
        resumption?.isSourceAtEnd = true
        var proven = current.agreement
        if proven == nil { proven = try own.agreement(with: branch) }
        if let difference = try provenDifference() { proven = proven?.limited(by: difference) }
        guard let proven else { return }
        let least = try common(after: proven, by: contents.times)
        resumption?.least = least
    }

    /// How far the histories are the same, by what is proved and by when blocks were written whose effects the
    /// checkpoint has: no two blocks of a device have one time. What lies behind the last such block is taken for this
    /// device's alone, rather too much than too little.
    private func common(after proven: LogAgreement, by times: [UInt64: HybridTime])
        throws(StorageError) -> UInt64
    {
        let start = max(proven.common, ownStart)
        var common = start
        // One of the doubtful ones differs.
        let end = proven.common &+ proven.doubtful
        for number in times.keys.sorted() where number >= start && number + 1 < end {
            guard let bytes = try ownLog?.block(at: number),
                BlockCodec.time(of: bytes.span) == times[number]
            else { break }
            common = number + 1
        }
        return common
    }
}
