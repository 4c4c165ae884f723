/// Bounds on what a node sends, keeps and does for strangers. Those that the protocol fixes are
/// static; the others may be set per node.
package struct DHTLimits: Sendable {
    /// Nodes in a row of the table and in the result of a query: Kademlia's k.
    package static let bucketSize = 20
    /// Requests in flight of one query.
    package static let concurrency = 10
    /// Closer nodes read from one reply.
    package static let closerNodesMax = 20
    /// Bytes of a value in a packet: more does not fit a UDP datagram.
    package static let valueSizeMax = 65_535
    /// Relay addresses read from one record, and kept of it.
    package static let relayAddressesReadMax = 64
    package static let relayAddressesKept = 3
    /// Records read from one LOOKUP reply; nodes send at most 20.
    package static let peersReadMax = 128

    package init() {}
}
