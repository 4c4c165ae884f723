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
        QueryID(rawValue: 0)
    }

    /// Asks who announced `topic`. Each `.queryReply` with a value holds a `LookupReply`.
    package mutating func lookup(
        _ topic: Bytes32, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        QueryID(rawValue: 0)
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
        QueryID(rawValue: 0)
    }

    /// Takes back what was announced under `topic` with `keyPair`.
    package mutating func unannounce(
        _ topic: Bytes32, keyPair: KeyPair, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        QueryID(rawValue: 0)
    }

    /// Stores a signed value under the key's hash; nodes keep the one with the highest `sequence`.
    package mutating func mutablePut(
        keyPair: KeyPair, sequence: UInt64, value: [UInt8], now: Instant,
        into effects: inout DHTEffects
    ) -> QueryID {
        QueryID(rawValue: 0)
    }

    /// Asks for a signed value. Each `.queryReply` with a value may hold a `MutableValue`; only
    /// replies whose signature holds and whose sequence number is high enough are passed on.
    package mutating func mutableGet(
        _ publicKey: Bytes32, atLeast sequence: UInt64 = 0, now: Instant,
        into effects: inout DHTEffects
    ) -> QueryID {
        QueryID(rawValue: 0)
    }

    /// Stores bytes under their hash.
    package mutating func immutablePut(
        _ value: [UInt8], now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        QueryID(rawValue: 0)
    }

    /// Asks for the bytes whose hash is `target`. Only replies that hold them are passed on; the
    /// query ends with the first.
    package mutating func immutableGet(
        _ target: Bytes32, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        QueryID(rawValue: 0)
    }
}
