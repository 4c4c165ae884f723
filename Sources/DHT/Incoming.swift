internal import Base
internal import Crypto
internal import Noise
internal import Wire

/// One client's handshake as the server keeps it, from the first Noise message until ten seconds
/// after it is over (`connect.md` 2.5). `Incoming+Punch` has the hole punching.
struct Incoming: Timed {
    enum Stage {
        /// The host has been asked whether to answer.
        case asking
        /// Answered; the client is to come, or to be met half way.
        case running
        /// On a blind relay, without hope of better.
        case settled
        case connected
        /// Refused, failed or given up.
        case over
    }

    let tag: ConnectionTag
    /// Of the first Noise message; its copies are known by it.
    let digest: Bytes32
    /// The server's number for it, in the client's holepunch messages.
    let number: Int
    let lane: HandshakeLane
    let target: Bytes32
    /// As the relay tells it.
    let clientAddress: NetworkEndpoint
    private let isDirect: Bool
    /// The node that the handshake came from, and as whom it sees us.
    private let arrivalPath: RelayPath
    /// Our address, as the sender of the handshake sees it.
    private let ownAddress: NetworkEndpoint

    var stage = Stage.running
    /// Gone once the answer is written: a key in it holds pages of guarded memory.
    private var noise: Handshake?
    private var waiting: [InboundRequest] = []
    private var reply: [UInt8]?
    private var repliesFromPuncher = false

    private(set) var remoteKey: Bytes32?
    private(set) var payload = NoisePayload()
    /// Zero while there is none.
    private(set) var localStreamID: UInt32 = 0
    private(set) var result: HandshakeResult?
    var secrets: HolepunchSecrets?
    var puncher: Puncher?
    var punch = PunchDuty()
    var relay = RelayMeeting()
    /// When to stop waiting for the client.
    var waitsUntil: Instant?
    /// When to forget it.
    private(set) var forgottenAt: Instant?
    /// Connected at the client's word that it is open.
    private var isUnproven = false
    /// The socket of the stream, if it is one of the puncher's.
    private var keptSocket: SocketID?

    init(
        tag: ConnectionTag, digest: Bytes32, number: Int, lane: HandshakeLane, target: Bytes32,
        keyPair: KeyPair,
        ephemeralKey: KeyPair, request: InboundRequest, message: HandshakeMessage
    ) {
        self.tag = tag
        self.digest = digest
        self.number = number
        self.lane = lane
        self.target = target
        clientAddress = message.peerAddress ?? request.from
        isDirect = message.peerAddress == nil
        ownAddress = request.to
        arrivalPath = RelayPath(relay: request.from, server: request.to)
        noise = Handshake(
            pattern: .ik, role: .responder, prologue: HandshakePrologue.bytes, staticKey: keyPair,
            ephemeralKey: ephemeralKey)
    }

    /// Holds a stream, maybe a socket, and the client has not shown to be where it says.
    var isHalfOpen: Bool {
        switch stage {
        case .asking: true
        case .running: !relay.isPaired
        case .connected: isUnproven
        case .settled, .over: false
        }
    }

    var deadline: Instant {
        min(
            waitsUntil ?? .distantFuture, forgottenAt ?? .distantFuture, relay.deadline,
            puncher?.deadline ?? .distantFuture)
    }

    // MARK: The handshake

    /// Reads the first Noise message.
    ///
    /// - Returns: false if it is forged or malformed; it is remembered as over, so that its repeats
    ///   cost nothing.
    mutating func read(_ message: [UInt8], own: Bytes32, now: Instant) -> Bool {
        guard let plain = try? noise?.read(message.span), let key = noise?.remotePublicKey,
            key != own, let payload = try? NoisePayload(decoding: plain.span)
        else {
            finish(.over, now: now)
            return false
        }
        remoteKey = key
        self.payload = payload
        return true
    }

    /// The host has been asked; copies of the message wait with the first.
    mutating func ask(now: Instant) {
        stage = .asking
        waitsUntil = now + ConnectTiming.passiveWait
    }

    /// Answers a copy of the message, or keeps it until there is an answer.
    mutating func answer(_ request: InboundRequest, shared: inout ConnectShared) {
        if case .asking = stage {
            guard waiting.count < shared.configuration.limits.waitingRequestsMax else { return }
            return waiting.append(request)
        }
        guard let reply, let value = request.value,
            let message = try? HandshakeMessage(decoding: value.span)
        else { return }
        let ownSocket = repliesFromPuncher ? puncher?.sockets.first ?? keptSocket : nil
        let socket = ownSocket.flatMap { shared.sockets.owner(of: $0) == tag ? $0 : nil }
        switch message.mode {
        case .fromClient:
            let value = HandshakeMessage(mode: .reply, noise: reply).encoded()
            shared.actions.append(.reply(request, value: value, via: socket))
        case .fromRelay, .fromSecondRelay:
            let isFirst = message.mode == .fromRelay
            guard let relay = isFirst ? request.from : message.relayAddress else { return }
            let value = HandshakeMessage(
                mode: .fromServer, noise: reply, peerAddress: message.peerAddress
            ).encoded()
            shared.actions.append(
                .relay(
                    DHTRequest(.peerHandshake, target: target, value: value),
                    transaction: request.transaction, to: relay, via: socket ?? request.socket))
        case .fromServer, .reply: break
        }
    }

    /// The host refused, or never answered.
    mutating func refuse(now: Instant) {
        waiting = []
        finish(.over, now: now)
    }

    /// Writes the answer and chooses what to do next (the table of 2.5).
    ///
    /// - Parameters:
    ///   - streamID: for the stream, if there is to be one.
    ///   - relays: where this node has announced itself.
    mutating func accept(
        streamID: UInt32, relays: [RelayPath], relayAddresses: [NetworkEndpoint], now: Instant,
        shared: inout ConnectShared
    ) {
        stage = .running
        waitsUntil = nil
        var offer = NoisePayload()
        if payload.version != 1 {
            offer.error = .versionMismatch
        } else if payload.stream == nil {
            offer.error = .aborted
        }
        let isOpen = shared.remoteAddress != nil
        offer.natKind = isOpen ? .open : .unknown
        if !isOpen {
            offer.holepunch = .init(id: UInt64(number), relays: withArrivalPath(relays))
        }
        offer.addresses = shared.remoteAddress.map { [$0] } ?? []
        if shared.configuration.usesLocalAddresses { offer.addresses += shared.localAddresses }
        offer.stream = NoisePayload.Stream(id: offer.error == .none ? streamID : 0)
        offer.secretStreamVersion = 1
        let ownWish = shared.configuration.relayThrough.map {
            NoisePayload.RelayThrough(publicKey: $0, token: shared.secret())
        }
        offer.relayThrough = ownWish
        offer.relayAddresses = relayAddresses.isEmpty ? nil : relayAddresses

        reply = try? noise?.write(payload: offer.encoded().span)
        result = noise?.result
        noise = nil
        guard let reply, let result, reply.count <= HyperDHTLimits.noiseMessageSizeMax else {
            self.reply = nil
            return finish(.over, now: now)
        }
        if offer.error == .none {
            localStreamID = streamID
            secrets = HolepunchSecrets(
                handshakeHash: result.handshakeHash, tokenKey: shared.secret())
            shared.emit(.reserved(tag, streamID: streamID, isInitiator: false))
            chooseWay(ownWish: ownWish, isOpen: isOpen, now: now, shared: &shared)
        } else {
            finish(.over, now: now)
        }
        let requests = waiting
        waiting = []
        for request in requests { answer(request, shared: &shared) }
    }

    /// The node that the message came by reaches us at this very address, whatever it was when we
    /// announced ourselves there, and even if its answer to that is still on its way.
    private func withArrivalPath(_ relays: [RelayPath]) -> [RelayPath] {
        if isDirect { return relays }
        var relays = relays
        if let index = relays.firstIndex(where: { $0.relay == arrivalPath.relay }) {
            relays[index] = arrivalPath
        } else {
            relays.insert(arrivalPath, at: 0)
        }
        return relays
    }

    private mutating func chooseWay(
        ownWish: NoisePayload.RelayThrough?, isOpen: Bool, now: Instant,
        shared: inout ConnectShared
    ) {
        waitsUntil = now + ConnectTiming.passiveWait
        // The reference connects at once. The client does so too when it has the answer: to wait for
        // its first packet costs nothing, and proves that it is where it says.
        if isDirect { return }
        if payload.natKind == .open {
            isUnproven = true
            return establish(
                clientAddress, via: shared.requestSocket, path: .direct, now: now, shared: &shared)
        }
        if let wish = ownWish ?? payload.relayThrough {
            relay.want(
                wish, isInitiator: ownWish != nil, tag: tag, localStreamID: localStreamID,
                now: now, shared: &shared)
        }
        let isNeighbour =
            clientAddress.address == ownAddress.address && shared.configuration.usesLocalAddresses
            && NetworkEndpoint.onSameNetwork(
                own: shared.localAddresses, theirs: payload.addresses.filter(\.address.isPrivate))
                != nil
        if !isNeighbour, isOpen || !shared.configuration.punchesAsServer { return }
        puncher = Puncher(
            tag: tag, isInitiator: false, remoteKind: payload.natKind, shared: &shared)
        // The relay then tells the client that socket's mapping. A neighbour is to see the usual one.
        repliesFromPuncher = !isNeighbour && puncher != nil
    }

    // MARK: Paths

    /// A packet for the stream came.
    mutating func packetArrived(
        from remote: NetworkEndpoint, on socket: SocketID, now: Instant,
        shared: inout ConnectShared
    ) {
        if relay.isItsPath(remote, socket) { return }
        let path: ConnectionPath =
            puncher?.sockets.contains(socket) == true
            ? .punched
            : payload.addresses.contains(remote) && remote.address.isPrivate ? .lan : .direct
        establish(remote, via: socket, path: path, now: now, shared: &shared)
    }

    mutating func establish(
        _ remote: NetworkEndpoint, via socket: SocketID, path: ConnectionPath, now: Instant,
        shared: inout ConnectShared
    ) {
        guard stage == .running || stage == .settled, let result, let stream = payload.stream,
            remote.port != 0
        else { return }
        if puncher?.sockets.contains(socket) == true { keptSocket = socket }
        puncher?.end(now: now, keeping: socket, shared: &shared)
        if relay.isPaired {
            shared.emit(
                .rerouted(
                    tag, remoteStreamID: stream.id, remote: remote, socket: socket, path: path))
        } else {
            shared.emit(
                .connected(
                    tag,
                    Established(
                        handshake: result, isInitiator: false, dial: nil,
                        localStreamID: localStreamID, remoteStreamID: stream.id, remote: remote,
                        socket: socket, path: path)))
        }
        finish(.connected, now: now)
        shared.actions.append(.cancelRequests(tag))
    }

    // MARK: The blind relay

    mutating func relayPaired(
        remoteStreamID: UInt32, remote: NetworkEndpoint, socket: SocketID, now: Instant,
        shared: inout ConnectShared
    ) {
        guard stage == .running, let result, relay.paired(at: remote, socket) else { return }
        if waitsUntil != nil { waitsUntil = now + ConnectTiming.relayedWait }
        shared.emit(
            .connected(
                tag,
                Established(
                    handshake: result, isInitiator: false, dial: nil, localStreamID: localStreamID,
                    remoteStreamID: remoteStreamID, remote: remote, socket: socket,
                    path: .relayed)))
        if punch.isGivenUp { settle(now: now) }
    }

    mutating func relayFailed(now: Instant, shared: inout ConnectShared) {
        guard relay.fail(), stage == .running else { return }
        if punch.isGivenUp { fail(.relayFailed, now: now, shared: &shared) }
    }

    // MARK: Ends

    /// There will be no direct path; the relay may do.
    mutating func giveUp(_ reason: ConnectFailure, now: Instant, shared: inout ConnectShared) {
        guard stage == .running, !punch.isGivenUp else { return }
        punch.isGivenUp = true
        punch.pending = []
        waitsUntil = nil
        puncher?.end(now: now, keeping: nil, shared: &shared)
        shared.actions.append(.cancelRequests(tag))
        if relay.isPaired {
            settle(now: now)
        } else if !relay.isPending {
            fail(reason, now: now, shared: &shared)
        }
    }

    /// The relay carries the connection for good.
    private mutating func settle(now: Instant) {
        stage = .settled
        forgottenAt = now + ConnectTiming.handshakeKept
    }

    private mutating func fail(
        _ reason: ConnectFailure, now: Instant, shared: inout ConnectShared
    ) {
        shared.emit(.failed(tag, nil, reason))
        finish(.over, now: now)
    }

    /// From now on it is only remembered.
    mutating func finish(_ stage: Stage, now: Instant) {
        self.stage = stage
        waitsUntil = nil
        punch.pending = []
        _ = relay.fail()
        noise = nil
        puncher = nil
        secrets = nil
        result = nil
        forgottenAt = now + ConnectTiming.handshakeKept
    }

    /// The server stops: no more is said.
    mutating func drop(now: Instant, shared: inout ConnectShared) {
        if stage == .connected || stage == .over { return }
        puncher?.end(now: now, keeping: nil, shared: &shared)
        shared.actions.append(.cancelRequests(tag))
        if stage == .running, !relay.isPaired, localStreamID != 0 {
            shared.emit(.failed(tag, nil, .cancelled))
        }
        finish(.over, now: now)
    }

    mutating func advance(now: Instant, shared: inout ConnectShared) {
        if relay.hasTimedOut(now: now) { relayFailed(now: now, shared: &shared) }
        puncher?.advance(now: now, shared: &shared)
        if stage == .running, puncher?.isOver == true, !punch.isGivenUp {
            giveUp(.punchAborted, now: now, shared: &shared)
        }
        if let waitsUntil, now >= waitsUntil {
            self.waitsUntil = nil
            if case .asking = stage {
                refuse(now: now)
            } else {
                giveUp(.punchAborted, now: now, shared: &shared)
            }
        }
    }
}
