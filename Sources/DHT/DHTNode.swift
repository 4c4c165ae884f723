package import Base
package import Wire

/// One node of the DHT: asks, answers, keeps a table of others, and stores records for them once it
/// is known to be reachable.
///
/// It does no I/O and reads no clock. The owner hands in datagrams and the time, sends what
/// `DHTEffects` holds, and calls `advance` no later than the instant that the last call returned.
package struct DHTNode: Sendable {
    package let configuration: DHTConfiguration
    var random: DHTRandom

    /// - Parameter seed: all randomness of the node comes from it; secret outside of simulations.
    package init(configuration: DHTConfiguration, seed: Bytes32, now: Instant) {
        self.configuration = configuration
        random = DHTRandom(seed: seed)
    }

    // MARK: Life

    /// Begins to look for other nodes; `DHTEvent.ready` follows.
    package mutating func start(now: Instant, into effects: inout DHTEffects) {}

    /// Takes in one datagram whose first byte may be 0x03 or 0x13; anything else is ignored.
    package mutating func receive(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout DHTEffects
    ) {}

    /// Does what is due.
    ///
    /// - Returns: when to call again, at the latest. Any other call may bring that forward, see
    ///   `deadline`.
    package mutating func advance(now: Instant, into effects: inout DHTEffects) -> Instant {
        deadline
    }

    /// When `advance` must be called.
    package var deadline: Instant { .distantFuture }

    /// Fails everything under way and ignores all packets until `resume`. The owner closes the
    /// sockets.
    package mutating func suspend(now: Instant, into effects: inout DHTEffects) {}

    /// Goes on as after a sleep: the network may be another.
    ///
    /// - Parameter serverPort: what the server socket is bound to now, if that changed.
    package mutating func resume(
        serverPort: UInt16? = nil, now: Instant, into effects: inout DHTEffects
    ) {}

    // MARK: Requests

    /// Sends a request and repeats it until an answer comes from `destination`, on any socket.
    ///
    /// - Parameters:
    ///   - socket: by default `requestSocket`.
    ///   - retries: sends after the first.
    ///   - timeout: per send.
    /// - Returns: the number that `.replied` or `.timedOut` will carry.
    package mutating func request(
        _ request: DHTRequest, to destination: NetworkEndpoint, via socket: SocketID? = nil,
        retries: Int = 3, timeout: Duration = .seconds(1), now: Instant,
        into effects: inout DHTEffects
    ) -> RequestID {
        RequestID(rawValue: 0)
    }

    /// Forgets a request: no event follows.
    package mutating func cancel(_ id: RequestID) {}

    package mutating func query(
        _ query: DHTQuery, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        QueryID(rawValue: 0)
    }

    /// Forgets a query: no event follows.
    package mutating func cancel(_ id: QueryID) {}

    // MARK: Answers

    /// Answers a request that came as `.request`, through the socket it came in on or another one;
    /// without a token.
    package mutating func reply(
        to request: InboundRequest, value: [UInt8]?, closerNodes: Bool, via socket: SocketID? = nil,
        into effects: inout DHTEffects
    ) {}

    /// Sends a request on behalf of another node: once, under the transaction number of that node,
    /// with no record of it kept here.
    package mutating func relay(
        _ request: DHTRequest, transaction: UInt16, to destination: NetworkEndpoint,
        via socket: SocketID, into effects: inout DHTEffects
    ) {}

    /// Sends a response that belongs to another node's transaction.
    package mutating func respond(
        value: [UInt8]?, transaction: UInt16, to destination: NetworkEndpoint,
        via socket: SocketID, into effects: inout DHTEffects
    ) {}

    /// From now on handshakes and holepunch messages for `target` come as `.request` events instead
    /// of being passed on.
    package mutating func serve(_ target: Bytes32) {}
    package mutating func stopServing(_ target: Bytes32) {}

    // MARK: What is known

    /// Whether strangers cannot reach the server socket, as far as is known.
    package var isFirewalled: Bool { configuration.isFirewalled }
    /// Whether the node keeps out of others' tables and stores nothing.
    package var isEphemeral: Bool { true }
    package var isSuspended: Bool { false }
    /// Requests leave through it: the server socket once that is known to be reachable.
    package var requestSocket: SocketID { isFirewalled ? .client : .server }
    package var serverPort: UInt16 { configuration.serverPort }
    /// Our address as most nodes see it. The port is nil if they see different ones.
    package var publicHost: NetworkAddress? { nil }
    package var publicPort: UInt16? { nil }
    /// The address at which others may reach the server socket, if they may (`dht.md` 7.2, end).
    package var remoteAddress: NetworkEndpoint? { nil }
    /// The node's place in the DHT; random while it is ephemeral.
    package var tableID: Bytes32 { .zero }
    /// Nodes in the table.
    package var tableCount: Int { 0 }

    /// Up to `count` nodes of the table, the one heard from last first.
    package func recentNodes(_ count: Int) -> [NetworkEndpoint] { [] }

    /// Where the peer that announced itself under `target` at this node can be reached.
    package func forwardAddress(for target: Bytes32) -> NetworkEndpoint? { nil }
}
