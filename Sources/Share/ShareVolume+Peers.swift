package import Base
import Chunks
import Crypto
import FileTree
import Hypercore
package import Noise
import Protomux
import Wire

/// The peer-facing side: bytes in, effects out. Called by the event loop.
extension ShareVolume: ConnectionHandler {
    package func connectionOpened(
        _ id: ConnectionID, isInitiator: Bool, address: String, handshake: HandshakeResult?
    ) {
        let now = environment.now()
        peers.withLock { table in
            guard !table.isPaused else {
                return table.effects.append(.close(id, reason: "syncing is paused"))
            }
            guard table.sessions.count < PeerTable.Limits.sessions else {
                return table.effects.append(.close(id, reason: "too many connections"))
            }
            var session = PeerSession(
                id: id, isInitiator: isInitiator, address: address, keyPair: device,
                ephemeral: KeyPair(seed: randomBytes32()),
                headerNonce: environment.randomBytes(SecretStreamState.headerSize),
                handshake: handshake, now: now)
            var output: [UInt8] = []
            session.stream.start(into: &output)
            if let handshake { openControl(handshake.handshakeHash, on: &session) }
            table.sessions[id] = session
            table.send(output, on: id, now: now)
            flush(id, &table, now: now)
        }
    }

    package func networkChanged() {
        let now = environment.now()
        peers.withLock { table in
            for id in table.ids where table.sessions[id]?.isMember == true {
                sendKeepAlive(id, &table, now: now)
            }
        }
    }

    package func connectionReceived(_ id: ConnectionID, _ bytes: Span<UInt8>) {
        let now = environment.now()
        var finished: [(@Sendable (Bool) -> Void, Bool)] = []
        var changes: [ViewChange] = []
        peers.withLock { table in
            guard var session = table.sessions.removeValue(forKey: id) else { return }
            session.receivedAt = now
            session.bytesReceived &+= UInt64(bytes.count)
            do throws(SessionError) {
                try receive(bytes, on: &session, &table, now: now)
                table.sessions[id] = session
                flush(id, &table, now: now)
            } catch {
                table.sessions[id] = session
                drop(error, id, &table)
            }
            finished = table.takeFinishedDemands(now: now)
            changes = engine.withLock { $0.takeChanges() }
        }
        for (completion, isHere) in finished { completion(isHere) }
        notify(changes)
    }

    package func connectionDrained(_ id: ConnectionID, queuedBytes: Int) {
        peers.withLock { table in
            guard var session = table.sessions.removeValue(forKey: id) else { return }
            session.queuedBytes = queuedBytes
            do throws(SessionError) {
                try serveLogs(on: &session, &table)
                try serveChunks(on: &session, &table)
                table.sessions[id] = session
                flush(id, &table, now: environment.now())
            } catch {
                table.sessions[id] = session
                drop(error, id, &table)
            }
        }
    }

    package func connectionClosed(_ id: ConnectionID, reason: String) {
        peers.withLock { table in forget(id, &table) }
    }

    package func advance(into effects: inout [ShareEffect]) -> Instant {
        let now = environment.now()
        var next = now + .seconds(60)
        var finished: [(@Sendable (Bool) -> Void, Bool)] = []
        var (changes, notices) = commitAndApply(now: now, next: &next)
        changes += mergeVersions(now: now, next: &next)
        peers.withLock { table in
            followForks(&table, now: now)
            announce(&table, now: now)
            settleArrived(&table, now: now)
            fetch(&table, now: now)
            tick(&table, now: now)
            for id in table.ids { keepAlive(id, &table, now: now) }
            finished = table.takeFinishedDemands(now: now)
            if engine.withLock({ !$0.merges.isIdle }) { next = now }
            for demand in table.demands { next = min(next, demand.deadline) }
            for session in table.sessions.values { next = min(next, session.deadline()) }
            if let deadline = table.settleDeadline { next = min(next, deadline) }
            if let deadline = table.retryDeadline { next = min(next, deadline) }
            if let deadline = table.tickDeadline { next = min(next, deadline) }
            effects.append(contentsOf: notices.map { .log($0) })
            // After all that could say something: another thread may have written meanwhile.
            let isDurable = keepPromises(&table, now: now)
            if let deadline = table.durableDeadline { next = min(next, deadline) }
            table.takeEffects(holdingBack: !isDurable, into: &effects)
        }
        for (completion, isHere) in finished { completion(isHere) }
        notify(changes)
        return next
    }

    // MARK: Time

    /// Seals and commits what is due, and goes on applying what was received.
    private func commitAndApply(now: Instant, next: inout Instant) -> ([ViewChange], [String]) {
        var changes: [ViewChange] = []
        var notices: [String] = []
        engine.withLock { engine in
            do throws(StorageError) {
                if try engine.applyStored() { next = now }
                try engine.publishCheckpointIfDue(now: now)
                if let deadline = engine.checkpointDeadline { next = min(next, max(deadline, now)) }
                let sealDeadline = engine.sealDeadline ?? .distantFuture
                let commitDeadline =
                    engine.open != nil
                    ? .distantFuture
                    : engine.dirtySince.map { $0 + Engine.Limits.commitAfter } ?? .distantFuture
                if sealDeadline <= now || commitDeadline <= now {
                    try engine.commit()
                } else {
                    next = min(next, sealDeadline, commitDeadline)
                }
                engine.toldFailure = nil
            } catch {
                // Nothing is lost: what a full disk stopped stays open and is tried again.
                if engine.toldFailure != error { engine.notices.append("storage: \(error)") }
                engine.toldFailure = error
                next = min(next, now + .seconds(1))
            }
            changes = engine.takeChanges()
            notices = engine.notices
            engine.notices = []
        }
        return (changes, notices)
    }

    /// Tells every peer of new blocks, once they are durable.
    private func announce(_ table: inout PeerTable, now: Instant) {
        let commits = engine.withLock { $0.ownCommits }
        if commits != table.announcedCommits, keepPromises(&table, now: now) {
            table.announcedCommits = commits
            table.logsGrew = true
        }
        openLogs(&table)
        guard table.logsGrew else { return }
        table.logsGrew = false
        for id in table.ids {
            with(id, &table, now: now) { (session, table) throws(SessionError) in
                try self.announceLogs(on: &session, &table)
            }
        }
    }

    /// Makes durable what may have been said of the own log: a block that a peer has seen must never be
    /// followed by another at its place.
    ///
    /// - Returns: whether it is, or there is nobody who could hear of it yet. If not, nothing may be sent at
    ///   all: any answer could tell of it.
    private func keepPromises(_ table: inout PeerTable, now: Instant) -> Bool {
        let (commits, isCommitted) = engine.withLock { engine in
            (engine.ownCommits, engine.committed == (engine.ownSlot, engine.ownLog?.length ?? 0))
        }
        guard isCommitted else { return false }
        guard commits != table.durableCommits, table.mustBeDurable(now: now) else { return true }
        do throws(StorageError) {
            try makeDurable()
        } catch {
            table.durableDeadline = now + .seconds(1)
            table.effects.append(.log("storage: \(error)"))
            return false
        }
        table.durableCommits = commits
        table.durableDeadline = nil
        return true
    }

    private func announceLogs(on session: inout PeerSession, _ table: inout PeerTable)
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
        let (holds, digest) = engine.withLock { ($0.holds, $0.digestOfHolds) }
        if table.fetcher.count == 0, let control = session.control, session.isMember {
            var messages = [ControlMessage.holds(holds)]
            if let digest { messages.append(.sees(digest: digest)) }
            for message in messages {
                session.mux.send(control, type: message.type, payload: message.payload)
            }
        }
    }

    private func tick(_ table: inout PeerTable, now: Instant) {
        guard !table.sessions.isEmpty else { return table.tickDeadline = nil }
        if let deadline = table.tickDeadline, deadline > now { return }
        table.tickDeadline = now + PeerTable.Limits.tickInterval
        for id in table.ids {
            with(id, &table, now: now) { (session, table) throws(SessionError) in
                for (channel, log) in session.inOrder {
                    var effects: [LogReplication.Effect] = []
                    let id = ReplicationID(connection: session.id, slot: log.slot)
                    try self.engine.withLock { (engine) throws(SessionError) in
                        try engine.tick(id, now: now, into: &effects)
                    }
                    try self.perform(effects, channel: channel, on: &session, &table)
                }
                var effects: [ChunkExchange.Effect] = []
                session.chunks?.exchange.tick(now: now, into: &effects)
                try self.perform(effects, on: &session, &table, now: now)
            }
        }
    }

    private func keepAlive(_ id: ConnectionID, _ table: inout PeerTable, now: Instant) {
        guard let session = table.sessions[id], session.deadline() <= now else { return }
        if !session.isMember {
            return drop(id, reason: "no proof of membership in time", &table)
        }
        if session.receivedAt + PeerSession.Limits.silenceMax <= now {
            return drop(id, reason: "nothing heard for a while", &table)
        }
        sendKeepAlive(id, &table, now: now)
    }

    private func sendKeepAlive(_ id: ConnectionID, _ table: inout PeerTable, now: Instant) {
        var output: [UInt8] = []
        let nothing: [UInt8] = []
        table.sessions[id]?.stream.send(nothing.span, into: &output)
        table.send(output, on: id, now: now)
    }

    // MARK: Receiving

    private func receive(
        _ bytes: Span<UInt8>, on session: inout PeerSession, _ table: inout PeerTable,
        now: Instant
    ) throws(SessionError) {
        var offset = 0
        var message: [UInt8] = []
        var output: [UInt8] = []
        while true {
            let found: SecretStream.Found?
            do {
                found = try session.stream.next(
                    in: bytes, from: &offset, into: &message, output: &output)
            } catch {
                throw SessionError("secret stream: \(error)")
            }
            table.send(output, on: &session, now: now)
            output.removeAll()
            switch found {
            case .connected(let remoteKey, let handshakeHash):
                try connected(remoteKey, handshakeHash, on: &session)
            case .message:
                try receive(message: message.span, on: &session, &table, now: now)
            case nil: return
            }
        }
    }

    private func connected(
        _ remoteKey: Bytes32, _ handshakeHash: [UInt8], on session: inout PeerSession
    ) throws(SessionError) {
        guard remoteKey != device.publicKey else {
            throw SessionError("this is the device itself", isOwnFault: true)
        }
        session.remoteKey = remoteKey
        openControl(handshakeHash, on: &session)
    }

    /// Shows that this side holds the share key, and, where the handshake did not, which device it
    /// is.
    private func openControl(_ handshakeHash: [UInt8], on session: inout PeerSession) {
        session.handshakeHash = handshakeHash
        let isInitiator = session.isInitiator
        var open = WireWriter()
        open.writeUInt(ControlMessage.version)
        open.writeBytes32(keys.capability(handshakeHash: handshakeHash, isInitiator: isInitiator))
        if session.isNodeKeyed {
            let proof = ControlMessage.deviceProof(
                handshakeHash: handshakeHash, isInitiator: isInitiator)
            open.writeBytes32(device.publicKey)
            open.writeRaw(device.sign(proof))
        }
        open.writeUInt64(instance)
        session.control = session.mux.open(
            ControlMessage.protocolName, id: keys.controlChannel.bytes, handshake: open.bytes)
    }

    private func receive(
        message: Span<UInt8>, on session: inout PeerSession, _ table: inout PeerTable,
        now: Instant
    ) throws(SessionError) {
        var events: [Protomux.Event] = []
        do {
            try session.mux.receive(message, events: &events)
        } catch {
            throw SessionError("channels: \(error)")
        }
        try handle(events, on: &session, &table, now: now)
        try handleOpened(on: &session, &table, now: now)
    }

    /// What opening a channel brought up: the remote's Open, and messages kept for it.
    private func handleOpened(
        on session: inout PeerSession, _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        while true {
            var events: [Protomux.Event] = []
            session.mux.takeEvents(into: &events)
            guard !events.isEmpty else { return }
            try handle(events, on: &session, &table, now: now)
        }
    }

    private func handle(
        _ events: [Protomux.Event], on session: inout PeerSession, _ table: inout PeerTable,
        now: Instant
    ) throws(SessionError) {
        for event in events {
            switch event {
            case .opened(let channel, let handshake):
                try opened(channel, handshake, on: &session, &table)
            case .message(let channel, let type, let payload):
                try received(channel, type, payload, on: &session, &table, now: now)
            case .closed(let channel):
                try closed(channel, on: &session, &table)
            case .openRequested(let name, let id):
                try requested(name, id, on: &session)
            }
        }
    }

    private func opened(
        _ channel: Protomux.ChannelID, _ handshake: [UInt8], on session: inout PeerSession,
        _ table: inout PeerTable
    ) throws(SessionError) {
        if channel == session.control {
            try checkOpen(handshake, of: &session)
            session.isMember = true
            if let key = session.remoteKey,
                let shared = Bytes32(Array(session.handshakeHash.prefix(32)))
            {
                table.effects.append(
                    .identified(
                        session.id, key: key, session: shared, instance: session.remoteInstance))
            }
            try greet(on: &session, &table)
        } else if let slot = session.logs[channel]?.slot {
            var effects: [LogReplication.Effect] = []
            try engine.withLock { (engine) throws(SessionError) in
                try engine.replicationOpened(
                    ReplicationID(connection: session.id, slot: slot), handshake, into: &effects)
            }
            try perform(effects, channel: channel, on: &session, &table)
        } else if channel == session.chunks?.channel {
            session.chunks?.isOpen = true
        }
    }

    /// Checks that the remote holds the share key, and which device it is.
    private func checkOpen(_ handshake: [UInt8], of session: inout PeerSession)
        throws(SessionError)
    {
        let (hash, isInitiator) = (session.handshakeHash, !session.isInitiator)
        var reader = WireReader(handshake.span)
        guard let version = try? reader.readUInt(), version >= 1,
            let capability = try? reader.readBytes32(),
            capability == keys.capability(handshakeHash: hash, isInitiator: isInitiator)
        else { throw SessionError("the peer does not hold this share's key") }
        defer { session.remoteInstance = (try? reader.readUInt64()) ?? 0 }
        guard session.isNodeKeyed else { return }
        let proof = ControlMessage.deviceProof(handshakeHash: hash, isInitiator: isInitiator)
        guard let key = try? reader.readBytes32(),
            let signature = try? reader.readBytes(signatureSize),
            verify(signature: signature, message: proof, publicKey: key)
        else { throw SessionError("the peer does not prove which device it is") }
        guard key != device.publicKey else {
            throw SessionError("this is the device itself", isOwnFault: true)
        }
        session.remoteKey = key
    }

    /// The remote has proved itself: says who this is and opens what there is to share.
    private func greet(on session: inout PeerSession, _ table: inout PeerTable)
        throws(SessionError)
    {
        guard let control = session.control else { return }
        let handshakeHash = session.handshakeHash
        let messages = try stored { (engine) throws(StorageError) in
            let log = engine.isAdmitted ? engine.ownLog?.key : nil
            var messages = [ControlMessage.hello(device: engine.deviceName, log: log)]
            if let request = engine.successionRequest {
                messages.append(.succeed(request))
            } else if log == nil,
                let request = try engine.joinRequest(handshakeHash: handshakeHash)
            {
                messages.append(.join(request))
            }
            return messages
        }
        for message in messages {
            session.mux.send(control, type: message.type, payload: message.payload)
        }
        let channel = session.mux.open(
            ChunkExchange.protocolName, id: keys.chunkChannel.bytes, handshake: [])
        session.chunks = PeerSession.ChunkChannel(
            channel: channel,
            exchange: ChunkExchange(storage: chunks))
        try openLogs(on: &session)
    }

    private func requested(
        _ name: String, _ id: [UInt8], on session: inout PeerSession
    ) throws(SessionError) {
        // Until the remote has proved itself, and for logs not known yet, the answer is no; the log
        // is opened from here once it is known.
        guard session.isMember, name == LogReplication.protocolName else {
            return session.mux.reject(protocolName: name, id: id)
        }
        let connection = session.id
        let slot = engine.withLock { $0.slot(discoveryKey: id, on: connection) }
        guard let slot, session.channel(for: slot) == nil else {
            return session.mux.reject(protocolName: name, id: id)
        }
        try openLog(slot, on: &session)
    }

    private func closed(
        _ channel: Protomux.ChannelID, on session: inout PeerSession, _ table: inout PeerTable
    ) throws(SessionError) {
        if channel == session.control {
            throw SessionError(
                session.isMember
                    ? "the peer closed the share" : "the peer does not hold this share's key")
        }
        if let log = session.logs.removeValue(forKey: channel) {
            let id = session.id
            engine.withLock {
                $0.closeReplication(ReplicationID(connection: id, slot: log.slot))
            }
        }
        if channel == session.chunks?.channel {
            session.chunks = nil
            table.fetcher.connectionClosed(session.id)
        }
    }

    private func received(
        _ channel: Protomux.ChannelID, _ type: Int, _ payload: [UInt8],
        on session: inout PeerSession, _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        if let slot = session.logs[channel]?.slot {
            var effects: [LogReplication.Effect] = []
            let id = ReplicationID(connection: session.id, slot: slot)
            let queuedBytes = session.queuedBytes
            try engine.withLock { (engine) throws(SessionError) in
                try engine.receive(
                    id, type: type, payload, queuedBytes: queuedBytes, into: &effects)
            }
            try perform(effects, channel: channel, on: &session, &table)
        } else if channel == session.chunks?.channel {
            try receivedChunkMessage(type, payload, on: &session, &table, now: now)
        } else if channel == session.control {
            try receivedControl(type, payload, on: &session, &table)
        }
    }

    private func receivedControl(
        _ type: Int, _ payload: [UInt8], on session: inout PeerSession, _ table: inout PeerTable
    ) throws(SessionError) {
        let message: ControlMessage?
        do {
            message = try ControlMessage.decode(type: type, payload)
        } catch {
            throw SessionError("control channel: \(error)")
        }
        switch message {
        case .hello(let device, _):
            session.device = device
        case .join(let request):
            guard let remote = session.remoteKey else { return }
            let handshakeHash = session.handshakeHash
            let refusal = try stored { (engine) throws(StorageError) in
                try engine.admit(request, device: remote, handshakeHash: handshakeHash)
            }
            refuse(refusal, on: &session)
        case .succeed(let request):
            let refusal = try stored { (engine) throws(StorageError) in
                try engine.admit(request)
            }
            refuse(refusal, on: &session)
        case .refused(let reason):
            table.refusal = reason
        case .holds(let clock):
            table.fetcher.retryAll()
            (session.view.clock, session.view.digest) = (clock, nil)
        case .sees(let digest):
            var view = session.view
            view.digest = digest
            let device = session.device
            let isToBeTold = engine.withLock { $0.compare(&view, named: device) }
            session.view = view
            if isToBeTold {
                table.logsGrew = true
                environment.wake()
            }
        case nil: break
        }
    }

    private func refuse(_ refusal: String?, on session: inout PeerSession) {
        guard let refusal, let control = session.control else { return }
        let answer = ControlMessage.refused(reason: refusal)
        session.mux.send(control, type: answer.type, payload: answer.payload)
    }

    // MARK: Logs

    /// After a fork: other logs stand behind some slots, and peers must hear of the own new one.
    private func followForks(_ table: inout PeerTable, now: Instant) {
        let members = table.ids.filter { table.sessions[$0]?.isMember == true }
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
    private func openLogs(_ table: inout PeerTable) {
        let opened: [WriterSlot]
        do {
            opened = try engine.withLock { (engine) throws(StorageError) in
                try engine.openNewLogs()
            }
        } catch {
            return table.effects.append(.log("storage: \(error)"))
        }
        guard !opened.isEmpty else { return }
        let now = environment.now()
        for id in table.ids {
            with(id, &table, now: now) { (session, _) throws(SessionError) in
                try self.openLogs(on: &session)
            }
        }
    }

    private func openLogs(on session: inout PeerSession) throws(SessionError) {
        guard session.isMember else { return }
        let connection = session.id
        for slot in engine.withLock({ $0.sharedSlots(on: connection) })
        where session.channel(for: slot) == nil {
            try openLog(slot, on: &session)
        }
    }

    private func openLog(_ slot: WriterSlot, on session: inout PeerSession)
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

    private func perform(
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
            case .conflict(let common, let proof):
                guard let slot else { continue }
                let connection = session.id
                try stored { (engine) throws(StorageError) in
                    try engine.noteConflict(slot, common: common, proof: proof, from: connection)
                }
                environment.wake()
            case .stored:
                table.logsGrew = true
                let wanted = try stored { (engine) throws(StorageError) in
                    _ = try engine.applyStored()
                    return engine.takeNewlyWanted()
                }
                for chunk in wanted { table.fetcher.want(chunk.reference, isList: chunk.isList) }
            case .remoteLength(let length):
                session.logs[channel]?.remoteLength = length
            case .remoteAcknowledged(let length):
                session.logs[channel]?.acknowledged = length
                if let slot { engine.withLock { $0.noteAcknowledged(length, of: slot) } }
            case .violation(let what):
                throw SessionError("log replication: \(what)")
            }
        }
    }

    /// Answers that waited because much was queued.
    private func serveLogs(on session: inout PeerSession, _ table: inout PeerTable)
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

    // MARK: Chunks

    private func receivedChunkMessage(
        _ type: Int, _ payload: [UInt8], on session: inout PeerSession,
        _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        guard session.chunks != nil else { return }
        var effects: [ChunkExchange.Effect] = []
        session.chunks?.exchange.receive(type: type, payload: payload.span, into: &effects)
        try perform(effects, on: &session, &table, now: now)
        try serveChunks(on: &session, &table)
    }

    private func serveChunks(on session: inout PeerSession, _ table: inout PeerTable)
        throws(SessionError)
    {
        guard session.chunks?.isOpen == true else { return }
        var effects: [ChunkExchange.Effect] = []
        session.chunks?.exchange.serve(queuedBytes: session.queuedBytes, into: &effects)
        try perform(effects, on: &session, &table, now: environment.now())
    }

    private func perform(
        _ effects: [ChunkExchange.Effect], on session: inout PeerSession,
        _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        guard let channel = session.chunks?.channel else { return }
        for effect in effects {
            switch effect {
            case .send(let type, let payload):
                session.mux.send(channel, type: type, payload: payload)
            case .received(let address, let ciphertext):
                try store(address, ciphertext, &table, now: now)
            case .missing(let address):
                table.fetcher.lacked(address, by: session.id)
                if table.retryDeadline == nil {
                    table.retryDeadline = now + PeerTable.Limits.retryAfter
                }
            case .has(let addresses):
                for address in addresses { table.fetcher.has(address, session.id) }
            case .unreadable(let address, let error):
                table.effects.append(.log("chunk \(address) cannot be served: \(error)"))
            case .violation(let what):
                throw SessionError("chunk exchange: \(what)")
            }
        }
    }

    private func store(
        _ address: Bytes32, _ ciphertext: [UInt8], _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        guard let wanted = table.fetcher.settle(address) else { return }
        var plaintext = ciphertext
        do {
            try ChunkCipher(keys.contentKeys).open(
                &plaintext, as: wanted.reference, addressChecked: true)
        } catch {
            throw SessionError("chunk \(address) does not open: \(error)")
        }
        do {
            try chunks.append(wanted.reference, plaintext: plaintext.span)
        } catch {
            table.fetcher.want(wanted.reference, isList: wanted.isList)
            table.effects.append(.log("chunk \(address) cannot be stored: \(error)"))
            return
        }
        table.note(wanted, now: now)
        table.stored.append(address)
        guard wanted.isList else { return }
        let more = try stored { (engine) throws(StorageError) in
            try engine.wantChildren(of: wanted.reference)
            return engine.takeNewlyWanted()
        }
        for chunk in more { table.fetcher.want(chunk.reference, isList: chunk.isList) }
    }

    /// Syncs received chunks and only then forgets that they were wanted.
    private func settleArrived(_ table: inout PeerTable, now: Instant) {
        let isDue = table.settleDeadline.map { $0 <= now } ?? !table.arrived.isEmpty
        guard isDue || table.arrivedBytes >= PeerTable.Limits.settleBytes else { return }
        let arrived = table.arrived
        table.arrived = []
        table.arrivedBytes = 0
        table.settleDeadline = nil
        do {
            try chunks.sync()
            try engine.withLock { (engine) throws(StorageError) in
                try engine.settle(arrived.map(\.reference.address))
            }
        } catch {
            table.arrived = arrived
            table.settleDeadline = now + .seconds(1)
            table.effects.append(.log("storage: \(error)"))
        }
        // Peers learn that this device holds everything.
        if table.fetcher.count == 0 { table.logsGrew = true }
    }

    /// Asks for what is wanted, as far as each session's window goes.
    private func fetch(_ table: inout PeerTable, now: Instant) {
        if let deadline = table.retryDeadline, deadline <= now {
            table.retryDeadline = nil
            refreshWanted(&table)
        }
        let arrived = table.stored
        let wanted = engine.withLock { engine in
            for address in arrived { engine.merges.arrived(address) }
            return engine.takeNewlyWanted()
        }
        for chunk in wanted { table.fetcher.want(chunk.reference, isList: chunk.isList) }
        let stored = table.stored
        table.stored.removeAll(keepingCapacity: true)
        guard table.fetcher.count > 0 || !stored.isEmpty else { return }
        for id in table.ids {
            with(id, &table, now: now) { (session, table) throws(SessionError) in
                guard session.chunks?.isOpen == true else { return }
                var effects: [ChunkExchange.Effect] = []
                for address in stored { session.chunks?.exchange.stored(address, into: &effects) }
                let next = table.fetcher.next(for: session.id)
                let urgent = next.filter(table.fetcher.isUrgent)
                let raised = table.fetcher.takeRaised(for: session.id)
                session.chunks?.exchange.want(
                    urgent + raised, priority: .reader, into: &effects)
                session.chunks?.exchange.want(next, into: &effects)
                try self.perform(effects, on: &session, &table, now: now)
            }
        }
    }

    /// Nobody had some chunks: perhaps only superseded versions needed them.
    private func refreshWanted(_ table: inout PeerTable) {
        do {
            let wanted = try engine.withLock { (engine) throws(StorageError) in
                try engine.rebuildWanted()
                return engine.takeNewlyWanted()
            }
            table.fetcher.keepOnly(wanted)
            table.fetcher.retryAll()
        } catch {
            table.effects.append(.log("storage: \(error)"))
        }
    }

    // MARK: Sessions

    /// Works on one session, sends what comes of it, and drops it if it breaks the rules.
    private func with(
        _ id: ConnectionID, _ table: inout PeerTable, now: Instant,
        _ body: (inout PeerSession, inout PeerTable) throws(SessionError) -> Void
    ) {
        guard var session = table.sessions.removeValue(forKey: id) else { return }
        do {
            try body(&session, &table)
            try handleOpened(on: &session, &table, now: now)
            table.sessions[id] = session
            flush(id, &table, now: now)
        } catch {
            table.sessions[id] = session
            drop(error, id, &table)
        }
    }

    private func flush(_ id: ConnectionID, _ table: inout PeerTable, now: Instant) {
        var output: [UInt8] = []
        table.sessions[id]?.takeOutput(into: &output)
        table.send(output, on: id, now: now)
    }

    func drop(_ id: ConnectionID, reason: String, _ table: inout PeerTable) {
        guard table.sessions[id] != nil else { return }
        forget(id, &table)
        table.effects.append(.close(id, reason: reason))
    }

    /// Ends a connection whose peer broke the rules.
    private func drop(_ error: SessionError, _ id: ConnectionID, _ table: inout PeerTable) {
        guard table.sessions[id] != nil else { return }
        forget(id, &table)
        table.effects.append(
            error.isOwnFault
                ? .close(id, reason: error.reason) : .reject(id, reason: error.reason))
    }

    private func forget(_ id: ConnectionID, _ table: inout PeerTable) {
        guard let session = table.sessions.removeValue(forKey: id) else { return }
        table.fetcher.connectionClosed(id)
        let slots = session.logs.values.map(\.slot)
        engine.withLock { engine in
            for slot in slots {
                engine.closeReplication(ReplicationID(connection: id, slot: slot))
            }
        }
        // Another session may have to ask for what this one was asked.
        table.logsGrew = true
    }

    private func randomBytes32() -> Bytes32 {
        Bytes32(environment.randomBytes(Bytes32.count)) ?? .zero
    }

    private func stored<Result>(
        _ body: (inout Engine) throws(StorageError) -> Result
    ) throws(SessionError) -> Result {
        do {
            return try engine.withLock { (engine) throws(StorageError) in try body(&engine) }
        } catch {
            throw SessionError(storage: error)
        }
    }
}

extension PeerTable {
    /// Hands bytes to the host and counts them.
    mutating func send(_ bytes: [UInt8], on id: ConnectionID, now: Instant) {
        guard var session = sessions.removeValue(forKey: id) else { return }
        send(bytes, on: &session, now: now)
        sessions[id] = session
    }

    mutating func send(_ bytes: [UInt8], on session: inout PeerSession, now: Instant) {
        guard !bytes.isEmpty else { return }
        session.bytesSent &+= UInt64(bytes.count)
        session.queuedBytes += bytes.count
        session.sentAt = now
        effects.append(.send(session.id, bytes))
    }
}
