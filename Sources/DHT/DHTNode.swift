package import Base
internal import Crypto
package import Wire

/// One node of the DHT: asks, answers, keeps a table of others, and stores records for them once it
/// is known to be reachable.
///
/// It does no I/O and reads no clock. The owner hands in datagrams and the time, sends what
/// `DHTEffects` holds, and calls `advance` no later than `deadline`.
package struct DHTNode: Sendable {
    package private(set) var configuration: DHTConfiguration
    var random: DHTRandom

    // Where we are. `DHTNode+Address` changes these.
    package internal(set) var isFirewalled: Bool
    package internal(set) var isEphemeral = true
    package internal(set) var serverPort: UInt16
    var sampler = NATSampler()
    /// Nodes without id whose view of our address has counted.
    var strangersSampled: [PackedEndpoint] = []
    var check: NetworkCheck?
    var lastHostChecked: UInt32?

    // Life.
    var bootstrap = Bootstrap.idle
    var quickProbeAnswered = false
    package internal(set) var isSuspended = false
    var tick: UInt32
    var lastTickAt = Instant.zero
    var nextTickAt = Instant.distantFuture
    var ticksToRefresh: UInt32
    var ticksToCheck: UInt32
    var health = NetworkHealth()

    // Others.
    var table: RoutingTable
    var newcomers: [PackedEndpoint] = []
    var swapsRunning = 0
    var downChecksRunning = 0
    var downHintsLeft: Int

    // What we ask.
    var window: CongestionWindow
    var requests = RequestTable()
    /// Requests that found the table full, to be reported as timed out.
    var refused: [PendingRequest] = []
    var queries: [QueryID: IterativeQuery] = [:]
    private var lastRequestID: UInt64 = 0
    private var lastQueryID: UInt64 = 0

    // What we answer.
    var tokens: TokenIssuer
    var budgets: RateBudgets
    var storage: DHTStorage
    var served: Set<Bytes32> = []
    var delayedPings: [DelayedPing] = []

    enum Bootstrap: Equatable, Sendable {
        case idle
        case walking(QueryID, isSecond: Bool)
        case checking
        case done
    }

    struct DelayedPing: Sendable {
        let due: Instant
        let to: PackedEndpoint
        let socket: SocketID
        let transaction: UInt16
    }

    /// - Parameter seed: all randomness of the node comes from it; secret outside of simulations.
    package init(configuration: DHTConfiguration, seed: Bytes32, now: Instant) {
        var random = DHTRandom(seed: seed)
        let limits = configuration.limits
        self.configuration = configuration
        isFirewalled = configuration.isFirewalled
        serverPort = configuration.serverPort
        tick = UInt32.random(in: 51...100, using: &random)
        ticksToRefresh = UInt32.random(in: 31...60, using: &random)
        ticksToCheck = Ticks.stable
        downHintsLeft = limits.downHintsPerTick
        table = RoutingTable(
            id: random.bytes32(), nodesPerNetworkMax: limits.nodesPerNetworkMax)
        window = CongestionWindow(now: now)
        tokens = TokenIssuer(seed: random.bytes32(), now: now)
        budgets = RateBudgets(limits: limits, now: now)
        storage = DHTStorage(limits: limits, now: now)
        self.random = random
    }

    // MARK: Life

    /// Begins to look for other nodes; `DHTEvent.ready` follows.
    package mutating func start(now: Instant, into effects: inout DHTEffects) {
        guard bootstrap == .idle else { return }
        lastTickAt = now
        nextTickAt = now + Ticks.length
        // Who was told its address and that it is reachable needs nobody to confirm it.
        if let address = configuration.publicAddress, configuration.mode == .persistent,
            !isFirewalled, let id = NodeID.of(address)
        {
            becomePersistent(id: id, now: now, into: &effects)
        }
        beginBootstrap(now: now, into: &effects)
    }

    /// The nodes to ask first are others than was known at the start, for all that is asked from now
    /// on.
    package mutating func setBootstrap(_ nodes: [NetworkEndpoint]) {
        configuration.bootstrap = nodes
    }

    /// Does what is due.
    ///
    /// - Returns: when to call again, at the latest. Every other call may bring that forward: look
    ///   at `deadline`.
    package mutating func advance(now: Instant, into effects: inout DHTEffects) -> Instant {
        failRefused(now: now, into: &effects)
        guard !isSuspended else { return deadline }
        timeOutRequests(now: now, into: &effects)
        sendWaiting(now: now, into: &effects)
        answerDelayedPings(now: now, into: &effects)
        if nextTickAt <= now { runTick(now: now, into: &effects) }
        return deadline
    }

    /// When `advance` must be called.
    package var deadline: Instant {
        if !refused.isEmpty { return .zero }
        guard !isSuspended else { return .distantFuture }
        var first = min(nextTickAt, requests.earliestDeadline)
        if !requests.isQueueEmpty { first = min(first, drainAt) }
        for ping in delayedPings { first = min(first, ping.due) }
        return first
    }

    /// When the requests that wait for room in the window are looked at again.
    var drainAt = Instant.distantFuture

    /// Fails everything under way and ignores all packets until `resume`. The owner closes the
    /// sockets.
    package mutating func suspend(now: Instant, into effects: inout DHTEffects) {
        guard !isSuspended else { return }
        isSuspended = true
        check = nil
        delayedPings.removeAll()
        newcomers.removeAll()
        (swapsRunning, downChecksRunning) = (0, 0)
        for request in requests.removeAll(where: { _ in true }) + refused
        where request.purpose == .caller {
            effects.events.append(.timedOut(request.id))
        }
        refused.removeAll()
        for (id, query) in queries.sorted(by: { $0.key < $1.key }) where !query.isBackground {
            effects.events.append(
                .queryEnded(id, closest: query.closest, committed: query.committed))
        }
        queries.removeAll()
    }

    /// Goes on as after a sleep, since the network may be another: learns the public address anew
    /// and walks to the own id; `DHTEvent.ready` comes again.
    ///
    /// - Parameter serverPort: what the server socket is bound to now, if that changed.
    package mutating func resume(
        serverPort: UInt16? = nil, now: Instant, into effects: inout DHTEffects
    ) {
        guard isSuspended else { return }
        isSuspended = false
        if let serverPort { self.serverPort = serverPort }
        window = CongestionWindow(now: now)
        wakeUp(into: &effects)
        forgetAddress(into: &effects)
        lastTickAt = now
        nextTickAt = now + Ticks.length
        if bootstrap != .idle { beginBootstrap(now: now, into: &effects) }
    }

    mutating func nextRequestID() -> RequestID {
        lastRequestID += 1
        return RequestID(rawValue: lastRequestID)
    }

    mutating func nextQueryID() -> QueryID {
        lastQueryID += 1
        return QueryID(rawValue: lastQueryID)
    }

    // MARK: What is known

    /// Requests leave through it: the server socket once that is known to be reachable.
    package var requestSocket: SocketID { isFirewalled ? .client : .server }
    /// The node's place in the DHT; random while it does not know its address.
    package var tableID: Bytes32 { table.id }
    /// Nodes in the table.
    package var tableCount: Int { table.count }

    /// Up to `count` nodes of the table, the one heard from last first.
    package func recentNodes(_ count: Int) -> [NetworkEndpoint] {
        table.mostRecent(count).map(\.endpoint.endpoint)
    }

    /// Up to `count` nodes of the table, the closest to `target` first.
    package func closestNodes(to target: Bytes32, _ count: Int = 20) -> [NetworkEndpoint] {
        table.closest(to: target, count: count).map(\.endpoint.endpoint)
    }

    /// Where the peer that announced itself under `target` at this node can be reached.
    package func forwardAddress(for target: Bytes32) -> NetworkEndpoint? {
        storage.forwards.peek(target)?.address.endpoint
    }
}
