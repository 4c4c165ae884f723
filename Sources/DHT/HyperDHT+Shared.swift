internal import Base
internal import Crypto
internal import Wire

/// Whose request to the node it was, and what for.
enum RequestOwner: Sendable {
    /// PEER_HANDSHAKE through the relay.
    case handshake(ConnectionTag, relay: NetworkEndpoint)
    case holepunch(ConnectionTag)
    /// PING of an address on the local network.
    case lanPing(ConnectionTag)
    /// PING that shows how the socket looks from outside.
    case sample(ConnectionTag, SocketID)
    case announcer(AnnouncerRequest)

    var tag: ConnectionTag? {
        switch self {
        case .handshake(let tag, _), .holepunch(let tag), .lanPing(let tag), .sample(let tag, _):
            tag
        case .announcer: nil
        }
    }
}

/// What a machine of the connection part wants done; `HyperDHT` does it after each event.
enum ConnectAction: Sendable {
    case request(
        RequestOwner, DHTRequest, to: NetworkEndpoint, via: SocketID? = nil, retries: Int = 3)
    /// Whatever the connection still waits for is no longer wanted.
    case cancelRequests(ConnectionTag)
    /// The same but for the ping on the local network.
    case cancelPunchRequests(ConnectionTag)
    /// FIND_PEER.
    case findPeer(QueryOwner, target: Bytes32, startNodes: [NetworkEndpoint])
    case cancelQuery(QueryOwner)
    /// One byte, with a short life or a normal one.
    case probe(to: NetworkEndpoint, via: SocketID, isLowTTL: Bool)
    /// The answer to a request that came straight to us.
    case reply(InboundRequest, value: [UInt8], via: SocketID?)
    /// An answer that goes back through the relay.
    case relay(DHTRequest, transaction: UInt16, to: NetworkEndpoint, via: SocketID)
    case event(HyperDHTEvent)
}

enum QueryOwner: Hashable, Sendable {
    case dial(ConnectionTag)
    case announcer
}

/// What all machines of the connection part share: randomness, sockets, punch slots, what the node
/// knows of itself, and the list of what is to be done.
struct ConnectShared: Sendable {
    var random: DHTRandom
    var sockets: PunchSockets
    var slots: PunchSlots
    var configuration: HyperDHTConfiguration
    var actions: [ConnectAction] = []

    // What the node says of itself, refreshed before each event.
    var isFirewalled = true
    /// Its public address, if it is reachable there.
    var remoteAddress: NetworkEndpoint?
    /// The socket that requests leave by.
    var requestSocket = SocketID.client
    var localAddresses: [NetworkEndpoint] = []
    /// Nodes to ask for samples, the best first.
    var sampleNodes: [NetworkEndpoint] = []

    /// Nodes that a puncher may ask: four, and more if some do not answer.
    static let sampleNodesMax = 16

    mutating func setLocalAddresses(_ addresses: [NetworkEndpoint]) {
        let usable = addresses.filter { $0.address.isSingleHost && $0.port != 0 }
        localAddresses = Array(usable.prefix(HyperDHTLimits.localAddressesMax))
    }

    mutating func nonce() -> [UInt8] { random.bytes(24) }
    mutating func secret() -> Bytes32 { Bytes32(using: &random) }

    mutating func emit(_ event: HyperDHTEvent) { actions.append(.event(event)) }
}
