internal import Base
internal import Wire

/// The announcements that others may look up, by topic: bounded in all, per topic, and per topic and
/// origin, and aged by generations (`dht.md` 9.3).
struct PeerRecordStore: Sendable {
    private struct Entry: Sendable {
        let publicKey: Bytes32
        let origin: UInt64
        /// A `PeerRecord`.
        let encoded: [UInt8]
    }

    private let entriesMax: Int
    private let perTopicMax: Int
    private let perOriginMax: Int
    private let period: Duration

    private var young: [Bytes32: [Entry]] = [:]
    private var old: [Bytes32: [Entry]] = [:]
    private var youngCount = 0
    private var turnsAt: Instant

    init(limits: DHTLimits, now: Instant) {
        entriesMax = max(1, limits.recordsMax / 2)
        perTopicMax = limits.recordsPerTopicMax
        perOriginMax = limits.recordsPerTopicAndOriginMax
        period = limits.recordAge * 2 / 3
        turnsAt = now + period
    }

    var count: Int { youngCount + old.values.reduce(0) { $0 + $1.count } }

    /// Keeps a record, unless a young one of the same key is there: that one has to be taken back
    /// first.
    ///
    /// A full topic drops a record for it: one of the same origin if that has its share already,
    /// else any.
    mutating func insert(
        _ encoded: [UInt8], publicKey: Bytes32, topic: Bytes32, origin: UInt64,
        random: inout DHTRandom, now: Instant
    ) {
        age(now)
        guard young[topic]?.contains(where: { $0.publicKey == publicKey }) != true else { return }
        remove(publicKey, from: topic, in: &old)
        makeRoom(topic, origin, &random)
        if youngCount >= entriesMax { turn(now) }
        young[topic, default: []].append(
            Entry(publicKey: publicKey, origin: origin, encoded: encoded))
        youngCount += 1
    }

    private mutating func makeRoom(_ topic: Bytes32, _ origin: UInt64, _ random: inout DHTRandom) {
        guard let entries = young[topic] else { return }
        let own = entries.indices.filter { entries[$0].origin == origin }
        if own.count >= perOriginMax {
            young[topic]?.remove(at: own[0])
            youngCount -= 1
        } else if entries.count >= perTopicMax {
            young[topic]?.remove(at: Int.random(in: 0..<entries.count, using: &random))
            youngCount -= 1
        }
    }

    mutating func remove(_ publicKey: Bytes32, topic: Bytes32) {
        if remove(publicKey, from: topic, in: &young) { youngCount -= 1 }
        remove(publicKey, from: topic, in: &old)
    }

    /// Up to `wanted` encoded records of a topic, any of them.
    mutating func records(
        _ topic: Bytes32, _ wanted: Int, random: inout DHTRandom, now: Instant
    ) -> [[UInt8]] {
        age(now)
        var found: [[UInt8]] = []
        for entry in young[topic] ?? [] { found.append(entry.encoded) }
        for entry in old[topic] ?? [] { found.append(entry.encoded) }
        guard found.count > wanted else { return found }
        for index in 0..<wanted {
            found.swapAt(index, Int.random(in: index..<found.count, using: &random))
        }
        return Array(found.prefix(wanted))
    }

    @discardableResult
    private func remove(
        _ publicKey: Bytes32, from topic: Bytes32, in generation: inout [Bytes32: [Entry]]
    ) -> Bool {
        guard let index = generation[topic]?.firstIndex(where: { $0.publicKey == publicKey })
        else { return false }
        generation[topic]?.remove(at: index)
        if generation[topic]?.isEmpty == true { generation[topic] = nil }
        return true
    }

    private mutating func age(_ now: Instant) {
        guard turnsAt <= now else { return }
        if turnsAt + period <= now {
            young = [:]
            turn(now)
        } else {
            turn(turnsAt)
        }
    }

    /// - Parameter start: of the young generation that begins.
    private mutating func turn(_ start: Instant) {
        old = young
        young = [:]
        youngCount = 0
        turnsAt = start + period
    }
}
