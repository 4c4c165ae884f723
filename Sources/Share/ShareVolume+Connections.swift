import Base
import Crypto
import Hypercore
package import Noise

/// Connections from their first byte to their last: called by the event loop.
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

    func keepAlive(_ id: ConnectionID, _ table: inout PeerTable, now: Instant) {
        guard let session = table.sessions[id], session.deadline() <= now else { return }
        if !session.isMember {
            return drop(id, reason: "no proof of membership in time", &table)
        }
        if session.receivedAt + PeerSession.Limits.silenceMax <= now {
            return drop(id, reason: "nothing heard for a while", &table)
        }
        sendKeepAlive(id, &table, now: now)
    }

    func sendKeepAlive(_ id: ConnectionID, _ table: inout PeerTable, now: Instant) {
        var output: [UInt8] = []
        let nothing: [UInt8] = []
        table.sessions[id]?.stream.send(nothing.span, into: &output)
        table.send(output, on: id, now: now)
    }

    /// Works on one session, sends what comes of it, and drops it if it breaks the rules.
    func with(
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

    func flush(_ id: ConnectionID, _ table: inout PeerTable, now: Instant) {
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
    func drop(_ error: SessionError, _ id: ConnectionID, _ table: inout PeerTable) {
        guard table.sessions[id] != nil else { return }
        forget(id, &table)
        table.effects.append(
            error.isOwnFault
                ? .close(id, reason: error.reason) : .reject(id, reason: error.reason))
    }

    func forget(_ id: ConnectionID, _ table: inout PeerTable) {
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

    func randomBytes32() -> Bytes32 {
        Bytes32(environment.randomBytes(Bytes32.count)) ?? .zero
    }

    func stored<Result>(
        _ body: (inout Engine) throws(StorageError) -> Result
    ) throws(SessionError) -> Result {
        do {
            return try engine.withLock { (engine) throws(StorageError) in try body(&engine) }
        } catch {
            throw SessionError(storage: error)
        }
    }
}
