internal import Base
internal import Crypto
internal import Wire

/// What a persistent node keeps for others (`dht.md` 9.3). The checks are made before, in
/// `DHTNode+Storage`.
struct DHTStorage: Sendable {
    /// A peer that announced itself: a relay passes handshakes on to `address`.
    struct Forward: Sendable {
        let address: PackedEndpoint
        /// A `PeerRecord`.
        let encoded: [UInt8]
    }

    /// What an announcement that is renewed by a refresh token says.
    struct Refreshable: Sendable {
        let topic: Bytes32
        let publicKey: Bytes32
        let encoded: [UInt8]
    }

    var forwards: GenerationalCache<Bytes32, Forward>
    var records: PeerRecordStore
    /// By the hash that the next token must have.
    var refreshes: GenerationalCache<Bytes32, Refreshable>
    var bumps: GenerationalCache<Bytes32, UInt64>
    var mutables: GenerationalCache<Bytes32, MutableValue>
    var immutables: GenerationalCache<Bytes32, [UInt8]>

    init(limits: DHTLimits, now: Instant) {
        let (entries, age) = (limits.recordsMax, limits.recordAge)
        forwards = .init(entries: entries, age: age, now: now)
        records = PeerRecordStore(limits: limits, now: now)
        refreshes = .init(entries: entries, age: age, now: now)
        bumps = .init(entries: entries, age: age, now: now)
        mutables = .init(
            entries: limits.valuesMax, bytes: limits.valueBytesMax, age: limits.valueAge, now: now)
        immutables = .init(
            entries: limits.valuesMax, bytes: limits.valueBytesMax, age: limits.valueAge, now: now)
    }

    /// Keeps a checked announcement: of the peer itself, or under a topic.
    mutating func announce(
        _ record: Refreshable, from source: PackedEndpoint, random: inout DHTRandom, now: Instant
    ) {
        if Blake2b.hash256(record.publicKey.bytes) == record.topic {
            let forward = Forward(address: source, encoded: record.encoded)
            forwards.insert(record.topic, forward, now: now)
            records.remove(record.publicKey, topic: record.topic)
        } else {
            records.insert(
                record.encoded, publicKey: record.publicKey, topic: record.topic,
                origin: source.origin, random: &random, now: now)
        }
    }

    mutating func unannounce(_ publicKey: Bytes32, topic: Bytes32) {
        records.remove(publicKey, topic: topic)
        if Blake2b.hash256(publicKey.bytes) == topic { forwards.remove(topic) }
    }

    /// The value of a LOOKUP reply; nil if nobody is known.
    mutating func lookup(_ topic: Bytes32, random: inout DHTRandom, now: Instant) -> [UInt8]? {
        let wanted = DHTLimits.peersPerReplyMax
        var found = records.records(topic, wanted, random: &random, now: now)
        if found.count < wanted, let forward = forwards.touch(topic, now: now) {
            found.append(forward.encoded)
        }
        guard !found.isEmpty else { return nil }
        var writer = WireWriter(reserving: 16 + found.reduce(0) { $0 + $1.count })
        writer.writeUInt(found.count)
        for record in found { writer.writeRaw(record) }
        writer.writeUInt(bumps.touch(topic, now: now) ?? 0)
        return writer.bytes
    }
}
