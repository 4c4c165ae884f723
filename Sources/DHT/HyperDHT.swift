package import Base
package import Crypto
package import Wire

/// A node of the DHT that also makes connections: it dials peers by their keys, listens under its
/// own, and punches holes into the NATs between.
///
/// It does no I/O and reads no clock. The host hands in every datagram that is for it, carries out
/// what it appends to the effects (in the order that `HyperDHTEffects` says), and calls `advance` no
/// later than `deadline`. Of a host's datagrams, those of one byte go to `receiveProbe`, those whose
/// first byte is 0x03 or 0x13 to `receive`, and UDX packets for a reserved stream that is not yet
/// connected, or only over a relay, to `streamPacket` before the stream gets them.
package struct HyperDHT: Sendable {
    package var node: DHTNode
    package let configuration: HyperDHTConfiguration
    package let keyPair: KeyPair

    /// - Parameters:
    ///   - seed: all randomness comes from it; secret outside of simulations.
    ///   - localAddresses: this host's IPv4 addresses with the server socket's port, as told to peers
    ///     on the local network.
    package init(
        configuration: HyperDHTConfiguration, keyPair: KeyPair, seed: Bytes32,
        localAddresses: [NetworkEndpoint], now: Instant
    ) {
        self.configuration = configuration
        self.keyPair = keyPair
        node = DHTNode(configuration: configuration.node, seed: seed, now: now)
    }

    // MARK: Life

    /// Looks for other nodes; `.node(.ready)` follows.
    package mutating func start(now: Instant, into effects: inout HyperDHTEffects) {}

    /// Takes in one datagram that starts with 0x03 or 0x13.
    package mutating func receive(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout HyperDHTEffects
    ) {}

    /// Takes in one datagram of one byte.
    package mutating func receiveProbe(
        from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout HyperDHTEffects
    ) {}

    /// A UDX packet came for a reserved stream that is not connected, or is connected over a relay:
    /// where it came from may be the path.
    ///
    /// - Returns: whether the stream may have it.
    package mutating func streamPacket(
        streamID: UInt32, from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout HyperDHTEffects
    ) -> Bool { true }

    /// Does what is due.
    ///
    /// - Returns: `deadline`.
    @discardableResult
    package mutating func advance(
        now: Instant, into effects: inout HyperDHTEffects
    ) -> Instant { deadline }

    /// When `advance` must be called. Any call may bring it forward.
    package var deadline: Instant { node.deadline }

    /// Gives up all dials and half-open connections, takes back the announcement, and stops.
    package mutating func suspend(now: Instant, into effects: inout HyperDHTEffects) {}

    /// Goes on, listening if it did.
    package mutating func resume(
        serverPort: UInt16? = nil, now: Instant, into effects: inout HyperDHTEffects
    ) {}

    /// The host's interfaces have changed.
    package mutating func networkChanged(
        localAddresses: [NetworkEndpoint], now: Instant, into effects: inout HyperDHTEffects
    ) {}

    /// The host could not bind the socket that `.openSocket` asked for, or lost it.
    package mutating func socketFailed(
        _ socket: SocketID, now: Instant, into effects: inout HyperDHTEffects
    ) {}

    // MARK: Listening

    /// Announces this node under the hash of its public key, keeps that up, and answers handshakes.
    /// `.listening` follows with each renewal.
    package mutating func listen(now: Instant, into effects: inout HyperDHTEffects) {}

    /// Takes the announcement back and answers no more.
    package mutating func unlisten(now: Instant, into effects: inout HyperDHTEffects) {}

    package var isListening: Bool { false }

    /// At most three nodes at which this one has announced itself, to be told to peers.
    package var relayAddresses: [NetworkEndpoint] { [] }

    /// The host's word on a `.question`. After ten seconds it counts as a refusal.
    package mutating func admit(
        _ tag: ConnectionTag, _ isAdmitted: Bool, now: Instant,
        into effects: inout HyperDHTEffects
    ) {}

    // MARK: Dialling

    /// Looks for the peer and connects. `.reserved`, then `.connected` or `.failed` follow.
    ///
    /// - Parameters:
    ///   - relayAddresses: nodes at which it may have announced itself, tried first.
    ///   - relayThrough: a peer that runs a blind relay; used in parallel with punching if the
    ///     server names none itself.
    package mutating func connect(
        to publicKey: Bytes32, relayAddresses: [NetworkEndpoint] = [],
        relayThrough: Bytes32? = nil, now: Instant, into effects: inout HyperDHTEffects
    ) -> DialID { DialID(rawValue: 0) }

    /// Gives a dial up; `.failed` follows with `.cancelled` unless it is connected.
    package mutating func cancel(
        _ dial: DialID, now: Instant, into effects: inout HyperDHTEffects
    ) {}

    /// The host's stream is gone: its id and its punch socket are free, and nothing more is done for
    /// the connection. To be called once for every connection that got as far as `.connected`.
    package mutating func release(
        _ tag: ConnectionTag, now: Instant, into effects: inout HyperDHTEffects
    ) {}

    // MARK: Blind relay (what answers `.relayWanted`)

    /// The connection to the relay is up: packets by its path are no sign of a direct one.
    package mutating func relayReached(
        _ tag: ConnectionTag, socket: SocketID, remote: NetworkEndpoint
    ) {}

    /// The relay has paired the two sides; `.connected` with the path `.relayed` follows.
    ///
    /// - Parameters:
    ///   - socket: of the connection to the relay, as is `remote`.
    ///   - remoteStreamID: the relay's id for this side.
    package mutating func relayPaired(
        _ tag: ConnectionTag, socket: SocketID, remote: NetworkEndpoint, remoteStreamID: UInt32,
        now: Instant, into effects: inout HyperDHTEffects
    ) {}

    /// The relay could not be reached, or does not pair.
    package mutating func relayFailed(
        _ tag: ConnectionTag, now: Instant, into effects: inout HyperDHTEffects
    ) {}

    // MARK: Streams of the host's own

    /// An id for a stream that the host makes itself (a blind relay's), distinct from all others.
    package mutating func makeStreamID() -> UInt32 { 0 }
    package mutating func freeStreamID(_ id: UInt32) {}
}
