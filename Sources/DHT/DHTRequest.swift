package import Base
package import Wire

/// A request of ours, by the number its sender knows it by.
package struct RequestID: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A query of ours.
package struct QueryID: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What one node asks of another (`dht.md` 3.1).
package struct DHTRequest: Equatable, Sendable {
    package var command: DHTCommand
    package var target: Bytes32?
    package var value: [UInt8]?
    /// The token that the receiver gave us before.
    package var token: Bytes32?

    package init(
        _ command: DHTCommand, target: Bytes32? = nil, value: [UInt8]? = nil,
        token: Bytes32? = nil
    ) {
        self.command = command
        self.target = target
        self.value = value
        self.token = token
    }
}

/// What a node answered to one of our requests (`dht.md` 3.2).
package struct DHTReply: Equatable, Sendable {
    /// The node: the address that was asked, from which the answer came.
    package var from: NetworkEndpoint
    /// Our address as the node sees it.
    package var to: NetworkEndpoint
    /// The socket that the answer came in on.
    package var socket: SocketID
    /// Present only if it is what `from` gives: a persistent node.
    package var id: Bytes32?
    /// To be shown to `from` with a later write, within about seven seconds.
    package var token: Bytes32?
    /// At most `DHTLimits.closerNodesMax`, as the node wrote them: addresses nobody has checked.
    package var closerNodes: [NetworkEndpoint]
    /// A `DHTErrorCode`; 0 is success.
    package var error: UInt64
    package var value: [UInt8]?
    /// From the last time the request was sent.
    package var roundTripTime: Duration

    package init(
        from: NetworkEndpoint, to: NetworkEndpoint, socket: SocketID, id: Bytes32? = nil,
        token: Bytes32? = nil, closerNodes: [NetworkEndpoint] = [], error: UInt64 = 0,
        value: [UInt8]? = nil, roundTripTime: Duration = .zero
    ) {
        self.from = from
        self.to = to
        self.socket = socket
        self.id = id
        self.token = token
        self.closerNodes = closerNodes
        self.error = error
        self.value = value
        self.roundTripTime = roundTripTime
    }
}

/// A request that another node sent to us.
package struct InboundRequest: Equatable, Sendable {
    package var from: NetworkEndpoint
    /// Our address as the sender sees it.
    package var to: NetworkEndpoint
    package var socket: SocketID
    package var transaction: UInt16
    package var command: DHTCommand
    package var target: Bytes32?
    /// Checked: a request with a bad token never gets this far.
    package var token: Bytes32?
    package var value: [UInt8]?
    /// Present only if it is what `from` gives.
    package var id: Bytes32?

    package init(
        from: NetworkEndpoint, to: NetworkEndpoint, socket: SocketID, transaction: UInt16,
        command: DHTCommand, target: Bytes32? = nil, token: Bytes32? = nil, value: [UInt8]? = nil,
        id: Bytes32? = nil
    ) {
        self.from = from
        self.to = to
        self.socket = socket
        self.transaction = transaction
        self.command = command
        self.target = target
        self.token = token
        self.value = value
        self.id = id
    }
}
