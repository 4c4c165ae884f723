package import Base
internal import Crypto
package import Wire

/// The server's side, and the blind relay's answers.
extension HyperDHT {
    /// Announces this node under the hash of its public key, keeps that up, and answers handshakes.
    /// `.listening` follows with each renewal.
    package mutating func listen(now: Instant, into effects: inout HyperDHTEffects) {
        guard !listener.isListening else { return }
        look()
        listener.isListening = true
        node.serve(listener.target)
        listener.announcer.start(shared: &shared)
        finish(now: now, into: &effects)
    }

    /// Takes the announcement back and answers no more.
    package mutating func unlisten(now: Instant, into effects: inout HyperDHTEffects) {
        guard listener.isListening else { return }
        look()
        listener.isListening = false
        node.stopServing(listener.target)
        listener.announcer.stop(shared: &shared)
        dropIncoming(now: now)
        finish(now: now, into: &effects)
    }

    /// The peer that answers to handshakes name as a blind relay; from the configuration at first.
    /// Set it once this node's own NAT turns out to be random.
    package var serverRelay: Bytes32? {
        get { shared.configuration.relayThrough }
        set { shared.configuration.relayThrough = newValue }
    }

    package var isListening: Bool { listener.isListening }

    /// At most three nodes at which this one has announced itself, to be told to peers.
    package var relayAddresses: [NetworkEndpoint] { listener.announcer.relayAddresses }

    /// Handshakes that were dropped unread, because too many came.
    package var refusedHandshakes: Int { listener.refusedCount }

    /// The host's word on a `.question`. After ten seconds it counts as a refusal.
    package mutating func admit(
        _ tag: ConnectionTag, _ isAdmitted: Bool, now: Instant,
        into effects: inout HyperDHTEffects
    ) {
        guard listener[tag]?.stage == .asking else { return }
        look()
        if isAdmitted {
            accept(tag, now: now)
        } else {
            listener[tag]?.refuse(now: now)
        }
        finish(now: now, into: &effects)
    }

    // MARK: Requests

    /// A handshake or holepunch message for us. The cheap checks come first: whatever is not a new
    /// and welcome handshake costs one hash at most.
    mutating func handle(_ request: InboundRequest, now: Instant) {
        guard let value = request.value else { return }
        switch request.command {
        case .peerHandshake:
            guard let message = try? HandshakeMessage(decoding: value.span) else { return }
            handshake(message, request, now: now)
        case .peerHolepunch:
            guard let message = try? HolepunchMessage(decoding: value.span),
                message.mode == .fromRelay,
                message.payload.count <= HyperDHTLimits.holepunchPayloadSizeMax,
                let tag = listener.tag(forNumber: message.id)
            else { return }
            look()
            let isFromOwnRelay = listener.announcer.isRelay(request.from)
            listener[tag]?.holepunch(
                message, request: request, isFromOwnRelay: isFromOwnRelay, now: now,
                shared: &shared)
        default: return
        }
    }

    private mutating func handshake(
        _ message: HandshakeMessage, _ request: InboundRequest, now: Instant
    ) {
        var message = message
        switch message.mode {
        case .fromClient: message.peerAddress = nil
        case .fromRelay: guard message.peerAddress != nil else { return }
        case .fromSecondRelay:
            guard message.peerAddress != nil, message.relayAddress != nil else { return }
        case .fromServer, .reply: return
        }
        guard message.noise.count >= HyperDHTLimits.noiseMessageSizeMin,
            message.noise.count <= HyperDHTLimits.noiseMessageSizeMax
        else { return }
        let digest = Blake2b.hash256(message.noise)
        if let known = listener.tag(forDigest: digest) {
            listener[known]?.answer(request, shared: &shared)
            return
        }
        let lane = listener.lane(of: request, mode: message.mode)
        let origin = (message.peerAddress ?? request.from).address
        guard listener.admits(lane: lane, origin: origin, now: now) else { return }

        look()
        let tag = makeTag()
        var entry = Incoming(
            tag: tag, digest: digest, number: listener.takeNumber(for: tag), lane: lane,
            target: listener.target, keyPair: keyPair,
            ephemeralKey: KeyPair(using: &shared.random), request: request, message: message)
        guard entry.read(message.noise, own: keyPair.publicKey, now: now),
            let remoteKey = entry.remoteKey
        else { return listener.insert(entry) }
        if configuration.asksBeforeAnswering {
            entry.ask(now: now)
            entry.answer(request, shared: &shared)
            listener.insert(entry)
            shared.emit(
                .question(
                    HandshakeQuestion(
                        tag: tag, remotePublicKey: remoteKey, payload: entry.payload,
                        clientAddress: entry.clientAddress)))
        } else {
            listener.insert(entry)
            accept(tag, now: now)
            listener[tag]?.answer(request, shared: &shared)
        }
    }

    private mutating func accept(_ tag: ConnectionTag, now: Instant) {
        let streamID = reserveStream(for: tag)
        let relays = listener.announcer.relays
        let relayAddresses = listener.announcer.relayAddresses
        listener[tag]?.accept(
            streamID: streamID, relays: relays, relayAddresses: relayAddresses, now: now,
            shared: &shared)
        if listener[tag]?.localStreamID != streamID { streams[streamID] = nil }
    }

    mutating func dropIncoming(now: Instant) {
        for tag in listener.incoming.tags {
            listener[tag]?.drop(now: now, shared: &shared)
        }
    }

    // MARK: Blind relay (what answers `.relayWanted`)

    /// The connection to the relay is up: packets by its path are no sign of a direct one.
    package mutating func relayReached(
        _ tag: ConnectionTag, socket: SocketID, remote: NetworkEndpoint
    ) {
        dials[tag]?.relay.reached(at: remote, socket)
        listener[tag]?.relay.reached(at: remote, socket)
    }

    /// The relay has paired the two sides; `.connected` with the path `.relayed` follows.
    ///
    /// - Parameters:
    ///   - socket: of the connection to the relay, as is `remote`.
    ///   - remoteStreamID: the relay's id for this side.
    package mutating func relayPaired(
        _ tag: ConnectionTag, socket: SocketID, remote: NetworkEndpoint, remoteStreamID: UInt32,
        now: Instant, into effects: inout HyperDHTEffects
    ) {
        look()
        dials[tag]?.relayPaired(
            remoteStreamID: remoteStreamID, remote: remote, socket: socket, shared: &shared)
        listener[tag]?.relayPaired(
            remoteStreamID: remoteStreamID, remote: remote, socket: socket, now: now,
            shared: &shared)
        finish(now: now, into: &effects)
    }

    /// The relay could not be reached, or does not pair.
    package mutating func relayFailed(
        _ tag: ConnectionTag, now: Instant, into effects: inout HyperDHTEffects
    ) {
        look()
        dials[tag]?.relayFailed(shared: &shared)
        listener[tag]?.relayFailed(now: now, shared: &shared)
        finish(now: now, into: &effects)
    }
}
