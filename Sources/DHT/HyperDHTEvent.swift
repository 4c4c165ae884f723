package import Base
package import Noise
package import Wire

/// One connection being made, or made, and with it its UDX stream: from `.reserved` until `.failed`
/// or until the host calls `release`.
package struct ConnectionTag: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: ConnectionTag, right: ConnectionTag) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// One call of `connect`.
package struct DialID: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: DialID, right: DialID) -> Bool { left.rawValue < right.rawValue }
}

/// How a connection's packets travel.
package enum ConnectionPath: String, Equatable, Sendable {
    /// To an address that was reachable as it was.
    case direct
    /// Inside one local network.
    case lan
    /// Through a hole punched into a NAT.
    case punched
    /// Through a third peer that sees ciphertext only.
    case relayed
}

/// What the host needs to make a connection of a reserved stream.
package struct Established: Equatable, Sendable {
    package var handshake: HandshakeResult
    /// Whether this side dialled.
    package var isInitiator: Bool
    /// The dial that this answers; nil on the server's side.
    package var dial: DialID?
    package var localStreamID: UInt32
    /// To be put on packets; over a blind relay that relay's, else the peer's.
    package var remoteStreamID: UInt32
    package var remote: NetworkEndpoint
    package var socket: SocketID
    package var path: ConnectionPath

    /// The key that the other side has shown to hold.
    package var remotePublicKey: Bytes32? { handshake.remotePublicKey }
}

/// A blind relay at which both sides want to meet (`connect.md` 6).
package struct RelayWish: Equatable, Sendable {
    /// The peer that runs the relay, to be connected to as to any other.
    package var relayKey: Bytes32
    /// The same on both sides of the pair.
    package var token: Bytes32
    /// What this side says in its `pair` message: whether it named the relay.
    package var isInitiator: Bool
    /// This side's stream, for its `pair` message.
    package var localStreamID: UInt32
}

/// A stranger's handshake that waits for the host's word (`HyperDHTConfiguration.asksBeforeAnswering`).
package struct HandshakeQuestion: Equatable, Sendable {
    /// To be answered with `admit`.
    package var tag: ConnectionTag
    package var remotePublicKey: Bytes32
    package var payload: NoisePayload
    /// As the relay tells it, which nobody has checked.
    package var clientAddress: NetworkEndpoint
}

/// Why a connection was not made.
package enum ConnectFailure: String, Error, Equatable, Sendable {
    /// No node knows the peer.
    case peerNotFound
    /// Nodes know it, yet it does not answer.
    case couldNotConnect
    /// It answers in another version of the payload.
    case incompatible
    /// It answers with an error, or without a stream.
    case refused
    /// It has no relays through which a hole could be punched.
    case cannotPunch
    /// It did not come, or this side may not punch now.
    case punchAborted
    /// One side could not tell what its NAT does.
    case probeTimeout
    /// Both NATs give each destination a port of its own: only a blind relay helps.
    case doubleRandomized
    /// It gave up.
    case remoteAborted
    /// It does not punch although it was asked to.
    case remoteNotPunching
    /// It cannot be punched to: no addresses, or none that it proved to be its own.
    case remoteNotPunchable
    /// The blind relay did not come up in time, or gave up.
    case relayFailed
    /// This node is suspended, or busy with as many dials as it may have.
    case unavailable
    /// The dial was cancelled.
    case cancelled
}

/// What the host is to do or to know.
package enum HyperDHTEvent: Sendable {
    /// Bind a random UDP port to this number, before the datagrams of the same batch leave. Tell
    /// `socketFailed` if that is not possible.
    case openSocket(SocketID)
    /// Close the socket, after the datagrams of the same batch have left.
    case closeSocket(SocketID)
    /// Make an unconnected stream with this id.
    case reserved(ConnectionTag, streamID: UInt32, isInitiator: Bool)
    /// Connect the reserved stream, and start the secret stream with the keys. Packets that came
    /// for the stream before belong to it.
    case connected(ConnectionTag, Established)
    /// A relayed connection has got a path of its own: move the stream there, then send an empty
    /// message so that the other side sees it. The relay connection may end once data came by the
    /// new path.
    case rerouted(
        ConnectionTag, remoteStreamID: UInt32, remote: NetworkEndpoint, socket: SocketID,
        path: ConnectionPath)
    /// Both sides want to meet at a blind relay: connect to it and pair, then call `relayPaired` or
    /// `relayFailed`. Punching goes on meanwhile.
    case relayWanted(ConnectionTag, RelayWish)
    /// The reserved stream is not needed, or the connection could not be made.
    case failed(ConnectionTag, DialID?, ConnectFailure)
    /// Answer with `admit`.
    case question(HandshakeQuestion)
    /// The node's own announcement has been renewed at these relays, which peers may be told. Empty:
    /// no node took it.
    case listening([NetworkEndpoint])
    /// Something of the node's that is not the connection part's business.
    case node(DHTEvent)
}

/// What a call to `HyperDHT` appends to. The host carries out `.openSocket` events first, then sends
/// the datagrams, then carries out the rest in order.
package struct HyperDHTEffects: Sendable {
    /// What the node appends to; its events are taken out before each call returns.
    var node = DHTEffects()
    package var events: [HyperDHTEvent] = []

    package init() {}

    package var datagrams: DatagramBatch {
        _read { yield node.datagrams }
        _modify { yield &node.datagrams }
    }

    package mutating func removeAll() {
        node.datagrams.removeAll()
        events.removeAll(keepingCapacity: true)
    }
}
