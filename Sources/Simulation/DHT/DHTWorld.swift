internal import Base
internal import Crypto
internal import DHT
internal import Wire

/// Nodes of the DHT in a virtual network, driven as a host drives them, and the walks that are
/// watched.
struct DHTWorld: Sendable {
    /// What runs on a host; at the index that the network gave the host.
    struct Member: Sendable {
        /// nil after it left.
        var node: DHTNode?
        var adversary: Adversary?
        var peer: Peer?
        /// Its place in `alive`, -1 if it is not there.
        var place = -1
        /// Walks of this node that go on.
        var walks: [Int] = []
    }

    /// What shall happen at a time.
    enum Plan: Sendable {
        case join(isPersistent: Bool)
        case leave(host: Int)
        case announce(topic: Int)
        case lookup(topic: Int)
    }

    struct Topic: Sendable {
        let name: Bytes32
        let keyPair: KeyPair
        /// The node that announces it and does not leave.
        let host: Int
    }

    private struct WalkKey: Hashable {
        let host: Int
        let query: QueryID
    }

    let options: DHTOptions
    var network: VirtualNetwork
    var random: SeededRandom
    var members: [Member] = []
    /// Honest nodes that run.
    var alive: [Int] = []
    var bootstrap: [NetworkEndpoint] = []
    var topics: [Topic] = []
    var plans: [Plan] = []
    var walks: [Walk] = []
    var readyCount = 0
    var persistentCount = 0
    /// Where attackers are.
    var hostile: Set<NetworkEndpoint> = []
    /// Whether sessions end.
    var churns = false
    var effects = DHTEffects()
    var peerEffects = HyperDHTEffects()
    private var walkOfQuery: [WalkKey: Int] = [:]

    init(_ options: DHTOptions) {
        self.options = options
        var configuration = VirtualNetwork.Configuration()
        configuration.loss = options.loss
        configuration.latency = options.latency
        network = VirtualNetwork(seed: options.seed, configuration: configuration)
        random = SeededRandom(seed: options.seed ^ 0x5eed)
    }

    mutating func plan(_ plan: Plan, at time: Instant) {
        network.setAlarm(UInt64(plans.count), at: time)
        plans.append(plan)
    }

    /// Lets everything happen up to `time`.
    mutating func run(until time: Instant) {
        while let event = network.next(until: time) {
            switch event {
            case .datagram(let delivery): receive(delivery)
            case .timer(let host): advance(host.index)
            case .alarm(let number): carryOut(plans[Int(number)])
            }
        }
    }

    mutating func run(for duration: Duration) { run(until: network.now + duration) }

    private mutating func receive(_ delivery: VirtualNetwork.Delivery) {
        let index = delivery.host.index
        if members[index].adversary != nil, intercept(delivery) { return }
        if members[index].peer != nil { return receiveAtPeer(delivery) }
        guard members[index].node != nil else { return }
        Self.hand(delivery, of: network, to: &members[index], &effects)
        settle(index)
    }

    private static func hand(
        _ delivery: VirtualNetwork.Delivery, of network: borrowing VirtualNetwork,
        to member: inout Member, _ effects: inout DHTEffects
    ) {
        member.node?.receive(
            network.payload, from: delivery.source, on: delivery.socket, now: network.now,
            into: &effects)
    }

    private mutating func advance(_ index: Int) {
        if members[index].peer != nil { return advancePeer(index) }
        guard members[index].node != nil else { return }
        _ = members[index].node?.advance(now: network.now, into: &effects)
        settle(index)
    }

    private mutating func carryOut(_ plan: Plan) {
        switch plan {
        case .join(let isPersistent): join(isPersistent: isPersistent)
        case .leave(let host): leave(host)
        case .announce(let topic): announce(topic)
        case .lookup(let topic): lookup(topic)
        }
    }

    // MARK: Carrying out what a node decided

    /// Sends, notes and empties `effects`, and asks for the node's next time.
    mutating func settle(_ index: Int) {
        if !members[index].walks.isEmpty { countRequests(of: index) }
        let host = VirtualNetwork.HostID(index: index)
        network.send(effects.datagrams, from: host)
        if !effects.events.isEmpty {
            let events = effects.events
            for event in events { note(event, at: index) }
        }
        effects.removeAll()
        guard let deadline = members[index].node?.deadline else { return }
        network.setTimer(deadline, of: host)
    }

    private mutating func countRequests(of index: Int) {
        for entry in effects.datagrams.entries {
            guard
                let request = RequestSummary(
                    effects.datagrams.bytes.span.extracting(entry.range)),
                !request.isInternal, let target = request.target
            else { continue }
            for walk in members[index].walks where walks[walk].target == target {
                walks[walk].requests += 1
            }
        }
    }

    private mutating func note(_ event: DHTEvent, at index: Int) {
        switch event {
        case .ready: readyCount += 1
        case .becamePersistent: persistentCount += 1
        case .queryReply(let query, let reply):
            guard let walk = walkOfQuery[WalkKey(host: index, query: query)] else { return }
            note(reply, in: walk)
        case .queryCommitted(let query, let reply):
            guard reply.error == 0, !hostile.contains(reply.from),
                let walk = walkOfQuery[WalkKey(host: index, query: query)]
            else { return }
            walks[walk].kept += 1
        case .queryEnded(let query, let closest, let committed):
            let key = WalkKey(host: index, query: query)
            guard let walk = walkOfQuery.removeValue(forKey: key) else { return }
            end(walk, closest: closest, committed: committed)
            members[index].walks.removeAll { $0 == walk }
        default: break
        }
    }

    // MARK: Walks

    /// Begins to watch a query that the node has just begun; call `settle` after it.
    mutating func watch(_ query: QueryID, as walk: Walk) {
        walks.append(walk)
        members[walk.host].walks.append(walks.count - 1)
        walkOfQuery[WalkKey(host: walk.host, query: query)] = walks.count - 1
    }

    private mutating func note(_ reply: DHTReply, in index: Int) {
        walks[index].replies += 1
        walks[index].note(reply.closerNodes, namedBy: reply.from)
        guard walks[index].foundAt == nil, let value = reply.value,
            let found = try? LookupReply(decoding: value.span),
            found.peers.contains(where: { $0.publicKey == walks[index].publicKey })
        else { return }
        walks[index].foundAt = network.now
        walks[index].foundDepth = walks[index].depth(of: reply.from)
    }

    private mutating func end(_ index: Int, closest: [DHTReply], committed: Int) {
        walks[index].endedAt = network.now
        walks[index].committed = committed
        walks[index].closestDepth = closest.first.map { walks[index].depth(of: $0.from) }
        let found = Set(closest.compactMap(\.id))
        walks[index].closestFound = trueClosest(to: walks[index].target).count {
            found.contains($0)
        }
        walks[index].forgetDepths()
    }
}
