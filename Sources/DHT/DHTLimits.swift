/// Bounds on what a node sends, keeps and does for strangers.
///
/// What the protocol fixes is static; the rest is this node's choice and may be set per node.
package struct DHTLimits: Sendable {
    /// So many at once, and so many a second in the long run.
    package struct Rate: Equatable, Sendable {
        package var burst: Int
        package var perSecond: Int

        package init(burst: Int, perSecond: Int) {
            self.burst = burst
            self.perSecond = perSecond
        }
    }

    // MARK: The protocol's

    /// Nodes in a row of the table and in the result of a query: Kademlia's k.
    package static let bucketSize = 20
    /// Requests in flight of one query.
    package static let concurrency = 10
    /// Closer nodes written into, and read from, one reply.
    package static let closerNodesMax = 20
    /// Records in a LOOKUP reply that we write.
    package static let peersPerReplyMax = 20
    /// Relay addresses that a storing node keeps of a record.
    package static let relayAddressesKept = 3
    /// The longest delay of DELAYED_PING.
    package static let pingDelayMillisecondsMax: UInt32 = 10_000
    /// How far in the future the bump of an announcement may lie.
    package static let bumpAheadMillisecondsMax: UInt64 = 60_000
    /// Pings at once of nodes that another node calls down.
    package static let downChecksMax = 10
    /// Pings at once of nodes whose place in the table a newcomer wants.
    package static let swapsMax = 3

    // MARK: Fixed by choice

    /// Bytes of a value in a packet: more does not fit a UDP datagram.
    package static let valueSizeMax = 65_535
    /// The longest name of a plugin that is read, in bytes.
    package static let pluginNameSizeMax = 255
    /// Relay addresses and records read from one message.
    package static let relayAddressesReadMax = 64
    package static let peersReadMax = 128
    /// Our own requests under way, those that wait for the congestion window included.
    static let requestsMax = 4096
    /// Of one query: nodes asked, nodes to be asked, nodes given, and nodes to be told that one they
    /// named is down.
    static let visitsPerQueryMax = 400
    static let candidatesMax = 200
    static let startNodesMax = 64
    static let referrersMax = 20
    /// Of the closest nodes that a query ends with, those of one /24 of the internet.
    static let closestPerNetworkMax = 4
    /// Pings at once to nodes that sent us a request under an id that we do not know.
    static let newcomerPingsMax = 16
    /// Answers to DELAYED_PING that wait for their time.
    static let delayedPingsMax = 256

    // MARK: This node's

    /// Nodes of one /24 of the internet in one row of the table.
    package var nodesPerNetworkMax = 4
    /// Down hints sent in a tick of five seconds.
    package var downHintsPerTick = 50

    /// Entries of each store of announcements: by peer, by topic, refresh tokens, bumps.
    package var recordsMax = 65_536
    /// Announcements under one topic, and of one origin under one topic.
    package var recordsPerTopicMax = 256
    package var recordsPerTopicAndOriginMax = 32
    package var recordAge: Duration = .seconds(20 * 60)
    /// Entries and bytes of the store of mutable values, and of the one of immutable values.
    package var valuesMax = 32_768
    package var valueBytesMax = 16 << 20
    package var valueAge: Duration = .seconds(48 * 3600)
    /// The greatest value that is stored, in bytes: with token, id and closer nodes it fits one
    /// packet of an ordinary path.
    package var storedValueSizeMax = 1200

    /// Requests taken in, of one origin (a /24, a private host, or a port on the own machine) and in
    /// all. More are dropped unread.
    package var requestsPerOrigin = Rate(burst: 1000, perSecond: 250)
    package var requests = Rate(burst: 20_000, perSecond: 20_000)
    /// A reply to an address that has shown no token may have this many times the bytes of its
    /// request; what goes beyond is taken from the next two budgets, and when they are empty the
    /// reply is cut down to this.
    package var unprovenReplyFactor = 3
    package var unprovenBytesPerOrigin = Rate(burst: 64 << 10, perSecond: 8 << 10)
    package var unprovenBytes = Rate(burst: 4 << 20, perSecond: 512 << 10)
    /// Announcements and values taken in: each costs a signature check of about 0.1 ms.
    package var writesPerOrigin = Rate(burst: 200, perSecond: 20)
    package var writes = Rate(burst: 2000, perSecond: 1000)
    /// Origins whose budgets are remembered.
    package var originsMax = 8192

    package init() {}
}
