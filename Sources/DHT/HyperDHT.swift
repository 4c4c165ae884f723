package import Base
package import Crypto
package import Wire

/// A node of the DHT that also makes connections: it dials peers by their keys, listens under its
/// own, and punches holes into the NATs between.
///
/// It does no I/O and reads no clock. The host hands in every datagram that is for it, carries out
/// what it appends to the effects (in the order that `HyperDHTEvent` says), and calls `advance` no
/// later than `deadline`. Of a host's datagrams, those of one byte go to `receiveProbe`, those whose
/// first byte is 0x03 or 0x13 to `receive`, and UDX packets for a reserved stream that is not yet
/// connected, or only over a relay, to `streamPacket` before the stream gets them.
package struct HyperDHT: Sendable {
    package var node: DHTNode
    package let configuration: HyperDHTConfiguration
    package let keyPair: KeyPair

    var shared: ConnectShared
    var dials = HyperDHTTable<Dial>()
    var listener: Listener
    /// What each connection that the host has still owns.
    var live: [ConnectionTag: LiveConnection] = [:]
    var streams: [UInt32: ConnectionTag] = [:]
    var requests: [RequestID: RequestOwner] = [:]
    var queries: [QueryID: QueryOwner] = [:]
    var relayCache: DialRelayCache
    private var lastTag: UInt64 = 0
    // Kept for their memory.
    private var eventsInHand: [DHTEvent] = []
    private var actionsInHand: [ConnectAction] = []

    struct LiveConnection: Sendable {
        var streamID: UInt32
        var socket: SocketID
    }

    /// - Parameters:
    ///   - seed: all randomness comes from it; secret outside of simulations.
    ///   - localAddresses: this host's IPv4 addresses with the server socket's port, as told to peers
    ///     on the local network.
    package init(
        configuration: HyperDHTConfiguration, keyPair: KeyPair, seed: Bytes32,
        localAddresses: [NetworkEndpoint], now: Instant
    ) {
        self.configuration = configuration
        self.keyPair = keyPair
        node = DHTNode(
            configuration: configuration.node,
            seed: Blake2b.hash256(key: seed, Array("node".utf8)), now: now)
        shared = ConnectShared(
            random: DHTRandom(seed: Blake2b.hash256(key: seed, Array("connect".utf8))),
            sockets: PunchSockets(socketsMax: configuration.limits.punchSocketsMax),
            slots: PunchSlots(
                slotsMax: configuration.limits.randomPunchesMax,
                interval: configuration.randomPunchInterval),
            configuration: configuration)
        shared.setLocalAddresses(localAddresses)
        listener = Listener(keyPair: keyPair, limits: configuration.limits)
        relayCache = DialRelayCache(peersMax: configuration.limits.relayCacheMax)
    }

    // MARK: Life

    /// Looks for other nodes; `.node(.ready)` follows.
    package mutating func start(now: Instant, into effects: inout HyperDHTEffects) {
        node.start(now: now, into: &effects.node)
        finish(now: now, into: &effects)
    }

    /// Takes in one datagram that starts with 0x03 or 0x13.
    package mutating func receive(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout HyperDHTEffects
    ) {
        node.receive(datagram, from: source, on: socket, now: now, into: &effects.node)
        finish(now: now, into: &effects)
    }

    /// Takes in one datagram of one byte.
    package mutating func receiveProbe(
        from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout HyperDHTEffects
    ) {
        guard let tag = shared.sockets.owner(of: socket), source.port != 0 else { return }
        dials[tag]?.probeArrived(from: source, on: socket, now: now, shared: &shared)
        if let puncher = listener[tag]?.puncher, puncher.sockets.contains(socket) {
            shared.actions.append(.probe(to: source, via: socket, isLowTTL: false))
        }
        finish(now: now, into: &effects)
    }

    /// A UDX packet came for a reserved stream that is not connected, or is connected over a relay:
    /// where it came from may be the path.
    ///
    /// - Returns: whether the stream may have it.
    package mutating func streamPacket(
        streamID: UInt32, from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout HyperDHTEffects
    ) -> Bool {
        guard source.port != 0 else { return false }
        guard let tag = streams[streamID] else { return true }
        look()
        dials[tag]?.packetArrived(from: source, on: socket, now: now, shared: &shared)
        listener[tag]?.packetArrived(from: source, on: socket, now: now, shared: &shared)
        finish(now: now, into: &effects)
        return true
    }

    /// Does what is due.
    ///
    /// - Returns: `deadline`.
    @discardableResult
    package mutating func advance(
        now: Instant, into effects: inout HyperDHTEffects
    ) -> Instant {
        _ = node.advance(now: now, into: &effects.node)
        finish(now: now, into: &effects)
        look()
        for tag in dials.due(now: now) { dials[tag]?.advance(now: now, shared: &shared) }
        dials.lookAgain(now: now)
        for tag in listener.due(now: now) {
            listener[tag]?.advance(now: now, shared: &shared)
            if let forgottenAt = listener[tag]?.forgottenAt, forgottenAt <= now {
                listener.forget(tag)
            }
        }
        listener.lookAgain(now: now)
        listener.announcer.advance(now: now, shared: &shared)
        finish(now: now, into: &effects)
        return deadline
    }

    /// When `advance` must be called. Any call may bring it forward.
    package var deadline: Instant {
        min(node.deadline, listener.deadline, dials.deadline)
    }

    /// Gives up all dials and half-open connections, and ignores all packets until `resume`. Nodes
    /// keep the announcement; `unlisten` some seconds before takes it back.
    package mutating func suspend(now: Instant, into effects: inout HyperDHTEffects) {
        for tag in dials.tags {
            dials[tag]?.cancel(.unavailable, now: now, shared: &shared)
        }
        dropIncoming(now: now)
        listener.announcer.pause()
        finish(now: now, into: &effects)
        node.suspend(now: now, into: &effects.node)
        finish(now: now, into: &effects)
    }

    /// Goes on, listening if it did.
    ///
    /// - Parameter serverPort: what the server socket is bound to now, if that changed.
    package mutating func resume(
        serverPort: UInt16? = nil, now: Instant, into effects: inout HyperDHTEffects
    ) {
        node.resume(serverPort: serverPort, now: now, into: &effects.node)
        look()
        listener.announcer.restart(shared: &shared)
        finish(now: now, into: &effects)
    }

    /// The host's interfaces have changed. If an address is gone, all that was asked through it is
    /// given up, and the node learns anew where it is.
    package mutating func networkChanged(
        localAddresses: [NetworkEndpoint], now: Instant, into effects: inout HyperDHTEffects
    ) {
        let hasLost = shared.localAddresses.contains { !localAddresses.contains($0) }
        shared.setLocalAddresses(localAddresses)
        if hasLost, !node.isSuspended {
            node.suspend(now: now, into: &effects.node)
            finish(now: now, into: &effects)
            node.resume(now: now, into: &effects.node)
        }
        look()
        if !node.isSuspended { listener.announcer.restart(shared: &shared) }
        finish(now: now, into: &effects)
    }

    /// The host could not bind the socket that `.openSocket` asked for, or lost it.
    package mutating func socketFailed(
        _ socket: SocketID, now: Instant, into effects: inout HyperDHTEffects
    ) {
        guard let tag = shared.sockets.owner(of: socket) else { return }
        look()
        dials[tag]?.puncher?.lost(socket, now: now, shared: &shared)
        dials[tag]?.advance(now: now, shared: &shared)
        listener[tag]?.puncher?.lost(socket, now: now, shared: &shared)
        listener[tag]?.advance(now: now, shared: &shared)
        finish(now: now, into: &effects)
    }

    // MARK: Dialling

    /// Looks for the peer and connects. `.reserved`, then `.connected` or `.failed` follow.
    ///
    /// - Parameters:
    ///   - relayAddresses: nodes at which it may have announced itself, tried first.
    ///   - relayThrough: a peer that runs a blind relay; used in parallel with punching if the
    ///     server names none itself.
    package mutating func connect(
        to publicKey: Bytes32, relayAddresses: [NetworkEndpoint] = [],
        relayThrough: Bytes32? = nil, now: Instant, into effects: inout HyperDHTEffects
    ) -> DialID {
        let tag = makeTag()
        let id = DialID(rawValue: tag.rawValue)
        guard !node.isSuspended, dials.count < configuration.limits.dialsMax else {
            shared.emit(.failed(tag, id, .unavailable))
            finish(now: now, into: &effects)
            return id
        }
        look()
        let streamID = reserveStream(for: tag)
        shared.emit(.reserved(tag, streamID: streamID, isInitiator: true))
        var dial = Dial(
            tag: tag, id: id, to: publicKey, keyPair: keyPair,
            ephemeralKey: KeyPair(using: &shared.random), localStreamID: streamID,
            hints: hints(for: publicKey, given: relayAddresses),
            relayThrough: relayThrough.map { .init(publicKey: $0, token: shared.secret()) })
        dial.start(shared: &shared)
        dials[tag] = dial
        finish(now: now, into: &effects)
        return id
    }

    private mutating func hints(
        for publicKey: Bytes32, given: [NetworkEndpoint]
    ) -> [NetworkEndpoint] {
        if let own = node.forwardAddress(for: Blake2b.hash256(publicKey.bytes)) { return [own] }
        let hints = given.isEmpty ? relayCache.relays(of: publicKey) : given
        return Array(
            hints.filter { $0.address.isSingleHost && $0.port != 0 }
                .prefix(configuration.limits.relaysPerDialMax))
    }

    /// Gives a dial up; `.failed` follows with `.cancelled` unless it is connected.
    package mutating func cancel(
        _ dial: DialID, now: Instant, into effects: inout HyperDHTEffects
    ) {
        let tag = ConnectionTag(rawValue: dial.rawValue)
        guard live[tag] == nil else { return }
        dials[tag]?.cancel(.cancelled, now: now, shared: &shared)
        finish(now: now, into: &effects)
    }

    /// The host's stream is gone: its id and its punch socket are free, and nothing more is done for
    /// the connection. To be called once for every connection that got as far as `.connected`; for
    /// one that has not it gives up.
    package mutating func release(
        _ tag: ConnectionTag, now: Instant, into effects: inout HyperDHTEffects
    ) {
        dials[tag]?.cancel(.cancelled, now: now, shared: &shared)
        listener[tag]?.drop(now: now, shared: &shared)
        finish(now: now, into: &effects)
        guard let connection = live.removeValue(forKey: tag) else { return }
        streams[connection.streamID] = nil
        if shared.sockets.owner(of: connection.socket) == tag {
            shared.sockets.free(connection.socket)
            effects.events.append(.closeSocket(connection.socket))
        }
    }

    // MARK: Streams of the host's own

    /// An id for a stream that the host makes itself (a blind relay's), distinct from all others.
    package mutating func makeStreamID() -> UInt32 {
        reserveStream(for: ConnectionTag(rawValue: 0))
    }

    package mutating func freeStreamID(_ id: UInt32) {
        if streams[id]?.rawValue == 0 { streams[id] = nil }
    }

    mutating func reserveStream(for tag: ConnectionTag) -> UInt32 {
        while true {
            let id = UInt32.random(in: 1...UInt32.max, using: &shared.random)
            guard streams[id] == nil else { continue }
            streams[id] = tag
            return id
        }
    }

    mutating func makeTag() -> ConnectionTag {
        lastTag += 1
        return ConnectionTag(rawValue: lastTag)
    }

    // MARK: Doing what was decided

    /// Lets the machines see what the node knows of itself now.
    mutating func look() {
        shared.isFirewalled = node.isFirewalled
        shared.remoteAddress = node.remoteAddress
        shared.requestSocket = node.requestSocket
        let nodes = node.recentNodes(ConnectShared.sampleNodesMax)
        shared.sampleNodes = node.tableCount >= 8 ? Array(nodes.dropFirst(5)) : nodes
    }

    /// Handles what the node said and does what the machines want, until neither has anything left.
    mutating func finish(now: Instant, into effects: inout HyperDHTEffects) {
        guard !effects.node.events.isEmpty || !shared.actions.isEmpty else { return }
        while !effects.node.events.isEmpty || !shared.actions.isEmpty {
            swap(&eventsInHand, &effects.node.events)
            for event in eventsInHand { handle(event, now: now, into: &effects) }
            eventsInHand.removeAll(keepingCapacity: true)
            swap(&actionsInHand, &shared.actions)
            for action in actionsInHand { perform(action, now: now, into: &effects) }
            actionsInHand.removeAll(keepingCapacity: true)
        }
        for tag in dials.tags where dials[tag]?.hasEnded == true { dials[tag] = nil }
    }
}
