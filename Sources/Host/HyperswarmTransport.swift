package import Base
package import Crypto
package import DHT
package import Swarm
package import Wire

/// What the transport is told when it is made.
package struct HyperswarmOptions: Sendable {
    /// Under which this device takes part in the DHT for one share (`ShareKeys.nodeKey`).
    package var nodeKey: KeyPair
    /// The nodes to ask first, by name or number.
    package var bootstrap: [PeerAddress]
    /// Tried first, so that an open port stays good across restarts; 0 for none.
    package var preferredPort: UInt16 = 0
    /// A peer that runs a blind relay, for where no hole can be punched.
    package var relay: Bytes32?
    /// Of an earlier run on the same network.
    package var memory = SwarmMemory()

    package init(nodeKey: KeyPair, bootstrap: [PeerAddress]) {
        self.nodeKey = nodeKey
        self.bootstrap = bootstrap
    }
}

/// Devices found by topic in the DHT and dialed by their keys, over UDP and through NATs: the
/// Hyperswarm network's own protocols.
///
/// Confined to its loop's thread once `attach` is called, but for `close`.
package final class HyperswarmTransport: Transport, LoopMember, @unchecked Sendable {
    private enum Limits {
        /// Relay addresses remembered for devices that were found.
        static let hintsMax = 1024
        /// Peers counted of one query.
        static let peersMax = 1024
        /// How long a start may take before the network is called unreachable.
        static let startTime = Duration.seconds(5)
        /// How long topics wait for the walk that a node begins with. It takes several seconds when
        /// nodes that it was told of are gone.
        static let walkPatience = Duration.milliseconds(500)
        /// Announcements under topics wait so long for the node's own, which they refer to.
        static let listenTime = Duration.seconds(3)
        /// Nodes of old that stand in for bootstrap nodes.
        static let standInsMax = 20
        static let resolveRetry = Duration.seconds(10)
        /// Relays remembered, and for how long before they are looked up again.
        static let relaysMax = 32
        static let relaysFresh = Duration.seconds(600)
        /// A dial that needs a relay waits so long for one to be found.
        static let relayPatience = Duration.milliseconds(300)
    }

    private struct Query {
        let topic: Bytes32
        var replies = 0
        var peers: Set<Bytes32> = []
    }

    package let name = "hyperswarm"
    let loop: EventLoop
    private let workers: WorkerPool
    private let options: HyperswarmOptions
    private(set) weak var observer: (any TransportObserver)?
    /// Nil until the bootstrap nodes' names are resolved.
    private(set) var node: SwarmNode?
    private var nodeFailure: HostError?
    private var unknownBootstrap: [PeerAddress] = []
    private var discovery = Discovery()
    private var discoveryEffects: [Discovery.Effect] = []
    private var sessions: [Bytes32: Discovery.SessionID] = [:]
    private var queries: [QueryID: Query] = [:]
    /// Queries that take back what was announced.
    private var withdrawals: Set<QueryID> = []
    var hints: [Bytes32: [NetworkEndpoint]] = [:]
    /// What was remembered, and devices that have proved themselves since.
    var met: SwarmMemory
    /// Where those answered themselves, without a hole having been punched.
    var ownAddresses: [Bytes32: NetworkEndpoint] = [:]
    private var dials: [DialID: Bytes32] = [:]
    /// Devices to which no hole could be punched.
    private var unpunchable: Set<Bytes32> = []
    /// Relays that serve everybody, and when they were looked up.
    private var publicRelays: [Bytes32] = []
    private var relayQuery: QueryID?
    private var relaysAskedAt: Instant?
    /// To be dialed once a relay is found, or after a moment without.
    private var waitingKeys: [Bytes32] = []
    private var random = SystemRandomNumberGenerator()
    private var startedAt = Instant.distantFuture
    private var isReady = false
    private var isOnline = false
    private var mayAnnounceAt = Instant.distantFuture
    private var publicHost: NetworkAddress?
    private var isClosed = false

    package init(loop: EventLoop, workers: WorkerPool, options: HyperswarmOptions) {
        self.loop = loop
        self.workers = workers
        self.options = options
        met = options.memory
    }

    /// Begins to run on the loop, which must have been started.
    ///
    /// - Throws: if there is no socket to be had. Names of bootstrap nodes are looked up meanwhile.
    package func attach(_ observer: any TransportObserver) throws(HostError) {
        self.observer = observer
        let numbers = numericBootstrap
        if numbers != nil || !met.nodes.isEmpty {
            // Nodes of old do while names are looked up, or if they cannot be.
            let node = try open(bootstrap: numbers ?? Array(met.nodes.prefix(Limits.standInsMax)))
            _ = loop.perform { [self] in
                begin(with: node)
                loop.add(self)
                if numbers == nil { resolve() }
            }
        } else {
            _ = loop.perform { [self] in
                startedAt = monotonicNow()
                loop.add(self)
                resolve()
            }
        }
    }

    /// The port that others are told.
    package var serverPort: UInt16? { loop.perform { [self] in node?.serverPort } ?? nil }

    /// The node's sockets and counters, for measurements.
    package var endpointStatistics: UDPEndpoint.Statistics? {
        loop.perform { [self] in node?.endpoint.statistics } ?? nil
    }

    /// Bytes wait on streams that are being closed, or announcements are being taken back. On the
    /// loop's thread.
    package var isFlushing: Bool { node?.isFlushing == true || !withdrawals.isEmpty }

    /// Ends all streams, and closes the sockets. From any thread; waits for that.
    package func close() {
        _ = loop.perform { [self] in
            guard !isClosed else { return }
            disconnect()
            isClosed = true
            loop.remove(self)
            node?.close()
        }
    }

    // MARK: Transport

    package var addresses: [PeerAddress] { [] }

    package var problem: String? {
        if let nodeFailure { return "no UDP: \(nodeFailure)" }
        let now = monotonicNow()
        guard startedAt != .distantFuture, now >= startedAt + Limits.startTime else { return nil }
        guard let node else {
            let names = unknownBootstrap.map { "\($0.host)" }.joined(separator: ", ")
            let isNumbers = unknownBootstrap.allSatisfy { $0.host.contains(":") }
            return isNumbers
                ? "cannot find the DHT: it speaks IPv4 only, not \(names)"
                : "cannot find the DHT: no such host as \(names)"
        }
        if let refused = node.endpoint.problem { return "the network is unreachable (\(refused))" }
        guard node.dht.tableCount == 0 || discovery.isOffline else { return nil }
        let names = options.bootstrap.prefix(3).map { "\($0)" }.joined(separator: ", ")
        return
            "the DHT does not answer (\(names)): is there a network, and does it let UDP through?"
    }

    package func connect(_ topic: Bytes32) { set(topic, announces: true, looksUp: true) }
    package func announce(_ topic: Bytes32) { set(topic, announces: true, looksUp: false) }
    package func lookup(_ topic: Bytes32) { set(topic, announces: false, looksUp: true) }

    package func leave(_ topic: Bytes32) {
        guard let session = sessions.removeValue(forKey: topic) else { return }
        discovery.leave(session, now: monotonicNow())
        loop.callAgain()
    }

    package func disconnect() {
        for topic in sessions.keys.sorted() { leave(topic) }
        performDiscovery(now: monotonicNow())
        for dial in dials.keys.sorted() {
            node?.call { core, now, effects in core.cancel(dial, now: now, into: &effects) }
        }
        dials = [:]
        waitingKeys = []
        node?.call { core, now, effects in core.unlisten(now: now, into: &effects) }
    }

    package func searchAgain() {
        discovery.searchAgain(now: monotonicNow())
        loop.callAgain()
    }

    package func dials(_ target: DialTarget) -> Bool {
        if case .device = target { true } else { false }
    }

    package func dial(_ target: DialTarget) {
        guard case .device(let key) = target else { return }
        guard let node, key != options.nodeKey.publicKey else {
            observer?.transport(self, dialFailed: target, reason: "the DHT cannot be reached")
            return
        }
        let relay = needsRelay(key, node) ? relay(on: node) : nil
        if relay == nil, needsRelay(key, node), awaitsRelays(now: monotonicNow()) {
            if !waitingKeys.contains(key) { waitingKeys.append(key) }
            return loop.callAgain()
        }
        dial(key, through: relay, on: node)
    }

    private func dial(_ key: Bytes32, through relay: Bytes32?, on node: SwarmNode) {
        let nodes = hints[key] ?? []
        let dial = node.call { core, now, effects in
            core.connect(
                to: key, relayAddresses: nodes, relayThrough: relay, now: now, into: &effects)
        }
        dials[dial] = key
    }

    package func run(now: Instant) -> Instant {
        guard let node, startedAt != .distantFuture else { return .distantFuture }
        if !isReady {
            guard now >= startedAt + Limits.walkPatience else {
                return startedAt + Limits.walkPatience
            }
            becomeReady(node, now: now)
        }
        if !waitingKeys.isEmpty {
            guard !publicRelays.isEmpty || !awaitsRelays(now: now) else {
                let until = (relaysAskedAt ?? now) + Limits.relayPatience
                return min(until, runDiscovery(node, now: now))
            }
            let keys = waitingKeys
            waitingKeys = []
            for key in keys { dial(key, through: relay(on: node), on: node) }
        }
        return runDiscovery(node, now: now)
    }

    private func runDiscovery(_ node: SwarmNode, now: Instant) -> Instant {
        discovery.mayAnnounce = now >= mayAnnounceAt || !node.relayAddresses.isEmpty
        let due = performDiscovery(now: now)
        return discovery.mayAnnounce ? due : min(due, mayAnnounceAt)
    }

    // MARK: Detail

    private func set(_ topic: Bytes32, announces: Bool, looksUp: Bool) {
        let now = monotonicNow()
        let before = sessions[topic]
        sessions[topic] = discovery.join(topic, announces: announces, looksUp: looksUp, now: now)
        if let before { discovery.leave(before, now: now) }
        if announces { listen() }
        loop.callAgain()
    }

    private func becomeReady(_ node: SwarmNode, now: Instant) {
        isReady = true
        mayAnnounceAt = now + Limits.listenTime
        if !sessions.isEmpty { listen() }
    }

    private func listen() {
        // Devices that remember where this one is ask it at once.
        guard let node, isReady || !met.peers.isEmpty else { return }
        node.call { core, now, effects in
            if !core.isListening { core.listen(now: now, into: &effects) }
        }
    }

    @discardableResult
    private func performDiscovery(now: Instant) -> Instant {
        let due = discovery.advance(now: now, into: &discoveryEffects)
        guard let node else { return due }
        let effects = discoveryEffects
        discoveryEffects.removeAll(keepingCapacity: true)
        for effect in effects { perform(effect, on: node) }
        return due
    }

    private func perform(_ effect: Discovery.Effect, on node: SwarmNode) {
        let keyPair = options.nodeKey
        switch effect {
        case .announce(let topic, let clears):
            let relays = node.relayAddresses
            let query = node.ask { node, now, effects in
                node.announce(
                    topic, keyPair: keyPair, relayAddresses: relays, clear: clears, now: now,
                    into: &effects)
            }
            queries[query] = Query(topic: topic)
        case .lookup(let topic):
            let query = node.ask { node, now, effects in
                node.lookup(topic, now: now, into: &effects)
            }
            queries[query] = Query(topic: topic)
        case .withdraw(let topic):
            let query = node.ask { node, now, effects in
                node.unannounce(topic, keyPair: keyPair, now: now, into: &effects)
            }
            withdrawals.insert(query)
        case .cancel(let topic):
            for id in queries.keys.sorted() where queries[id]?.topic == topic {
                queries[id] = nil
                node.ask { node, _, _ in node.cancel(id) }
            }
        }
    }

    private var numericBootstrap: [NetworkEndpoint]? {
        var numbers: [NetworkEndpoint] = []
        for node in options.bootstrap {
            guard let address = NetworkAddress(node.host), case .v4 = address else { return nil }
            numbers.append(NetworkEndpoint(address: address, port: node.port))
        }
        return numbers
    }

    private func open(bootstrap: [NetworkEndpoint]) throws(HostError) -> SwarmNode {
        var settings = SwarmNodeOptions(keyPair: options.nodeKey, bootstrap: bootstrap)
        settings.knownNodes = met.nodes
        if options.preferredPort != 0 { settings.serverPorts.insert(options.preferredPort, at: 0) }
        let node = SwarmNode(loop: loop, options: settings)
        node.observer = self
        try node.open()
        return node
    }

    private func begin(with node: SwarmNode) {
        self.node = node
        startedAt = monotonicNow()
        loop.callAgain()
        dialKnownPeers()
    }

    /// Looks up the names of bootstrap nodes, again and again until one is found.
    private func resolve() {
        let wanted = options.bootstrap
        let isQueued = workers.trySubmit { [loop, self] in
            let resolved = BootstrapNodes.resolve(wanted)
            loop.submit { self.take(resolved) }
        }
        if !isQueued { loop.submit(after: Limits.resolveRetry) { [weak self] in self?.resolve() } }
    }

    private func take(_ resolved: [BootstrapNodes.Resolved]) {
        guard !isClosed else { return }
        let found = resolved.compactMap(\.endpoints.first)
        unknownBootstrap = resolved.filter { $0.endpoints.isEmpty }.map(\.named)
        guard !found.isEmpty else {
            return loop.submit(after: Limits.resolveRetry) { [weak self] in self?.resolve() }
        }
        if let node { return node.ask { node, _, _ in node.setBootstrap(found) } }
        do throws(HostError) {
            begin(with: try open(bootstrap: found))
        } catch {
            nodeFailure = error
        }
    }
}

extension HyperswarmTransport: SwarmNodeObserver {
    package func node(_ node: SwarmNode, connected stream: SwarmStream, dial: DialID?) {
        let key = dial.flatMap { dials.removeValue(forKey: $0) }
        guard let observer, !isClosed, !sessions.isEmpty else { return stream.abort() }
        observer.transport(self, opened: stream, dialed: key.map { .device($0) })
    }

    package func node(_ node: SwarmNode, dialFailed dial: DialID, _ reason: ConnectFailure) {
        guard let key = dials.removeValue(forKey: dial) else { return }
        if Self.isRelayOfHelp(reason) {
            if unpunchable.count >= Limits.hintsMax { unpunchable = [] }
            unpunchable.insert(key)
            _ = relay(on: node)
        }
        observer?.transport(self, dialFailed: .device(key), reason: Self.text(of: reason))
    }

    package func node(_ node: SwarmNode, isListeningAt relays: [NetworkEndpoint]) {
        loop.callAgain()
    }

    package func node(_ node: SwarmNode, reports event: DHTEvent) {
        let now = monotonicNow()
        switch event {
        case .ready:
            if !isReady { becomeReady(node, now: now) }
            nameRelay(on: node)
        case .queryReply(let id, let reply): take(reply, of: id)
        case .queryEnded(let id, _, _):
            withdrawals.remove(id)
            if id == relayQuery {
                relayQuery = nil
                nameRelay(on: node)
            }
            guard let query = queries.removeValue(forKey: id) else { return }
            discovery.ended(
                query.topic, replies: query.replies, peers: query.peers.count, now: now,
                using: &random)
        case .addressChanged:
            defer { publicHost = node.dht.publicHost ?? publicHost }
            guard let publicHost, let host = node.dht.publicHost, host != publicHost else { return }
            changedNetwork()
        case .online(let isOnline):
            self.isOnline = isOnline
            if isOnline, discovery.isOffline { discovery.addressChanged(now: now) }
        default: return
        }
        loop.callAgain()
    }

    package func nodeChangedNetwork(_ node: SwarmNode) { changedNetwork() }

    private func changedNetwork() {
        discovery.addressChanged(now: monotonicNow())
        observer?.transportNoticedNetworkChange(self)
        loop.callAgain()
    }

    private func take(_ reply: DHTReply, of id: QueryID) {
        if id == relayQuery { return noteRelays(reply) }
        guard var query = queries[id] else { return }
        query.replies += 1
        defer { queries[id] = query }
        guard let value = reply.value, let lookup = try? LookupReply(decoding: value) else {
            return
        }
        let isWanted = discovery.looksUp(query.topic)
        for peer in lookup.peers where peer.publicKey != options.nodeKey.publicKey {
            guard query.peers.count < Limits.peersMax else { return }
            query.peers.insert(peer.publicKey)
            if isWanted { note(peer) }
        }
    }

    private func note(_ peer: PeerRecord) {
        if !peer.relayAddresses.isEmpty {
            if hints[peer.publicKey] == nil, hints.count >= Limits.hintsMax { hints = [:] }
            hints[peer.publicKey] = Array(peer.relayAddresses.prefix(3))
        }
        observer?.transport(self, found: .device(peer.publicKey))
    }

    // MARK: Relays

    /// Where punching has failed already, and where this device's own NAT gives every destination
    /// another port.
    private func needsRelay(_ key: Bytes32, _ node: SwarmNode) -> Bool {
        unpunchable.contains(key) || isBehindRandomNAT(node)
    }

    /// Behind a random NAT, the first dial can name a relay, and so can answers to those who dial.
    private func nameRelay(on node: SwarmNode) {
        guard isBehindRandomNAT(node), let relay = relay(on: node) else { return }
        node.call { core, _, _ in core.serverRelay = relay }
    }

    private func isBehindRandomNAT(_ node: SwarmNode) -> Bool {
        node.dht.isFirewalled && node.dht.publicHost != nil && node.dht.publicPort == nil
    }

    /// The relay that was named, or any that is announced; looks for those if there are none.
    private func relay(on node: SwarmNode) -> Bytes32? {
        if let named = options.relay { return named }
        let now = monotonicNow()
        if relayQuery == nil, relaysAskedAt.map({ now >= $0 + Limits.relaysFresh }) ?? true {
            relaysAskedAt = now
            relayQuery = node.ask { node, now, effects in
                node.lookup(BlindRelayMessage.topic, now: now, into: &effects)
            }
        }
        return publicRelays.randomElement(using: &random)
    }

    private func awaitsRelays(now: Instant) -> Bool {
        guard relayQuery != nil, let relaysAskedAt else { return false }
        return now < relaysAskedAt + Limits.relayPatience
    }

    private func noteRelays(_ reply: DHTReply) {
        guard let value = reply.value, let lookup = try? LookupReply(decoding: value) else {
            return
        }
        for peer in lookup.peers
        where !publicRelays.contains(peer.publicKey)
            && peer.publicKey != options.nodeKey.publicKey
        {
            if publicRelays.count >= Limits.relaysMax { publicRelays.removeFirst() }
            publicRelays.append(peer.publicKey)
        }
    }

    private static func isRelayOfHelp(_ reason: ConnectFailure) -> Bool {
        switch reason {
        case .cannotPunch, .punchAborted, .probeTimeout, .doubleRandomized, .remoteAborted,
            .remoteNotPunching, .remoteNotPunchable:
            true
        case .peerNotFound, .couldNotConnect, .incompatible, .refused, .relayFailed, .unavailable,
            .cancelled:
            false
        }
    }

    /// What came of a dial, for people.
    private static func text(of reason: ConnectFailure) -> String {
        switch reason {
        case .peerNotFound: "it is not announced in the DHT at the moment"
        case .couldNotConnect: "it is announced in the DHT and does not answer"
        case .incompatible: "it speaks another version"
        case .refused: "it refused"
        case .cannotPunch, .remoteNotPunchable: "its network lets nothing in"
        case .punchAborted, .remoteAborted, .remoteNotPunching: "no way through the NATs was found"
        case .probeTimeout: "one of the two networks could not be made out"
        case .doubleRandomized:
            "both networks change ports with every destination: only a relay helps (--relay)"
        case .relayFailed: "the relay did not answer"
        case .unavailable: "too many dials at once"
        case .cancelled: "given up"
        }
    }
}
