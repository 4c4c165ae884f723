import Base
import DHT
import Simulation
import Testing
import Wire

/// Nodes of one DHT on a virtual network, from a seed.
final class NodeNetwork {
    var network: VirtualNetwork
    var nodes: [DHTNode] = []
    var hosts: [VirtualNetwork.HostID] = []
    /// By node: what was not taken yet.
    var events: [[DHTEvent]] = []
    var bootstrap: [NetworkEndpoint] = []
    private var dead: Set<Int> = []
    private var effects = DHTEffects()
    private let seed: UInt64
    var limits = DHTLimits()

    init(seed: UInt64, loss: Double = 0) {
        self.seed = seed
        var configuration = VirtualNetwork.Configuration()
        configuration.loss = loss
        network = VirtualNetwork(seed: seed, configuration: configuration)
    }

    /// A network of open, persistent nodes, the first of them the bootstrap node, after its start.
    static func persistent(_ count: Int, seed: UInt64, loss: Double = 0) -> NodeNetwork {
        let network = NodeNetwork(seed: seed, loss: loss)
        for _ in 0..<count {
            network.addPersistent()
            network.run(for: .milliseconds(200))
        }
        network.run(for: .seconds(20))
        return network
    }

    var now: Instant { network.now }
    var alive: [Int] { nodes.indices.filter { !dead.contains($0) } }

    @discardableResult
    func addPersistent() -> Int {
        let host = network.addHost()
        let address = NetworkEndpoint(address: network.address(of: host), port: 49737)
        let node = add(host) {
            $0.mode = .persistent
            $0.isFirewalled = false
            $0.publicAddress = address
        }
        if bootstrap.isEmpty { bootstrap = [address] }
        return node
    }

    /// A node as a person runs it.
    @discardableResult
    func addAdaptive(behind kind: Simulation.NATKind? = nil) -> Int {
        add(kind.map { network.addHost(behind: $0) } ?? network.addHost()) { _ in }
    }

    @discardableResult
    func add(
        _ host: VirtualNetwork.HostID, _ configure: (inout DHTConfiguration) -> Void
    ) -> Int {
        let server = network.bind(.server, at: host, port: 49737) ?? 0
        let client = network.bind(.client, at: host) ?? 0
        var configuration = DHTConfiguration(
            bootstrap: bootstrap, serverPort: server, clientPort: client,
            unixMillisecondsAtZero: 1_700_000_000_000, limits: limits)
        configure(&configuration)
        let number = nodes.count
        var random = SeededRandom(seed: seed &* 1_000_003 &+ UInt64(number))
        nodes.append(
            DHTNode(
                configuration: configuration, seed: Bytes32(random.bytes(32)) ?? .zero, now: now))
        hosts.append(host)
        events.append([])
        with(number) { node, now, effects in node.start(now: now, into: &effects) }
        return number
    }

    func endpoint(_ node: Int, _ socket: SocketID = .server) -> NetworkEndpoint {
        network.endpoint(of: socket, at: hosts[node])
            ?? NetworkEndpoint(address: .v4(0), port: 0)
    }

    func kill(_ node: Int) {
        dead.insert(node)
        network.remove(hosts[node])
    }

    // MARK: Driving

    /// Calls into a node and carries out what follows.
    @discardableResult
    func with<Result>(
        _ node: Int, _ body: (inout DHTNode, Instant, inout DHTEffects) -> Result
    ) -> Result {
        let result = body(&nodes[node], now, &effects)
        network.send(effects.datagrams, from: hosts[node])
        events[node] += effects.events
        effects.removeAll()
        network.setTimer(nodes[node].deadline, of: hosts[node])
        return result
    }

    func run(for duration: Duration) { run(until: now + duration) }

    /// - Returns: whether `isDone` held before the time was over.
    @discardableResult
    func run(
        until end: Instant, unless isDone: (NodeNetwork) -> Bool = { _ in false }
    ) -> Bool {
        while !isDone(self) {
            guard let event = network.next(until: end) else { return false }
            switch event {
            case .datagram(let delivery):
                let payload = [UInt8](copying: network.payload)
                let number = delivery.host.index
                with(number) { node, now, effects in
                    node.receive(
                        payload.span, from: delivery.source, on: delivery.socket, now: now,
                        into: &effects)
                }
            case .timer(let host):
                guard !dead.contains(host.index) else { continue }
                with(host.index) { node, now, effects in
                    _ = node.advance(now: now, into: &effects)
                }
            case .alarm:
                continue
            }
        }
        return true
    }

    /// What a query brought.
    struct Outcome {
        var replies: [DHTReply] = []
        var commits: [DHTReply] = []
        var closest: [DHTReply] = []
        var committed = 0
        var hasEnded = false
    }

    /// Begins a query at a node and runs until it ends, or a minute.
    func finish(
        _ node: Int, _ begin: (inout DHTNode, Instant, inout DHTEffects) -> QueryID
    ) -> Outcome {
        let id = with(node, begin)
        run(until: now + .seconds(60)) { $0.hasEnded(id, at: node) }
        var outcome = Outcome()
        for event in events[node] {
            switch event {
            case .queryReply(id, let reply): outcome.replies.append(reply)
            case .queryCommitted(id, let reply): outcome.commits.append(reply)
            case .queryEnded(id, let closest, let committed):
                outcome.closest = closest
                outcome.committed = committed
                outcome.hasEnded = true
            default: break
            }
        }
        events[node].removeAll()
        return outcome
    }

    func hasEnded(_ id: QueryID, at node: Int) -> Bool {
        events[node].contains { if case .queryEnded(id, _, _) = $0 { true } else { false } }
    }

    /// The answer to one request, nil after its last time-out.
    func ask(
        _ node: Int, _ request: DHTRequest, of destination: NetworkEndpoint, retries: Int = 1
    ) -> DHTReply? {
        let id = with(node) { node, now, effects in
            node.request(request, to: destination, retries: retries, now: now, into: &effects)
        }
        var reply: DHTReply?
        run(until: now + .seconds(30)) {
            $0.events[node].contains {
                switch $0 {
                case .replied(id, let found):
                    reply = found
                    return true
                case .timedOut(id): return true
                default: return false
                }
            }
        }
        events[node].removeAll()
        return reply
    }
}
