import Base
import Chunks
import Crypto
import FileTree
import Hypercore
import Protomux
import Wire

/// The control channel: who the peer is, whether it may be here, and what members tell each other.
extension ShareVolume {
    /// Shows that this side holds the share key, and, where the handshake did not, which device it
    /// is.
    func openControl(_ handshakeHash: [UInt8], on session: inout PeerSession) {
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

    /// Checks that the remote holds the share key, and which device it is.
    func checkOpen(_ handshake: [UInt8], of session: inout PeerSession)
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
    func greet(on session: inout PeerSession, _ table: inout PeerTable)
        throws(SessionError)
    {
        guard let control = session.control else { return }
        let handshakeHash = session.handshakeHash
        let messages = try stored { (engine) throws(StorageError) in
            let log = engine.isAdmitted ? engine.ownLog?.key : nil
            var messages = [try engine.hello()]
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
            if case .hello(_, _, let start) = message { session.givenStart = start }
        }
        tellHolds(on: &session, &table)
        let channel = session.mux.open(
            ChunkExchange.protocolName, id: keys.chunkChannel.bytes, handshake: [])
        session.chunks = PeerSession.ChunkChannel(
            channel: channel,
            exchange: ChunkExchange(storage: chunks))
        try openLogs(on: &session)
    }

    /// Tells the remote where it could start, if that is not what it was last told: what was offered may have gone with
    /// a history of a log that is nobody's any more.
    func giveStart(_ message: ControlMessage, on session: inout PeerSession) {
        guard case .hello(_, _, .some(let start)) = message, start != session.givenStart,
            session.isMember, let control = session.control
        else { return }
        session.givenStart = start
        session.mux.send(control, type: message.type, payload: message.payload)
    }

    /// Shows the own log to a member that nobody tells of it.
    func showOwnLog(on session: inout PeerSession, now: Instant) {
        guard session.isMember, !session.isShownOwnLog,
            now - session.openedAt >= PeerSession.Limits.hearsayTime,
            let control = session.control
        else { return }
        let view = session.view
        guard let request = engine.withLock({ $0.belatedRequest(for: view) }) else { return }
        session.isShownOwnLog = true
        let message = ControlMessage.succeed(request)
        session.mux.send(control, type: message.type, payload: message.payload)
    }

    func receivedControl(
        _ type: Int, _ payload: [UInt8], on session: inout PeerSession, _ table: inout PeerTable
    ) throws(SessionError) {
        let message: ControlMessage?
        do {
            message = try ControlMessage.decode(type: type, payload)
        } catch {
            throw SessionError("control channel: \(error)")
        }
        switch message {
        case .hello(let device, let log, let start):
            session.device = device
            try stored { (engine) throws(StorageError) in
                try engine.consider(start, fromWhole: log != nil)
            }
            let remote = session.remoteKey
            for message in engine.withLock({ $0.endings(of: remote, writing: log) }) {
                guard let control = session.control else { break }
                session.mux.send(control, type: message.type, payload: message.payload)
            }
            environment.wake()
        case .join(let request):
            let now = environment.now()
            guard engine.withLock({ $0.answersJoins(now: now) }) else {
                session.heldJoin = request
                table.holdsJoins = true
                return environment.wake()
            }
            try answer(request, on: &session)
        case .succeed(let request):
            let refusal = try stored { (engine) throws(StorageError) in
                try engine.admit(request)
            }
            refuse(refusal, on: &session)
            // It may not know why, and what says so may be in blocks that it cannot get.
            let former = request.succession.predecessor
            if refusal != nil, let control = session.control,
                let ended = engine.withLock({ $0.ending(of: former) })
            {
                session.mux.send(control, type: ended.type, payload: ended.payload)
            }
        case .refused(let reason):
            table.refusal = reason
        case .holds(let clock):
            table.fetcher.retryAll()
            (session.view.clock, session.view.digest) = (clock, nil)
            engine.withLock { engine in
                let own = engine.writers.key(of: engine.ownSlot)
                let blocks = clock.first { $0.0 == own }?.1 ?? 0
                if blocks <= engine.ownLog?.length ?? 0 {
                    engine.noteAcknowledged(blocks, of: engine.ownSlot)
                }
            }
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
        case .ended(let log, let kind):
            let name = session.device
            engine.withLock { $0.noteToldEnd(kind, of: log, by: name) }
            environment.wake()
        case nil: break
        }
    }

    private func answer(_ request: ControlMessage.JoinRequest, on session: inout PeerSession)
        throws(SessionError)
    {
        guard let remote = session.remoteKey else { return }
        let handshakeHash = session.handshakeHash
        let refusal = try stored { (engine) throws(StorageError) in
            try engine.admit(request, device: remote, handshakeHash: handshakeHash)
        }
        refuse(refusal, on: &session)
    }

    /// Shows the own log to those who would join and, all of it, to members, once it is time.
    func endListening(_ table: inout PeerTable, now: Instant, next: inout Instant) {
        guard !table.hasListened else { return }
        let isConnected = table.sessions.values.contains(where: \.isMember)
        let (hasListened, time) = engine.withLock { engine in
            let time = engine.listen(isConnected: isConnected, now: now)
            let hasListened = engine.hasListened(now: now)
            if hasListened {
                engine.mustOpenLogs = true
                engine.endWithholding()
            }
            return (hasListened, time)
        }
        guard hasListened else {
            if let time { next = min(next, time) }
            return
        }
        table.hasListened = true
        table.logsGrew = true
    }

    /// Answers those who would join and had to wait.
    func answerJoins(_ table: inout PeerTable, now: Instant, next: inout Instant) {
        guard table.holdsJoins, engine.withLock({ $0.answersJoins(now: now) }) else { return }
        table.holdsJoins = false
        for id in table.ids {
            with(id, &table, now: now) { (session, _) throws(SessionError) in
                guard let request = session.heldJoin else { return }
                session.heldJoin = nil
                try self.answer(request, on: &session)
            }
        }
        // What was written down is committed.
        next = now
    }

    func refuse(_ refusal: String?, on session: inout PeerSession) {
        guard let refusal, let control = session.control else { return }
        let answer = ControlMessage.refused(reason: refusal)
        session.mux.send(control, type: answer.type, payload: answer.payload)
    }
}
