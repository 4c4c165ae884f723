import Base
import Chunks
import Crypto
import Hypercore
import Noise
import Protomux

/// What comes over a connection, from the stream's bytes to the channel that each message is for.
extension ShareVolume {
    func receive(
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

    func connected(
        _ remoteKey: Bytes32, _ handshakeHash: [UInt8], on session: inout PeerSession
    ) throws(SessionError) {
        guard remoteKey != device.publicKey else {
            throw SessionError("this is the device itself", isOwnFault: true)
        }
        session.remoteKey = remoteKey
        openControl(handshakeHash, on: &session)
    }

    func receive(
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
    func handleOpened(
        on session: inout PeerSession, _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        while true {
            var events: [Protomux.Event] = []
            session.mux.takeEvents(into: &events)
            guard !events.isEmpty else { return }
            try handle(events, on: &session, &table, now: now)
        }
    }

    func handle(
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

    func opened(
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

    func requested(
        _ name: String, _ id: [UInt8], on session: inout PeerSession
    ) throws(SessionError) {
        // Until the remote has proved itself, and for logs not known yet, the answer is no; the log
        // is opened from here once it is known.
        guard session.isMember, name == LogReplication.protocolName else {
            return session.mux.reject(protocolName: name, id: id)
        }
        let connection = session.id
        let (remote, now) = (session.remoteKey, environment.now())
        let slot = engine.withLock { engine -> WriterSlot? in
            let slot = engine.slot(discoveryKey: id, on: connection)
            return slot == engine.ownSlot && engine.isHeldBack(from: remote, now: now) ? nil : slot
        }
        guard let slot, session.channel(for: slot) == nil else {
            return session.mux.reject(protocolName: name, id: id)
        }
        try openLog(slot, on: &session)
    }

    func closed(
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

    func received(
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
}
