import Base
import Chunks
import FileTree
import Hypercore

/// A member's way to a checkpoint, because blocks that it needs to go on were given back by everybody: its state was
/// restored from a backup older than what the others begin from. See <doc:Backups>.
///
/// The view stays as it was until all is here, and then changes in one transaction (`Engine.resume`).
struct Resumption {
    enum Phase {
        /// The blocks that prove the checkpoint are on their way.
        case proving(StartingPoint)
        /// So are its pieces.
        case fetching(PublishedCheckpoint)
        /// What it holds besides the view is being looked up.
        case reading(PublishedCheckpoint, CheckpointReader, offset: UInt64)
        /// The blocks after it are on their way.
        case following(PublishedCheckpoint, CheckpointContents)
    }

    enum Limits {
        /// How long nobody may have the blocks before a checkpoint is asked for: another member may come.
        static let hope = Duration.seconds(10)
        /// How long nothing may come while somebody is connected.
        static let patience = Duration.seconds(60)
        /// From one look to the next while blocks are lacked, and while none are.
        static let interval = Duration.seconds(1)
        static let longInterval = Duration.seconds(5)
        /// Starting points remembered, and those that came to nothing.
        static let offers = 8
    }

    let point: StartingPoint
    var phase: Phase
    var deadline: Instant
    /// Blocks that the own log's two histories have in common, once that is known; and where to look next.
    var common: UInt64?
    var nextLook: UInt64?

    /// The checkpoint, once it is proved.
    var checkpoint: PublishedCheckpoint? {
        switch phase {
        case .proving: nil
        case .fetching(let checkpoint), .reading(let checkpoint, _, _),
            .following(let checkpoint, _):
            checkpoint
        }
    }
}

/// What a device that may have to resume knows of its chances.
struct ResumptionChances {
    /// Since when all members that are connected have given back what is lacked here.
    var hopelessSince: Instant?
    /// Where members say that one can start, the last one last.
    var offers: [StartingPoint] = []
    var refused: [StartingPoint] = []
    /// Why the last one was refused, for people.
    var refusal: String?
    /// Members that have been asked for the own log's other history, and have given some of it back.
    var emptyBranchSources: Set<ConnectionID> = []
    /// When to look next.
    var deadline: Instant?
    /// A log begun while the one before was not applied to its end is shown to members from then on.
    var introduceAt: Instant?
    var isIntroduced = false

    mutating func note(_ offer: StartingPoint) {
        guard !refused.contains(offer) else { return }
        offers.removeAll { $0 == offer }
        offers.append(offer)
        if offers.count > Resumption.Limits.offers { offers.removeFirst() }
    }
}

extension Engine {
    // MARK: Whether there is need

    /// The next block of each log that is known of and not here.
    func lackedBlocks() -> [(slot: WriterSlot, block: UInt64)] {
        guard starting == nil else { return [] }
        let branch = pendingFork?.branch
        return logs.keys.sorted { $0.rawValue < $1.rawValue }.compactMap { slot in
            guard let log = logs[slot] else { return nil }
            if slot == branch { return log.firstMissing.map { (slot, $0) } }
            let next = applied[slot] ?? 0
            guard !stopped.contains(slot), membership.isMember(log: log.key) || slot == ownSlot,
                next < min(bound(of: slot), log.length), !log.hasBlock(at: next)
            else { return nil }
            return (slot, next)
        }
    }

    /// Whether every member that is connected and has applied a block has given it back.
    private mutating func isGivenBack(
        _ lacked: (slot: WriterSlot, block: UInt64), among sessions: [PeerSession]
    ) -> Bool {
        let isBranch = lacked.slot == pendingFork?.branch
        let key = isBranch ? writers.key(of: ownSlot) : writers.key(of: lacked.slot)
        let holders = sessions.filter { session in
            session.view.clock.contains { $0.0 == key && $0.1 > lacked.block }
        }.map(\.id)
        func lacks(_ id: ConnectionID) -> Bool {
            let replication = replications[ReplicationID(connection: id, slot: lacked.slot)]
            return replication.map { $0.remoteLength != nil && !$0.remoteHas(lacked.block) } ?? false
        }
        guard isBranch else { return !holders.isEmpty && holders.allSatisfy(lacks) }
        // They are asked one after another.
        for id in holders where id == branchSource?.connection {
            if lacks(id) {
                chances.emptyBranchSources.insert(id)
            } else {
                chances.emptyBranchSources.remove(id)
            }
        }
        return !holders.isEmpty && holders.allSatisfy(chances.emptyBranchSources.contains)
    }

    func isLookForLackDue(now: Instant) -> Bool {
        resumption != nil || chances.deadline.map { $0 <= now } ?? true
    }

    /// Looks whether blocks are lacked that nobody has any more, and begins to resume if it stays so.
    mutating func lookForLack(among sessions: [PeerSession], now: Instant) throws(StorageError) {
        if let deadline = chances.deadline, now < deadline { return }
        let lacked = lackedBlocks()
        let isLacking = !lacked.isEmpty
        chances.deadline =
            now + (isLacking ? Resumption.Limits.interval : Resumption.Limits.longInterval)
        if !isLacking { (chances.refused, chances.refusal) = ([], nil) }
        introduceIfDue(isLacking: isLacking, isConnected: !sessions.isEmpty, now: now)
        guard resumption == nil, isLacking, failure == nil, isAdmittedOrSucceeding, !hasEnded,
            cutBase == nil
        else {
            if !isLacking { chances.hopelessSince = nil }
            return
        }
        guard lacked.contains(where: { isGivenBack($0, among: sessions) }) else {
            chances.hopelessSince = nil
            return
        }
        let since = chances.hopelessSince ?? now
        chances.hopelessSince = since
        guard now - since >= Resumption.Limits.hope else { return }
        try beginResumption(now: now)
    }

    private var isAdmittedOrSucceeding: Bool {
        isAdmitted || succession.map { membership.isMember(log: $0.succession.predecessor) } ?? false
    }

    // MARK: Going on

    private mutating func beginResumption(now: Instant) throws(StorageError) {
        guard let point = chances.offers.popLast() else { return }
        for link in point.links where link.log != writers.key(of: ownSlot) {
            guard let slot = writers.insert(link.log), logs[slot] == nil else { continue }
            // A member that this device has not heard of: all that it shows is taken once it is known to be one.
            logs[slot] = try openLog(link.log, slot)
            logs[slot]?.want(only: point.links.filter { $0.log == link.log }.map(\.block))
        }
        resumption = Resumption(
            point: point, phase: .proving(point), deadline: now + Resumption.Limits.patience)
        notices.append(
            "this device's state is older than what the other members have kept: it goes on from a"
                + " checkpoint")
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
                    skipsRows: true)
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
                return try refuseResumption(forkHindrance ?? "this device cannot read what it wrote")
            }
        }
        if isLate { return try refuseResumption("it did not come, or not what comes after it") }
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
                logsToReopen.append(slot)
            }
        } catch {
            throw .malformed("\(error)")
        }
        resumption?.phase = .following(checkpoint, contents)
        if let branch = pendingFork.flatMap({ logs[$0.branch] }), let own = ownLog {
            resumption?.nextLook = min(own.length, branch.length)
        }
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
        guard contents.states.allSatisfy({ $0.number <= known.length(of: writers.key(of: $0.writer)) })
        else { throw .corrupt(what: "it holds blocks that do not count") }
        let own = succession?.succession.predecessor ?? writers.key(of: ownSlot)
        guard known.isMember(log: own), known.end(of: own) == nil else {
            throw .corrupt(what: "this device is no member in it")
        }
        return known
    }

    private mutating func refuseResumption(_ reason: String) throws(StorageError) -> Bool {
        guard let current = resumption else { return false }
        chances.refused.append(current.point)
        if chances.refused.count > Resumption.Limits.offers { chances.refused.removeFirst() }
        chances.refusal = reason
        chances.hopelessSince = nil
        notices.append("a checkpoint was refused: \(reason)")
        resumption = nil
        for (slot, log) in logs { log.fetchStart = starts[slot]?.number ?? 0 }
        if let branch = pendingFork?.branch {
            logs[branch]?.fetchStart = starts[ownSlot]?.number ?? 0
        }
        try rebuildWanted()
        return true
    }

    // MARK: Where the own log's histories part

    /// How much of the own log's other history to ask its source to prove, once in a while.
    var nextLook: (id: ReplicationID, length: UInt64)? {
        guard let fork = pendingFork, let source = branchSource, let resumption,
            resumption.common == nil, let length = resumption.nextLook
        else { return nil }
        return (ReplicationID(connection: source.connection, slot: fork.branch), length)
    }

    mutating func askForLook(into effects: inout [LogReplication.Effect]) -> ReplicationID? {
        guard let (id, length) = nextLook else { return nil }
        replications[id]?.askPrefix(length, into: &effects)
        return id
    }

    mutating func noteLook(_ prefix: LogPrefix, of slot: WriterSlot) throws(StorageError) {
        guard slot == pendingFork?.branch, resumption?.nextLook == prefix.length,
            let agreement = try ownLog?.agreement(with: prefix)
        else { return }
        noteResumptionProgress()
        resumption?.nextLook = agreement.next
        if agreement.next == nil { resumption?.common = agreement.common }
    }

    // MARK: A log begun meanwhile

    /// Whether the log before this one has blocks that are not in the view: what was written since has not seen
    /// them. Nobody is told of the new log until they are, or until it is clear that they can be had.
    var holdsBackIntroduction: Bool {
        guard let succession, !isAdmitted,
            let slot = writers.slot(of: succession.succession.predecessor), let log = logs[slot],
            applied[slot] ?? 0 < min(log.length, bound(of: slot))
        else { return false }
        return chances.introduceAt.map { environment.now() < $0 } ?? true
    }

    private mutating func introduceIfDue(isLacking: Bool, isConnected: Bool, now: Instant) {
        guard succession != nil, !isAdmitted, !chances.isIntroduced else { return }
        if isConnected, chances.introduceAt == nil || resumption != nil || chances.hopelessSince != nil
        {
            chances.introduceAt = now + Resumption.Limits.patience
        }
        guard isConnected, !holdsBackIntroduction else { return }
        chances.isIntroduced = true
        mustIntroduce = true
    }

    // MARK: For people

    /// What is to be done if blocks are lacked that nobody has any more.
    var resumptionProblems: [String] {
        guard chances.hopelessSince != nil || chances.refusal != nil || resumption != nil else {
            return []
        }
        let what =
            "this device's state is older than what the other members have kept, as that of a restored backup: "
        if resumption != nil || chances.refusal == nil {
            return [
                what + "it goes over to a checkpoint of theirs. Until then it does not get what they write;"
                    + " what is written here is kept"
            ]
        }
        return [
            what + "it could not go over to a checkpoint of theirs (\(chances.refusal ?? "")). What is"
                + " written here is kept, and does not reach them. Connect another member; or: holdfast"
                + " export --to FOLDER writes what only this device has; holdfast join --anew, with a new"
                + " link and another mount point, makes it a new device; copy into that what is missing there"
        ]
    }
}
