internal import Base
internal import Crypto
internal import Wire

/// The walk of one query towards its target (`dht.md` 8): whom to ask next, and who was closest.
///
/// It sends nothing itself. The node asks for `next` until there is none, and reports what came of
/// each.
struct IterativeQuery: Sendable {
    enum Phase: Sendable { case visiting, clearing, committing }

    /// A node that should hear that another one, which it named, is down.
    struct DownHint: Equatable, Sendable {
        let to: PackedEndpoint
        let dead: PackedEndpoint
    }

    private enum Visit: Sendable {
        /// To be asked or being asked; the nodes that named it.
        case waiting([PackedEndpoint])
        case done
        case down
    }

    private struct Candidate: Sendable {
        let distance: Distance
        let endpoint: PackedEndpoint
    }

    private struct Found: Sendable {
        let distance: Distance
        let origin: UInt64
        let reply: DHTReply
    }

    private static let slowedConcurrency = 3
    /// So few answers from the nodes we were given that the table is asked as well.
    private static let successesExpected = DHTLimits.bucketSize / 4

    let plan: DHTQuery
    /// Raised and lowered by the node for queries in the background.
    var concurrency: Int
    /// Whether nobody waits for it: refresh and bootstrap.
    let isBackground: Bool
    var phase = Phase.visiting
    /// Commits, or unannouncements before it, under way.
    var writesInFlight = 0
    var committed = 0

    /// Nodes to be asked first, the first of them last.
    private var first: [PackedEndpoint] = []
    /// The farthest first.
    private var pending: [Candidate] = []
    private var visits: [PackedEndpoint: Visit] = [:]
    private var found: [Found] = []
    private var inFlight = 0
    private var slow = 0
    private(set) var successes = 0
    private var errors = 0
    private var visitCount = 0
    private(set) var usesTable = false
    private var isSlowedDown = false
    /// Our own address and id, never asked.
    private let ownID: Bytes32

    init(_ plan: DHTQuery, isBackground: Bool = false, ownID: Bytes32) {
        self.plan = plan
        self.isBackground = isBackground
        self.ownID = ownID
        concurrency = min(max(1, plan.concurrency), DHTLimits.concurrency)
        for node in plan.startNodes.prefix(DHTLimits.startNodesMax).reversed() {
            guard let endpoint = PackedEndpoint(node), visits[endpoint] == nil else { continue }
            visits[endpoint] = .waiting([])
            first.append(endpoint)
        }
    }

    /// The closest nodes that answered under their own id, closest first.
    var closest: [DHTReply] { found.map(\.reply) }

    /// Replies so far, with or without error.
    private(set) var answers = 0

    /// Whether the nodes we know should be added: too few were given, or too few of those answered.
    var wantsTable: Bool {
        guard !usesTable, !plan.onlyStartNodes else { return false }
        return visitCount == 0 && first.count < DHTLimits.bucketSize
            || visitCount > 0 && successes < Self.successesExpected && first.isEmpty
                && pending.isEmpty
    }

    /// - Parameter bootstrap: asked first if the table is short of nodes.
    mutating func addTable(_ nodes: [PackedEndpoint], bootstrap: [PackedEndpoint]) {
        usesTable = true
        for node in nodes.prefix(max(0, DHTLimits.bucketSize - first.count)) { add(node) }
        guard first.count + pending.count < DHTLimits.bucketSize else { return }
        for node in bootstrap.reversed() where visits[node] == nil {
            visits[node] = .waiting([])
            first.append(node)
        }
    }

    // MARK: Asking

    /// Whom to ask now; nil until something comes in.
    mutating func next() -> PackedEndpoint? {
        guard phase == .visiting, visitCount < DHTLimits.visitsPerQueryMax else { return nil }
        let bound = isSlowedDown ? min(Self.slowedConcurrency, concurrency) : concurrency
        guard inFlight < bound + slow else {
            if !usesTable, !plan.onlyStartNodes, successes == 0, errors == 0 { isSlowedDown = true }
            return nil
        }
        guard let endpoint = popFirst() else { return nil }
        inFlight += 1
        visitCount += 1
        return endpoint
    }

    private mutating func popFirst() -> PackedEndpoint? {
        if let endpoint = first.popLast() { return endpoint }
        guard let candidate = pending.popLast(), isCloser(candidate.distance) else {
            // The rest is farther away still.
            pending.removeAll()
            return nil
        }
        return candidate.endpoint
    }

    /// Whether all is asked that is worth asking.
    var isDone: Bool {
        let isExhausted =
            first.isEmpty && pending.isEmpty || visitCount >= DHTLimits.visitsPerQueryMax
        guard isExhausted else { return false }
        return inFlight == 0 || inFlight == slow && found.count >= DHTLimits.bucketSize
    }

    // MARK: What came of it

    /// A request took longer than one time-out and was sent again.
    mutating func becameSlow() { slow += 1 }

    /// - Parameter wasSlow: `becameSlow` was called for this request.
    /// - Returns: nodes to tell about others that are down.
    mutating func replied(
        _ reply: DHTReply, from endpoint: PackedEndpoint, wasSlow: Bool
    ) -> [DownHint] {
        settle(endpoint, as: .done, wasSlow: wasSlow)
        answers += 1
        if reply.error == 0 {
            successes += 1
            if let id = reply.id {
                keep(reply, Distance(id, plan.target), origin: endpoint.origin)
            }
        } else {
            errors += 1
        }
        if successes + errors >= concurrency { isSlowedDown = false }
        guard !plan.onlyStartNodes else { return [] }
        var hints: [DownHint] = []
        for node in reply.closerNodes.prefix(DHTLimits.closerNodesMax) {
            guard let node = PackedEndpoint(node), endpoint.scope.mayName(node.scope),
                !NodeFilter.ignores(node)
            else { continue }
            if case .down = visits[node] {
                hints.append(DownHint(to: endpoint, dead: node))
            } else {
                add(node, namedBy: endpoint)
            }
        }
        return hints
    }

    /// No attempt was answered.
    ///
    /// - Returns: nodes to tell.
    mutating func failed(_ endpoint: PackedEndpoint, wasSlow: Bool) -> [DownHint] {
        errors += 1
        var hints: [DownHint] = []
        if case .waiting(let referrers) = visits[endpoint] {
            hints = referrers.map { DownHint(to: $0, dead: endpoint) }
        }
        settle(endpoint, as: .down, wasSlow: wasSlow)
        return hints
    }

    private mutating func settle(_ endpoint: PackedEndpoint, as visit: Visit, wasSlow: Bool) {
        inFlight -= 1
        if wasSlow { slow -= 1 }
        visits[endpoint] = visit
    }

    private func isCloser(_ distance: Distance) -> Bool {
        guard found.count >= DHTLimits.bucketSize, let last = found.last else { return true }
        return distance < last.distance
    }

    /// Places near a target are free to whoever tries the ports of one address, so that one network
    /// gets only a few of the closest: the others are for nodes elsewhere.
    private mutating func keep(_ reply: DHTReply, _ distance: Distance, origin: UInt64) {
        guard isCloser(distance), !found.contains(where: { $0.distance == distance }) else {
            return
        }
        let neighbours = found.indices.filter { found[$0].origin == origin }
        if neighbours.count >= DHTLimits.closestPerNetworkMax, let farthest = neighbours.last {
            guard distance < found[farthest].distance else { return }
            found.remove(at: farthest)
        }
        let index = found.firstIndex { distance < $0.distance } ?? found.count
        found.insert(Found(distance: distance, origin: origin, reply: reply), at: index)
        if found.count > DHTLimits.bucketSize { found.removeLast() }
    }

    private mutating func add(_ endpoint: PackedEndpoint, namedBy referrer: PackedEndpoint? = nil) {
        if let visit = visits[endpoint] {
            guard case .waiting(var referrers) = visit, let referrer,
                referrers.count < DHTLimits.referrersMax
            else { return }
            referrers.append(referrer)
            visits[endpoint] = .waiting(referrers)
            return
        }
        let id = endpoint.id
        let distance = Distance(id, plan.target)
        guard id != ownID, isCloser(distance) else { return }
        visits[endpoint] = .waiting(referrer.map { [$0] } ?? [])
        // Farthest first: the place is after all that are farther.
        var low = 0
        var high = pending.count
        while low < high {
            let middle = (low + high) / 2
            if distance < pending[middle].distance { low = middle + 1 } else { high = middle }
        }
        pending.insert(Candidate(distance: distance, endpoint: endpoint), at: low)
        if pending.count > DHTLimits.candidatesMax { visits[pending.removeFirst().endpoint] = nil }
    }
}

/// Nodes that the network has learned to leave out (`dht.md` 5).
enum NodeFilter {
    static func ignores(_ endpoint: PackedEndpoint) -> Bool {
        switch (endpoint.host, endpoint.port) {
        // 150.136.142.116, 134.209.28.98:49738, 167.99.142.185:49738, 35.233.47.252:9400
        case (0x9688_8e74, _), (0x86d1_1c62, 49738), (0xa763_8eb9, 49738), (0x23e9_2ffc, 9400):
            true
        default: false
        }
    }
}
