package import Base
package import Crypto
package import Wire

/// The operations of HyperDHT as queries (`dht.md` 9.4).
extension DHTNode {
    /// Asks who knows how to reach `publicKey`. Each `.queryReply` with a value holds a `PeerRecord`;
    /// its sender is a relay for that peer.
    package mutating func findPeer(
        _ publicKey: Bytes32, startNodes: [NetworkEndpoint] = [], retries: Int = 3, now: Instant,
        into effects: inout DHTEffects
    ) -> QueryID {
        query(
            DHTQuery(
                .findPeer, target: Blake2b.hash256(publicKey.bytes), startNodes: startNodes,
                retries: retries),
            now: now, into: &effects)
    }

    /// Asks who announced `topic`. Each `.queryReply` with a value holds a `LookupReply`.
    package mutating func lookup(
        _ topic: Bytes32, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        query(DHTQuery(.lookup, target: topic), now: now, into: &effects)
    }

    /// Announces `keyPair` under `topic` at the closest nodes; the replies on the way are those of
    /// `lookup`.
    ///
    /// - Parameters:
    ///   - clear: first remove older records of this key, which nodes do not overwrite.
    ///   - bump: milliseconds since 1970, or 0.
    package mutating func announce(
        _ topic: Bytes32, keyPair: KeyPair, relayAddresses: [NetworkEndpoint], clear: Bool = false,
        bump: UInt64 = 0, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        query(
            DHTQuery(
                .lookup, target: topic,
                commit: .announce(keyPair, relayAddresses: relayAddresses, bump: bump),
                clearing: clear ? keyPair : nil),
            now: now, into: &effects)
    }

    /// Takes back what was announced under `topic` with `keyPair`.
    package mutating func unannounce(
        _ topic: Bytes32, keyPair: KeyPair, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        query(
            DHTQuery(.lookup, target: topic, clearing: keyPair), now: now, into: &effects)
    }

    /// Stores a signed value under the key's hash; nodes keep the one with the highest `sequence`,
    /// and say so with an error in `.queryCommitted`.
    ///
    /// - Parameters:
    ///   - sequence: at most `Limits.integerMax`.
    ///   - value: to be stored by nodes like this one, at most about 1000 bytes.
    package mutating func mutablePut(
        keyPair: KeyPair, sequence: UInt64, value: [UInt8], now: Instant,
        into effects: inout DHTEffects
    ) -> QueryID {
        let content = MutableValue(sequence: sequence, value: value, signedBy: keyPair)
        let message = MutablePutMessage(publicKey: keyPair.publicKey, content: content)
        return query(
            DHTQuery(
                .mutableGet, target: Blake2b.hash256(keyPair.publicKey.bytes),
                value: Self.sequenceValue(0),
                commit: .send(.mutablePut, value: message.encoded())),
            now: now, into: &effects)
    }

    /// Asks for a signed value. Only replies with a `MutableValue` are passed on whose signature holds
    /// and whose sequence number is high enough.
    ///
    /// - Parameter latest: walk to the end, since a later node may have a higher number; otherwise
    ///   the first reply ends it.
    package mutating func mutableGet(
        _ publicKey: Bytes32, atLeast sequence: UInt64 = 0, latest: Bool = true, now: Instant,
        into effects: inout DHTEffects
    ) -> QueryID {
        var plan = DHTQuery(
            .mutableGet, target: Blake2b.hash256(publicKey.bytes),
            value: Self.sequenceValue(sequence))
        plan.filter = .mutable(publicKey: publicKey, atLeast: sequence)
        plan.endsWithFirst = !latest
        return query(plan, now: now, into: &effects)
    }

    /// Stores bytes under their hash.
    ///
    /// - Parameter value: as for `mutablePut`.
    package mutating func immutablePut(
        _ value: [UInt8], now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        query(
            DHTQuery(
                .immutableGet, target: Blake2b.hash256(value),
                commit: .send(.immutablePut, value: value)),
            now: now, into: &effects)
    }

    /// Asks for the bytes whose hash is `target`. Only replies that hold them are passed on; the
    /// query ends with the first.
    package mutating func immutableGet(
        _ target: Bytes32, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        var plan = DHTQuery(.immutableGet, target: target)
        plan.filter = .immutable(hash: target)
        plan.endsWithFirst = true
        return query(plan, now: now, into: &effects)
    }

    private static func sequenceValue(_ sequence: UInt64) -> [UInt8] {
        var writer = WireWriter(reserving: 9)
        writer.writeUInt(min(sequence, Limits.integerMax))
        return writer.bytes
    }
}
