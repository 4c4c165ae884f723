import Base
import FileTree
import Hypercore
import Protomux

/// The channels that replicate logs: one for each log on each connection.
extension ShareVolume {
    /// A new device's way to a checkpoint.
    func followStart(_ table: inout PeerTable, now: Instant, next: inout Instant) {
        let isConnected = table.sessions.values.contains(where: \.isMember)
        do {
            let more = try engine.withLock { (engine) throws(StorageError) in
                try engine.advanceStart(now: now, isConnected: isConnected)
            }
            if more { next = now }
            if let deadline = engine.withLock({ $0.starting?.deadline }) {
                next = min(next, max(deadline, now))
            }
        } catch {
            table.effects.append(.log("storage: \(error)"))
            next = min(next, now + .seconds(1))
        }
    }

    /// A restored device's way to a checkpoint.
    func followResumption(_ table: inout PeerTable, now: Instant, next: inout Instant) {
        let members = table.ids.compactMap { table.sessions[$0] }.filter(\.isMember)
        let chances = engine.withLock { (engine) -> (isDue: Bool, deadline: Instant?) in
            (engine.isLookForLackDue(now: now), engine.chances.deadline)
        }
        if chances.isDue {
            do {
                var effects: [LogReplication.Effect] = []
                let (more, asked) = try engine.withLock { (engine) throws(StorageError) in
                    try engine.lookForLack(among: members, now: now)
                    if engine.seekProvingBlocks() { table.logsGrew = true }
                    let more =
                        try engine.advanceResumption(now: now, isConnected: !members.isEmpty)
                        || engine.mustIntroduce
                    return (more, engine.askForLook(now: now, into: &effects))
                }
                if more { next = now }
                if let asked { send(effects, of: asked, &table, now: now) }
            } catch {
                table.effects.append(.log("storage: \(error)"))
            }
        }
        if let deadline = engine.withLock({ $0.chances.deadline }), !members.isEmpty {
            next = min(next, max(deadline, now))
        }
    }

    private func send(
        _ effects: [LogReplication.Effect], of id: ReplicationID, _ table: inout PeerTable,
        now: Instant
    ) {
        with(id.connection, &table, now: now) { (session, table) throws(SessionError) in
            guard let channel = session.channel(for: id.slot) else { return }
            try self.perform(effects, channel: channel, on: &session, &table)
        }
    }

    /// After a fork: other logs stand behind some slots, and peers must hear of the own new one.
    func followForks(_ table: inout PeerTable, now: Instant) {
        let members = table.ids.compactMap { table.sessions[$0] }.filter(\.isMember)
        do {
            try engine.withLock { (engine) throws(StorageError) in
                try engine.chooseBranchSource(among: members, now: now)
            }
        } catch {
            table.effects.append(.log("storage: \(error)"))
        }
        let (slots, request) = engine.withLock { engine in
            defer {
                engine.logsToReopen = []
                engine.mustIntroduce = false
            }
            return (
                engine.logsToReopen, engine.mustIntroduce ? engine.successionRequest : nil
            )
        }
        guard !slots.isEmpty || request != nil else { return }
        table.announcedCommits = 0
        for id in table.ids {
            with(id, &table, now: now) { (session, _) throws(SessionError) in
                for slot in slots {
                    guard let channel = session.channel(for: slot) else { continue }
                    session.mux.close(channel)
                    session.logs[channel] = nil
                    let id = ReplicationID(connection: session.id, slot: slot)
                    self.engine.withLock { $0.closeReplication(id) }
                }
                try self.openLogs(on: &session)
                if let request, let control = session.control, session.isMember {
                    let message = ControlMessage.succeed(request)
                    session.mux.send(control, type: message.type, payload: message.payload)
                }
            }
        }
    }

    /// Opens channels for logs that came to be known, on every session.
    func openLogs(_ table: inout PeerTable) {
        do {
            try engine.withLock { (engine) throws(StorageError) in _ = try engine.openNewLogs() }
        } catch {
            return table.effects.append(.log("storage: \(error)"))
        }
        let mustOpen = engine.withLock { engine in
            defer { engine.mustOpenLogs = false }
            return engine.mustOpenLogs
        }
        guard mustOpen else { return }
        let now = environment.now()
        for id in table.ids {
            with(id, &table, now: now) { (session, _) throws(SessionError) in
                try self.openLogs(on: &session)
            }
        }
    }

    func openLogs(on session: inout PeerSession) throws(SessionError) {
        guard session.isMember else { return }
        let connection = session.id
        let (remote, now) = (session.remoteKey, environment.now())
        let (slots, heldBack) = engine.withLock { engine in
            let isHeldBack = engine.isHeldBack(from: remote, now: now)
            return (engine.sharedSlots(on: connection), isHeldBack ? engine.ownSlot : nil)
        }
        for slot in slots where slot != heldBack && session.channel(for: slot) == nil {
            try openLog(slot, on: &session)
        }
    }

    func openLog(_ slot: WriterSlot, on session: inout PeerSession)
        throws(SessionError)
    {
        let id = ReplicationID(connection: session.id, slot: slot)
        let handshakeHash = session.handshakeHash
        let isInitiator = session.isInitiator
        let opening = engine.withLock {
            $0.openReplication(id, handshakeHash: handshakeHash, isInitiator: isInitiator)
        }
        guard let opening else { return }
        let channel = session.mux.open(
            LogReplication.protocolName, id: opening.discoveryKey.bytes,
            handshake: opening.handshake)
        session.logs[channel] = PeerSession.LogChannel(slot: slot)
    }

    func perform(
        _ effects: [LogReplication.Effect], channel: Protomux.ChannelID,
        on session: inout PeerSession, _ table: inout PeerTable
    ) throws(SessionError) {
        let slot = session.logs[channel]?.slot
        for effect in effects {
            switch effect {
            case .send(let type, let payload):
                session.mux.send(channel, type: type, payload: payload)
            case .upgraded, .truncated, .released:
                table.logsGrew = true
            case .conflict(let common, let proof), .unfollowed(let common, let proof):
                guard let slot else { continue }
                let connection = session.id
                try stored { (engine) throws(StorageError) in
                    try engine.noteConflict(slot, common: common, proof: proof, from: connection)
                }
                environment.wake()
            case .prefix(let prefix):
                guard let slot else { continue }
                try stored { (engine) throws(StorageError) in try engine.noteLook(prefix, of: slot)
                }
                environment.wake()
            case .noPrefix(let length):
                guard let slot else { continue }
                try stored { (engine) throws(StorageError) in
                    try engine.noteNoLook(length, of: slot)
                }
                environment.wake()
            case .stored(let blocks):
                table.logsGrew = true
                // What comes of the own log is what a peer has: it may have said so before there was so much here.
                if let slot { engine.withLock { $0.noteAcknowledged(blocks.upperBound, of: slot) } }
                // Many rounds may come before the next turn: what is due is committed all the same, or one long
                // transaction would keep everybody waiting at its end. Callers come in between.
                try stored { (engine) throws(StorageError) in try engine.commitIfDue() }
                let wanted = try stored { (engine) throws(StorageError) in
                    _ = try engine.applyStored()
                    return engine.takeNewlyWanted()
                }
                take(wanted, &table, now: environment.now())
            case .remoteLength(let length):
                session.logs[channel]?.remoteLength = length
                if length == 0, let slot { noteHeard(slot, on: session) }
            case .remoteAcknowledged(let length):
                session.logs[channel]?.acknowledged = length
                if let slot { engine.withLock { $0.noteAcknowledged(length, of: slot) } }
            case .shared(let length):
                guard let slot else { continue }
                engine.withLock { $0.noteShared(length, of: slot) }
                if length >= session.logs[channel]?.remoteLength ?? .max {
                    noteHeard(slot, on: session)
                }
            case .violation(let what):
                throw SessionError("log replication: \(what)")
            }
        }
    }

    /// The remote has nothing of a log that is not here.
    private func noteHeard(_ slot: WriterSlot, on session: PeerSession) {
        guard let device = session.remoteKey else { return }
        let wasAwaited = engine.withLock { $0.ownSlot == slot && $0.noteHeard(device) }
        if wasAwaited { environment.wake() }
    }

    /// Answers that waited because much was queued.
    func serveLogs(on session: inout PeerSession, _ table: inout PeerTable)
        throws(SessionError)
    {
        let queuedBytes = session.queuedBytes
        for (channel, log) in session.inOrder {
            var effects: [LogReplication.Effect] = []
            let id = ReplicationID(connection: session.id, slot: log.slot)
            try engine.withLock { (engine) throws(SessionError) in
                try engine.drained(id, queuedBytes: queuedBytes, into: &effects)
            }
            try perform(effects, channel: channel, on: &session, &table)
        }
    }

    func announceLogs(on session: inout PeerSession, _ table: inout PeerTable)
        throws(SessionError)
    {
        for (channel, log) in session.inOrder {
            let slot = log.slot
            var effects: [LogReplication.Effect] = []
            try engine.withLock { (engine) throws(SessionError) in
                try engine.localChanged(
                    ReplicationID(connection: session.id, slot: slot), into: &effects)
            }
            try perform(effects, channel: channel, on: &session, &table)
        }
        tellHolds(on: &session, &table)
    }

    /// Says how much of every log is here, and what that looks like: once no content is missing.
    ///
    /// A peer that has given the first blocks of a log back says nowhere else that it has the last ones: a copy
    /// counts from the front.
    func tellHolds(on session: inout PeerSession, _ table: inout PeerTable) {
        guard let control = session.control, session.isMember else { return }
        guard table.fetcher.owed.count == 0 else { return table.owesHolds = true }
        let (holds, digest) = engine.withLock { ($0.holds, $0.digestOfHolds) }
        var messages = [ControlMessage.holds(holds)]
        if let digest { messages.append(.sees(digest: digest)) }
        for message in messages {
            session.mux.send(control, type: message.type, payload: message.payload)
        }
    }
}
