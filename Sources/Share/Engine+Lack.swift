import Base
import FileTree
import Hypercore

/// Finding out that blocks are lacked which nobody has any more. See <doc:Backups>.
extension Engine {
    /// The next block of each log that is known of and not here.
    func lackedBlocks() -> [(slot: WriterSlot, block: UInt64)] {
        guard starting == nil else { return [] }
        let branch = pendingFork?.branch
        return logs.keys.sorted { $0.rawValue < $1.rawValue }.compactMap { slot in
            guard let log = logs[slot] else { return nil }
            if slot == branch { return log.firstMissing.map { (slot, $0) } }
            let next = applied[slot] ?? 0
            guard !stopped.contains(slot), membership.isMember(log: log.key) || slot == ownSlot,
                next < min(bound(of: slot), log.signedLength), !log.hasBlock(at: next)
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
            guard let replication, replication.remoteLength != nil else { return false }
            return !replication.remoteHas(lacked.block)
                || lacked.block >= replication.log.length && !replication.canBeFollowed
        }
        guard isBranch else { return !holders.isEmpty && holders.allSatisfy(lacks) }
        // They are asked one after another.
        for id in holders where id == branchSource?.connection {
            if lacks(id) {
                chances.emptyBranchSources.insert(id)
            } else if replications[ReplicationID(connection: id, slot: lacked.slot)]?
                .remoteHas(lacked.block) == true
            {
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
        if !isLacking, pendingFork == nil { (chances.refused, chances.refusal) = ([], nil) }
        try introduceIfDue(isConnected: !sessions.isEmpty)
        // The next source has just been asked.
        if let branch = pendingFork?.branch, logs[branch]?.length == 0 { return }
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

    var isAdmittedOrSucceeding: Bool {
        isAdmitted
            || succession.map { membership.isMember(log: $0.succession.predecessor) } ?? false
    }

    // MARK: A log begun meanwhile

    /// Whether the log before this one has blocks that are not in the view: what was written since has not seen
    /// them. Nobody is told of the new log until they are, or until it is clear that they can be had.
    private var lacksPredecessor: Bool {
        guard let succession, !isAdmitted,
            let slot = writers.slot(of: succession.succession.predecessor), let log = logs[slot],
            applied[slot] ?? 0 < min(log.length, bound(of: slot))
        else { return false }
        return chances.looksToIntroduction > 0
    }

    private mutating func introduceIfDue(isConnected: Bool) throws(StorageError) {
        guard succession != nil, !isAdmitted, !chances.isIntroduced, isConnected else { return }
        if resumption != nil || chances.hopelessSince != nil {
            chances.looksToIntroduction = Resumption.Limits.looksToIntroduction
        } else if chances.looksToIntroduction > 0 {
            chances.looksToIntroduction -= 1
        }
        try introduce()
    }

    /// Shows members the own log, if all is known that came before it and it says nothing that may come no more.
    mutating func introduce() throws(StorageError) {
        guard !lacksPredecessor else { return }
        if try mayHaveSettledUnseen(), try !writeAllAgain() { return }
        chances.isIntroduced = true
        mustIntroduce = true
    }

    // MARK: For people

    /// What is to be done if blocks are lacked that nobody has any more.
    var resumptionProblems: [String] {
        // Who has just come may have them, and so may who is about to say what it has.
        let isHopeless =
            chances.hopelessSince.map { environment.now() - $0 >= Resumption.Limits.hope } ?? false
        guard resumption != nil || (isHopeless || chances.refusal != nil) && !lackedBlocks().isEmpty
        else { return [] }
        let what =
            "this device's state is older than what the other members have kept, as that of a restored backup: "
        if resumption != nil || chances.refusal == nil && !chances.offers.isEmpty {
            return [
                what
                    + "it goes over to a checkpoint of theirs. Until then it does not get what they write;"
                    + " what is written here is kept"
            ]
        }
        let why =
            chances.refusal.map { "it could not go over to a checkpoint of theirs (\($0))" }
            ?? "nobody who is connected offers a checkpoint to go on from"
        return [
            what
                + "\(why). What is written here is kept, and does not reach them. Connect another member; or: "
                + Self.howToBeginAnew
        ]
    }

    /// For a device that cannot be what it was any more.
    static let howToBeginAnew =
        "holdfast export --to FOLDER writes what only this device has; holdfast join --anew, with a new"
        + " link and another mount point, makes it a new device; copy into that what is missing there"
}
