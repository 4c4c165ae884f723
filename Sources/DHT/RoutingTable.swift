internal import Base
internal import Wire

/// The nodes we know, in rows by how many leading bits their ids share with ours (`dht.md` 5).
///
/// Rows are made when they are needed: a network of n nodes fills about log2(n) of them.
struct RoutingTable: Sendable {
    struct Node: Sendable {
        let id: Bytes32
        let endpoint: PackedEndpoint
        /// Ticks.
        let added: UInt32
        var pinged: UInt32
        /// When its view of our address last counted; nil for never.
        var sampled: UInt32?
        /// Counts up over the whole table: the greater, the later it was heard from.
        var heard: UInt64
        var downHints: UInt8 = 0
    }

    enum Insertion: Equatable { case added, rowFull, refused }

    let id: Bytes32
    private let nodesPerNetworkMax: Int
    private(set) var count = 0
    private var rows: [[Node]] = []
    private var lastHeard: UInt64 = 0

    init(id: Bytes32, nodesPerNetworkMax: Int) {
        self.id = id
        self.nodesPerNetworkMax = nodesPerNetworkMax
    }

    subscript(id: Bytes32) -> Node? {
        let row = row(of: id)
        guard row < rows.count else { return nil }
        return rows[row].first { $0.id == id }
    }

    /// Adds a node that is not in the table.
    mutating func insert(_ endpoint: PackedEndpoint, id: Bytes32, tick: UInt32) -> Insertion {
        guard id != self.id else { return .refused }
        let row = row(of: id)
        while rows.count <= row { rows.append([]) }
        guard rows[row].count < DHTLimits.bucketSize else { return .rowFull }
        guard hasRoom(for: endpoint, in: row) else { return .refused }
        lastHeard += 1
        rows[row].append(
            Node(id: id, endpoint: endpoint, added: tick, pinged: tick, heard: lastHeard))
        count += 1
        return .added
    }

    /// Notes that the node was heard from.
    mutating func heard(_ id: Bytes32, tick: UInt32) {
        lastHeard += 1
        let order = lastHeard
        update(id) {
            $0.pinged = tick
            $0.heard = order
            $0.downHints = 0
        }
    }

    mutating func update(_ id: Bytes32, _ body: (inout Node) -> Void) {
        let row = row(of: id)
        guard row < rows.count, let index = rows[row].firstIndex(where: { $0.id == id }) else {
            return
        }
        body(&rows[row][index])
    }

    /// - Returns: whether it was there.
    @discardableResult
    mutating func remove(_ id: Bytes32) -> Bool {
        let row = row(of: id)
        guard row < rows.count, let index = rows[row].firstIndex(where: { $0.id == id }) else {
            return false
        }
        rows[row].remove(at: index)
        count -= 1
        return true
    }

    /// The node that a newcomer with `id` could take the place of: the one not pinged for longest,
    /// unless all were pinged in this tick, or that one is old and was alive within a minute.
    func replaceable(for id: Bytes32, tick: UInt32) -> Node? {
        let row = row(of: id)
        guard row < rows.count else { return nil }
        let oldest = rows[row].lazy.filter { $0.pinged < tick }
            .min { ($0.pinged, $0.added, $0.id) < ($1.pinged, $1.added, $1.id) }
        guard let oldest else { return nil }
        let isAlive = tick &- oldest.pinged < Ticks.recent
        let isOld = tick &- oldest.added > Ticks.old
        return isAlive && isOld ? nil : oldest
    }

    /// Whether the newcomer's network may have one more node in the row.
    func hasRoom(for endpoint: PackedEndpoint) -> Bool {
        let row = row(of: endpoint.id)
        return row >= rows.count || hasRoom(for: endpoint, in: row)
    }

    /// Whether a node that is not in the table may come in, if need be for another.
    func mayTake(_ endpoint: PackedEndpoint, id: Bytes32, tick: UInt32) -> Bool {
        let row = row(of: id)
        guard id != self.id, row < rows.count else { return id != self.id }
        guard hasRoom(for: endpoint, in: row) else { return false }
        return rows[row].count < DHTLimits.bucketSize || replaceable(for: id, tick: tick) != nil
    }

    /// The nodes closest to `target`, closest first.
    func closest(to target: Bytes32, count wanted: Int = DHTLimits.bucketSize) -> [Node] {
        var found: [Node] = []
        found.reserveCapacity(min(wanted, count))
        func take(_ nodes: some Sequence<Node>) {
            guard found.count < wanted else { return }
            let sorted = nodes.map { (Distance($0.id, target), $0) }.sorted { $0.0 < $1.0 }
            for (_, node) in sorted.prefix(wanted - found.count) { found.append(node) }
        }
        // The row that the target would be in shares most with it. What is in the rows above differs
        // from the target where we do; what is below differs earlier, the lower the row the earlier.
        let own = row(of: target)
        if own < rows.count { take(rows[own]) }
        if own + 1 < rows.count { take(rows[(own + 1)...].joined()) }
        for row in rows.indices.prefix(own).reversed() { take(rows[row]) }
        return found
    }

    /// The nodes that were silent for longest, that one first.
    func leastRecent(_ count: Int) -> [Node] {
        Array(rows.joined().sorted { $0.heard < $1.heard }.prefix(count))
    }

    /// The nodes heard from last, the last first.
    func mostRecent(_ count: Int) -> [Node] {
        Array(rows.joined().sorted { $0.heard > $1.heard }.prefix(count))
    }

    func random(using generator: inout some RandomNumberGenerator) -> Node? {
        guard count > 0 else { return nil }
        var index = Int.random(in: 0..<count, using: &generator)
        for row in rows {
            if index < row.count { return row[index] }
            index -= row.count
        }
        return nil
    }

    mutating func forgetSamples() {
        for row in rows.indices {
            for index in rows[row].indices { rows[row][index].sampled = nil }
        }
    }

    /// The same nodes as seen from another place, those heard from last first where room is short.
    func moved(to id: Bytes32) -> RoutingTable {
        var table = RoutingTable(id: id, nodesPerNetworkMax: nodesPerNetworkMax)
        table.lastHeard = lastHeard
        for node in rows.joined().sorted(by: { $0.heard > $1.heard }) where node.id != id {
            let row = table.row(of: node.id)
            while table.rows.count <= row { table.rows.append([]) }
            guard table.rows[row].count < DHTLimits.bucketSize,
                table.hasRoom(for: node.endpoint, in: row)
            else { continue }
            table.rows[row].append(node)
            table.count += 1
        }
        return table
    }

    private func row(of id: Bytes32) -> Int { Distance(id, self.id).sharedBits }

    /// One party can own a whole /24; private networks and the own machine are left alone.
    private func hasRoom(for endpoint: PackedEndpoint, in row: Int) -> Bool {
        guard endpoint.scope == .global else { return true }
        let network = endpoint.host >> 8
        return rows[row].lazy.filter { $0.endpoint.host >> 8 == network }.count
            < nodesPerNetworkMax
    }
}

/// Lengths of time in ticks of five seconds (`dht.md` 6).
enum Ticks {
    static let length: Duration = .seconds(5)
    /// More than this between two ticks: the machine slept.
    static let sleep: Duration = .seconds(15)
    static let refresh: UInt32 = 60
    static let stable: UInt32 = 240
    static let moreStable: UInt32 = 720
    static let recent: UInt32 = 12
    static let old: UInt32 = 360
}
