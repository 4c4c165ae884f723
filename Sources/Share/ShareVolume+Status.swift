package import Base
import Chunks
import FileTree
import Hypercore

/// What people and scripts ask of a share, and tell it.
extension ShareVolume {
    /// Everything of `ShareStatus` that the share itself knows; the host adds name, mount point and
    /// transport.
    package func status() -> ShareStatus {
        var status = ShareStatus()
        status.share = keys.shareID.hex
        let sessions = peers.withLock { table in
            status.paused = table.isPaused
            status.pending.chunks = UInt64(table.fetcher.owed.count)
            status.pending.bytes = table.fetcher.owed.bytes
            if let error = table.storeFailure?.error {
                status.problems.append("what other devices send cannot be stored: \(error)")
            }
            return table.ids.compactMap { table.sessions[$0] }
        }
        status.peers = sessions.map { session in
            var peer = ShareStatus.Peer(
                device: session.device, key: session.remoteKey?.hex ?? "",
                address: session.address,
                state: session.isMember ? "connected" : "connecting",
                bytesSent: session.bytesSent, bytesReceived: session.bytesReceived)
            peer.connection = session.id.rawValue
            return peer
        }
        var remoteLengths: [WriterSlot: UInt64] = [:]
        for log in sessions.flatMap(\.logs.values) {
            remoteLengths[log.slot] = max(remoteLengths[log.slot] ?? 0, log.remoteLength)
        }
        engine.withLock { engine in
            // Nobody was asked for these yet.
            for chunk in engine.newlyWanted where chunk.isOwed {
                status.pending.chunks += 1
                status.pending.bytes += UInt64(chunk.reference.length)
            }
            status.device = engine.deviceName
            status.forks = engine.forkReports
            status.members = engine.memberReports
            status.silent = engine.silentMembers
            status.problems +=
                engine.endingProblems + engine.resumptionProblems + engine.otherHistoryProblems
            status.disagreeing = engine.disagreeing(among: sessions)
            for (key, blocks) in engine.holds { status.clock[key.hex] = blocks }
            status.digest = engine.tree.digest.hex
            let totals = engine.tree.totals
            status.files = totals.files
            status.bytes = totals.bytes
            status.conflicts = totals.conflicts
            status.refused = engine.refused
            if let failure = engine.failure {
                status.problems.append("nothing can be changed until the next mount: \(failure)")
            }
            if let refusal = engine.startRefusal { status.problems.append(refusal) }
            status.checkpoint = engine.checkpoints.last.map(engine.report)
            status.start = engine.base.map(engine.report)
            status.isStarting = engine.starting != nil
            if let notice = engine.mergeNotice { status.problems.append(notice) }
            if let notice = engine.clockNotice { status.problems.append(notice) }
            status.pending.blocks = engine.pendingBlocks(remoteLengths)
        }
        return status
    }

    /// Stops syncing, or starts it again; the filesystem goes on working.
    package func setPaused(_ isPaused: Bool) {
        peers.withLock { table in
            table.isPaused = isPaused
            guard isPaused else { return }
            for id in table.ids { drop(id, reason: "syncing is paused", &table) }
        }
        environment.wake()
    }

    /// Whether this device is a member, so that its writes count.
    package var isAdmitted: Bool { engine.withLock { $0.isAdmitted } }

    /// Why a member last refused to admit this device.
    package var refusal: String? { peers.withLock { $0.refusal } }

    /// A link that lets another device in; nil if this device never held an invite.
    package func inviteLink(name: String, addressHints: [String]) throws(StorageError)
        -> InviteLink?
    {
        try engine.withLock { (engine) throws(StorageError) in
            try engine.inviteLink(name: name, addressHints: addressHints)
        }
    }

    /// The share's name as its members set it; nil before the first block is here.
    package func shareName() throws(StorageError) -> String? {
        try engine.withLock { (engine) throws(StorageError) in try engine.shareName() }
    }
}

extension Engine {
    /// Blocks known of and not applied, and own ones that no peer has.
    func pendingBlocks(_ remoteLengths: [WriterSlot: UInt64]) -> UInt64 {
        var pending: UInt64 = 0
        for (slot, log) in logs {
            let known = min(max(remoteLengths[slot] ?? 0, log.length), bound(of: slot))
            let done = applied[slot] ?? 0
            if known > done { pending &+= known - done }
        }
        if let own = ownLog?.length, own > acknowledged { pending &+= own - acknowledged }
        if open != nil { pending &+= 1 }
        return pending
    }

    /// What is to be told when a clock is wrong: blocks carry times no earlier than those of all they have
    /// seen, so one device that is far ahead takes the others with it. Order and merging do not suffer.
    var clockNotice: String? {
        let wall = environment.wallTime().milliseconds
        let newest = tree.newestTime.milliseconds
        guard newest > wall, newest - wall > Limits.clockLead else { return nil }
        let minutes = (newest - wall) / 60_000
        let lead =
            minutes < 120
            ? "\(minutes) minutes"
            : minutes < 2880 ? "\(minutes / 60) hours" : "\(minutes / 1440) days"
        return
            "the newest change of this share is dated \(lead) ahead of this device's clock: set this"
            + " clock right, or those of the other devices; until then log, restore --at and .holdfast/at"
            + " go by the dates that were written"
    }

    /// From the founding log's first block.
    func shareName() throws(StorageError) -> String? {
        guard let slot = writers.slot(of: membership.foundingLog), let log = logs[slot],
            let bytes = try log.block(at: 0)
        else { return nil }
        var codec = BlockCodec(writer: slot)
        guard let block = try? codec.decode(bytes.span, writers: writers) else { return nil }
        for case .set(let setting) in block.operations
        where setting.key == Array("name".utf8) {
            return String(decoding: setting.value, as: UTF8.self)
        }
        return nil
    }
}
