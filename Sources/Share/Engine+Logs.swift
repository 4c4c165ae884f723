import Base
import FileTree
import Hypercore

/// Replicating logs: what the sessions ask of the engine. The channels' state lives here, since it
/// shares the logs.
extension Engine {
    /// The logs that a peer may replicate: those of members, and the own one.
    func sharedSlots(on connection: ConnectionID) -> [WriterSlot] {
        if starting != nil { return startingSlots }
        let pendingFork = self.pendingFork
        return logs.keys.sorted { $0.rawValue < $1.rawValue }.filter { slot in
            // Of two histories of the own log the one that peers have is replicated.
            if slot == ownSlot { return isAdmitted && pendingFork == nil }
            return slot != pendingFork?.branch || branchSource?.connection == connection
        }
    }

    /// The log that a peer names by its discovery key.
    func slot(discoveryKey: [UInt8], on connection: ConnectionID) -> WriterSlot? {
        let found = logs.keys.sorted { $0.rawValue < $1.rawValue }.filter { slot in
            logs[slot]?.discoveryKey.bytes == discoveryKey
        }
        let slot = found.first { $0 != ownSlot } ?? found.first
        if starting != nil, slot != ownSlot, !startingSlots.contains(slot ?? .none) { return nil }
        if let slot, slot == pendingFork?.branch, branchSource?.connection != connection {
            return nil
        }
        return slot
    }

    /// - Returns: nil if the log is unknown or the connection replicates it already.
    mutating func openReplication(
        _ id: ReplicationID, handshakeHash: [UInt8], isInitiator: Bool
    ) -> (discoveryKey: Bytes32, handshake: [UInt8])? {
        guard let log = logs[id.slot], replications[id] == nil else { return nil }
        let replication = LogReplication(
            log: log, handshakeHash: handshakeHash, isInitiator: isInitiator,
            isWithheld: id.slot == ownSlot && !hasHeardOthers)
        replications[id] = replication
        return (log.discoveryKey, replication.openHandshake)
    }

    mutating func replicationOpened(
        _ id: ReplicationID, _ handshake: [UInt8], into effects: inout [LogReplication.Effect]
    ) throws(SessionError) {
        do {
            try replications[id]?.opened(remoteHandshake: handshake, into: &effects)
        } catch {
            throw SessionError(storage: error)
        }
        noteStored(effects)
    }

    mutating func receive(
        _ id: ReplicationID, type: Int, _ payload: [UInt8], queuedBytes: Int,
        into effects: inout [LogReplication.Effect]
    ) throws(SessionError) {
        do {
            if id.slot == ownSlot, LogReplication.bringsBlocks(type: type) {
                // The open block's number must stay the next one: if the log turns out to be longer,
                // this device has forgotten some of it.
                try commit()
            }
            replications[id]?.queuedBytes = queuedBytes
            try replications[id]?.receive(type: type, payload: payload.span, into: &effects)
        } catch {
            throw SessionError(storage: error)
        }
        noteStored(effects)
    }

    /// The log grew, by this device or through another connection.
    mutating func localChanged(
        _ id: ReplicationID, into effects: inout [LogReplication.Effect]
    ) throws(SessionError) {
        do {
            try replications[id]?.localChanged(into: &effects)
        } catch {
            throw SessionError(storage: error)
        }
        noteStored(effects)
    }

    /// Less waits on the connection now.
    mutating func drained(
        _ id: ReplicationID, queuedBytes: Int, into effects: inout [LogReplication.Effect]
    ) throws(SessionError) {
        do {
            try replications[id]?.drained(queuedBytes: queuedBytes, into: &effects)
        } catch {
            throw SessionError(storage: error)
        }
    }

    mutating func tick(
        _ id: ReplicationID, now: Instant, into effects: inout [LogReplication.Effect]
    ) throws(SessionError) {
        do {
            try replications[id]?.tick(now: now, into: &effects)
        } catch {
            throw SessionError(storage: error)
        }
    }

    mutating func closeReplication(_ id: ReplicationID) {
        guard var replication = replications.removeValue(forKey: id) else { return }
        replication.closed()
    }

    private mutating func noteStored(_ effects: [LogReplication.Effect]) {
        for effect in effects {
            switch effect {
            case .stored:
                markDirty()
                noteStartProgress()
                noteResumptionProgress()
            // The block after it may never come, and nothing is said before the own log is committed.
            case .upgraded, .truncated: markDirty()
            default: break
            }
        }
    }

    /// A peer has this much of a log without a gap.
    mutating func noteAcknowledged(_ length: UInt64, of slot: WriterSlot) {
        guard slot == ownSlot, length > acknowledged else { return }
        acknowledged = length
        markDirty()
    }

    /// A peer's copy of the own log is the history that is here.
    mutating func noteShared(_ length: UInt64, of slot: WriterSlot) {
        guard slot == ownSlot, pendingFork == nil else { return }
        shared = (slot, max(length, sharedOfOwn))
    }

    /// How much of the own log members are known to have just as it is here. What they only say to have seen may be of
    /// another history, where this device's state was restored or cloned and nobody has found out yet.
    var sharedOfOwn: UInt64 { shared.slot == ownSlot ? shared.length : 0 }

    /// How far this device has applied every log.
    var holds: [(Bytes32, UInt64)] {
        logs.keys.sorted { $0.rawValue < $1.rawValue }.filter { $0 != pendingFork?.branch }
            .map { slot in (writers.key(of: slot), applied[slot] ?? 0) }
    }

    mutating func takeNewlyWanted() -> [WantedChunk] {
        let taken = newlyWanted
        newlyWanted = []
        return taken
    }
}
