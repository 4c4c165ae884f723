internal import Base
internal import Crypto
internal import Noise
internal import Wire

/// One attempt to reach a peer by its key, from the search for a relay to the path that carries
/// packets (`connect.md` 4).
///
/// It decides; `HyperDHT` does what it appends to `ConnectShared.actions`. `Dial+Punch` has the
/// hole punching.
struct Dial: Timed {
    enum Phase {
        /// Looking for relays and shaking hands through them.
        case finding
        /// Reachable ourselves: the server comes.
        case waiting(until: Instant)
        /// The LAN ping or the blind relay is all there is left.
        case watching
        case punching(PunchStep)
        /// On a blind relay, without hope of better.
        case settled
        case over
    }

    let tag: ConnectionTag
    let id: DialID
    let remoteKey: Bytes32
    let target: Bytes32
    let localStreamID: UInt32
    var phase = Phase.finding

    // Finding
    private var hints: ArraySlice<NetworkEndpoint>
    private let firstNodes: [NetworkEndpoint]
    private var hintInFlight: NetworkEndpoint?
    private var queue: [NetworkEndpoint] = []
    /// Relays that were tried, in order.
    private(set) var tried: [NetworkEndpoint] = []
    private var attempts = 0
    private var handshakesInFlight = 0
    private var isSearching = false
    private var searchesLeft: Int
    /// Gone once the server has answered.
    private var noise: Handshake?
    private var firstMessage: [UInt8] = []
    private var toldOpen = false
    /// Where packets for the stream came from before the handshake was over.
    private var earlyPath: (socket: SocketID, remote: NetworkEndpoint)?

    // After the handshake
    var result: HandshakeResult?
    var payload = NoisePayload()
    var secrets: HolepunchSecrets?
    var relayAddress: NetworkEndpoint
    var serverAddress: NetworkEndpoint
    var puncher: Puncher?
    var punch = PunchTalk()
    var isPingingLAN = false
    private var lanAddress: NetworkEndpoint?
    /// What to say when nothing is left.
    private var failure = ConnectFailure.couldNotConnect
    var relay = RelayMeeting()
    private let ownRelayWish: NoisePayload.RelayThrough?

    /// - Parameters:
    ///   - hints: nodes to try first.
    ///   - ephemeralKey: fresh.
    init(
        tag: ConnectionTag, id: DialID, to remoteKey: Bytes32, keyPair: KeyPair,
        ephemeralKey: KeyPair, localStreamID: UInt32, hints: [NetworkEndpoint],
        relayThrough: NoisePayload.RelayThrough?
    ) {
        self.tag = tag
        self.id = id
        self.remoteKey = remoteKey
        self.localStreamID = localStreamID
        target = Blake2b.hash256(remoteKey.bytes)
        self.hints = hints[...]
        firstNodes = hints
        searchesLeft = hints.isEmpty ? 1 : 2
        ownRelayWish = relayThrough
        noise = Handshake(
            pattern: .ik, role: .initiator, prologue: HandshakePrologue.bytes, staticKey: keyPair,
            ephemeralKey: ephemeralKey, remoteStaticKey: remoteKey)
        relayAddress = NetworkEndpoint(address: .v4(0), port: 0)
        serverAddress = relayAddress
    }

    var isOver: Bool { if case .over = phase { true } else { false } }

    /// Nothing more comes of it.
    var hasEnded: Bool {
        switch phase {
        case .settled, .over: true
        case .finding, .waiting, .watching, .punching: false
        }
    }

    var deadline: Instant {
        var deadline = min(puncher?.deadline ?? .distantFuture, relay.deadline)
        switch phase {
        case .waiting(let until), .punching(.pausing(let until, _)),
            .punching(.delaying(let until)):
            deadline = min(deadline, until)
        default: break
        }
        return deadline
    }

    // MARK: Finding a relay

    mutating func start(shared: inout ConnectShared) {
        var offer = NoisePayload()
        toldOpen = shared.remoteAddress != nil
        offer.natKind = toldOpen ? .open : .unknown
        offer.addresses = shared.remoteAddress.map { [$0] } ?? []
        if shared.configuration.usesLocalAddresses { offer.addresses += shared.localAddresses }
        offer.stream = NoisePayload.Stream(id: localStreamID)
        offer.secretStreamVersion = 1
        offer.relayThrough = ownRelayWish
        guard let message = try? noise?.write(payload: offer.encoded().span) else {
            return end(.couldNotConnect, shared: &shared)
        }
        firstMessage = HandshakeMessage(mode: .fromClient, noise: message).encoded()
        search(shared: &shared)
        fill(shared: &shared)
    }

    private mutating func search(shared: inout ConnectShared) {
        searchesLeft -= 1
        isSearching = true
        shared.actions.append(
            .findPeer(
                .dial(tag), target: target, startNodes: searchesLeft > 0 ? firstNodes : []))
    }

    /// Shakes hands through as many relays at once as is seemly.
    private mutating func fill(shared: inout ConnectShared) {
        guard case .finding = phase else { return }
        while hintInFlight == nil, let hint = hints.popFirst() {
            if tryRelay(hint, shared: &shared) { hintInFlight = hint }
        }
        let parallelMax = firstNodes.isEmpty ? 2 : 3
        while handshakesInFlight < parallelMax, !queue.isEmpty {
            attempts += 1
            _ = tryRelay(queue.removeFirst(), shared: &shared)
        }
        if handshakesInFlight == 0, queue.isEmpty, hints.isEmpty, !isSearching {
            if searchesLeft > 0 {
                search(shared: &shared)
            } else {
                end(attempts == 0 ? .peerNotFound : .couldNotConnect, shared: &shared)
            }
        }
    }

    private mutating func tryRelay(
        _ relay: NetworkEndpoint, shared: inout ConnectShared
    ) -> Bool {
        guard tried.count < shared.configuration.limits.relaysPerDialMax, !tried.contains(relay)
        else { return false }
        tried.append(relay)
        handshakesInFlight += 1
        shared.actions.append(
            .request(
                .handshake(tag, relay: relay),
                DHTRequest(.peerHandshake, target: target, value: firstMessage), to: relay))
        return true
    }

    /// A node says that the peer has announced itself there.
    mutating func found(_ node: NetworkEndpoint, shared: inout ConnectShared) {
        // A hint that waits behind a dead one is tried at once.
        guard case .finding = phase, !queue.contains(node), !tried.contains(node),
            tried.count + queue.count < shared.configuration.limits.relaysPerDialMax
        else { return }
        queue.append(node)
        fill(shared: &shared)
    }

    mutating func searchEnded(shared: inout ConnectShared) {
        isSearching = false
        fill(shared: &shared)
    }

    /// - Parameter reply: nil if the relay did not answer.
    mutating func handshakeAnswered(
        by relay: NetworkEndpoint, reply: DHTReply?, now: Instant, shared: inout ConnectShared
    ) {
        guard case .finding = phase else { return }
        handshakesInFlight -= 1
        if relay == hintInFlight { hintInFlight = nil }
        guard let reply, reply.from == relay, let value = reply.value,
            let message = try? HandshakeMessage(decoding: value.span), message.mode == .reply
        else { return fill(shared: &shared) }
        // A forged answer must not spoil the state for the true one that may follow.
        var noise = noise
        guard let plain = try? noise?.read(message.noise.span), let result = noise?.result,
            let payload = try? NoisePayload(decoding: plain.span)
        else { return fill(shared: &shared) }
        guard payload.version == 1 else { return end(.incompatible, shared: &shared) }
        guard payload.error == .none, payload.stream != nil else {
            return end(.refused, shared: &shared)
        }
        self.noise = nil
        self.result = result
        self.payload = payload
        secrets = HolepunchSecrets(
            handshakeHash: result.handshakeHash, tokenKey: shared.secret())
        relayAddress = relay
        serverAddress = message.peerAddress ?? relay
        shared.actions += [.cancelQuery(.dial(tag)), .cancelRequests(tag)]
        chooseWay(
            isRelayed: message.peerAddress != nil, clientAddress: reply.to, socket: reply.socket,
            now: now, shared: &shared)
    }

    // MARK: After the handshake (4.2)

    private mutating func chooseWay(
        isRelayed: Bool, clientAddress: NetworkEndpoint, socket: SocketID, now: Instant,
        shared: inout ConnectShared
    ) {
        phase = .watching
        if let wish = payload.relayThrough ?? ownRelayWish {
            relay.want(
                wish, isInitiator: payload.relayThrough == nil, tag: tag,
                localStreamID: localStreamID, now: now, shared: &shared)
        }
        if let earlyPath {
            return establish(
                earlyPath.remote, via: earlyPath.socket, path: .direct, now: now, shared: &shared)
        }
        guard isRelayed else {
            return establish(relayAddress, via: socket, path: .direct, now: now, shared: &shared)
        }
        let relays = payload.holepunch?.relays ?? []
        if payload.natKind == .open || relays.isEmpty {
            let address = payload.addresses.first { !$0.address.isBogon } ?? serverAddress
            return establish(
                address, via: shared.requestSocket, path: .direct, now: now, shared: &shared)
        }
        if toldOpen {
            phase = .waiting(until: now + ConnectTiming.passiveWait)
            return
        }
        if shared.configuration.usesLocalAddresses,
            clientAddress.address == serverAddress.address
        {
            pingLAN(shared: &shared)
        }
        startPunching(now: now, shared: &shared)
    }

    private mutating func pingLAN(shared: inout ConnectShared) {
        let theirs = payload.addresses.filter { !$0.address.isReserved && $0.port != 0 }
        guard
            let address = NetworkEndpoint.onSameNetwork(own: shared.localAddresses, theirs: theirs)
                ?? theirs.first
        else { return }
        lanAddress = address
        isPingingLAN = true
        shared.actions.append(
            .request(.lanPing(tag), DHTRequest(.ping), to: address, via: .server))
    }

    mutating func lanAnswered(_ hasAnswered: Bool, now: Instant, shared: inout ConnectShared) {
        guard isPingingLAN else { return }
        isPingingLAN = false
        if hasAnswered, let lanAddress {
            establish(lanAddress, via: .server, path: .lan, now: now, shared: &shared)
        } else {
            failIfNothingIsLeft(shared: &shared)
        }
    }

    /// Relays tried for a connection whose server names none of its own.
    var relaysToRemember: [NetworkEndpoint] {
        if let relays = payload.relayAddresses, !relays.isEmpty { return Array(relays.prefix(3)) }
        return Array(tried.prefix(3))
    }

    // MARK: Paths

    /// A packet for the stream came.
    mutating func packetArrived(
        from remote: NetworkEndpoint, on socket: SocketID, now: Instant,
        shared: inout ConnectShared
    ) {
        if relay.isItsPath(remote, socket) { return }
        if result == nil {
            if earlyPath == nil { earlyPath = (socket, remote) }
        } else {
            let path = path(of: socket, remote: remote)
            establish(remote, via: socket, path: path, now: now, shared: &shared)
        }
    }

    private func path(of socket: SocketID, remote: NetworkEndpoint) -> ConnectionPath {
        if remote == lanAddress { return .lan }
        return puncher?.sockets.contains(socket) == true ? .punched : .direct
    }

    /// A probe came to one of our punch sockets: the hole is there.
    mutating func probeArrived(
        from remote: NetworkEndpoint, on socket: SocketID, now: Instant,
        shared: inout ConnectShared
    ) {
        guard puncher?.sockets.contains(socket) == true, remote.port != 0 else { return }
        establish(remote, via: socket, path: .punched, now: now, shared: &shared)
    }

    mutating func establish(
        _ remote: NetworkEndpoint, via socket: SocketID, path: ConnectionPath, now: Instant,
        shared: inout ConnectShared
    ) {
        guard !isOver, let result, let stream = payload.stream, remote.port != 0 else { return }
        freeSlot(now: now, shared: &shared)
        puncher?.end(now: now, keeping: socket, shared: &shared)
        shared.actions += [.cancelQuery(.dial(tag)), .cancelRequests(tag)]
        phase = .over
        if relay.isPaired {
            shared.emit(
                .rerouted(
                    tag, remoteStreamID: stream.id, remote: remote, socket: socket, path: path))
        } else {
            shared.emit(
                .connected(
                    tag,
                    Established(
                        handshake: result, isInitiator: true, dial: id,
                        localStreamID: localStreamID, remoteStreamID: stream.id, remote: remote,
                        socket: socket, path: path)))
        }
    }

    // MARK: The blind relay

    mutating func relayPaired(
        remoteStreamID: UInt32, remote: NetworkEndpoint, socket: SocketID,
        shared: inout ConnectShared
    ) {
        guard !isOver, let result, relay.paired(at: remote, socket) else { return }
        shared.emit(
            .connected(
                tag,
                Established(
                    handshake: result, isInitiator: true, dial: id, localStreamID: localStreamID,
                    remoteStreamID: remoteStreamID, remote: remote, socket: socket,
                    path: .relayed)))
        failIfNothingIsLeft(shared: &shared)
    }

    mutating func relayFailed(shared: inout ConnectShared) {
        guard !isOver, relay.fail() else { return }
        failure = .relayFailed
        failIfNothingIsLeft(shared: &shared)
    }

    // MARK: Ends

    /// One way has failed; the dial has if it was the last.
    mutating func giveUp(_ reason: ConnectFailure, now: Instant, shared: inout ConnectShared) {
        guard !isOver else { return }
        freeSlot(now: now, shared: &shared)
        puncher?.end(now: now, keeping: nil, shared: &shared)
        puncher = nil
        shared.actions.append(.cancelPunchRequests(tag))
        failure = reason
        if case .punching = phase { phase = .watching }
        if case .waiting = phase { phase = .watching }
        failIfNothingIsLeft(shared: &shared)
    }

    private mutating func failIfNothingIsLeft(shared: inout ConnectShared) {
        guard case .watching = phase, !isPingingLAN else { return }
        if relay.isPaired {
            phase = .settled
        } else if !relay.isPending {
            end(failure, shared: &shared)
        }
    }

    mutating func end(_ reason: ConnectFailure, shared: inout ConnectShared) {
        guard !isOver else { return }
        phase = .over
        shared.actions += [.cancelQuery(.dial(tag)), .cancelRequests(tag)]
        shared.emit(.failed(tag, id, reason))
    }

    mutating func cancel(_ reason: ConnectFailure, now: Instant, shared: inout ConnectShared) {
        freeSlot(now: now, shared: &shared)
        puncher?.end(now: now, keeping: nil, shared: &shared)
        end(reason, shared: &shared)
    }

    mutating func advance(now: Instant, shared: inout ConnectShared) {
        if relay.hasTimedOut(now: now) { relayFailed(shared: &shared) }
        switch phase {
        case .waiting(let until) where now >= until:
            giveUp(.punchAborted, now: now, shared: &shared)
        case .punching: advancePunching(now: now, shared: &shared)
        default: break
        }
    }

}

/// The Noise prologue of every handshake: NS(0).
enum HandshakePrologue {
    static let bytes = namespace("hyperswarm/dht", 0).bytes
}
