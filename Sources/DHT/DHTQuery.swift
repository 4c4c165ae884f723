package import Base
package import Crypto
package import Wire

/// A walk towards a target: ask the closest nodes known for closer ones until there are none
/// (`dht.md` 8).
package struct DHTQuery: Sendable {
    package var command: DHTCommand
    package var target: Bytes32
    package var value: [UInt8]?
    /// Asked before anything else; with 20 or more, our table is left alone at first.
    package var startNodes: [NetworkEndpoint]
    /// Requests in flight; at most `DHTLimits.concurrency` counts.
    package var concurrency: Int
    package var retries: Int
    /// Ask `startNodes` and nobody else.
    package var onlyStartNodes: Bool
    /// Past the congestion window, and once only.
    package var isForced: Bool
    package var commit: DHTCommit
    /// Unannounces this key at nodes that hold a record of it, before the commit.
    package var clearing: KeyPair?
    /// Which replies come as `.queryReply`.
    package var filter = DHTReplyFilter.any
    /// Ends the walk with the first reply that passes the filter.
    package var endsWithFirst = false

    package init(
        _ command: DHTCommand, target: Bytes32, value: [UInt8]? = nil,
        startNodes: [NetworkEndpoint] = [], concurrency: Int = DHTLimits.concurrency,
        retries: Int = 5, onlyStartNodes: Bool = false, isForced: Bool = false,
        commit: DHTCommit = .none, clearing: KeyPair? = nil
    ) {
        self.command = command
        self.target = target
        self.value = value
        self.startNodes = startNodes
        self.concurrency = concurrency
        self.retries = retries
        self.onlyStartNodes = onlyStartNodes
        self.isForced = isForced
        self.commit = commit
        self.clearing = clearing
    }
}

/// What the closest nodes are sent at the end of a query, each with its own token.
package enum DHTCommit: Sendable {
    case none
    /// The query's own command, target and value again.
    case same
    case send(DHTCommand, value: [UInt8]?)
    /// An announcement, signed for each node. `bump` is in milliseconds since 1970; 0 is none.
    case announce(KeyPair, relayAddresses: [NetworkEndpoint], bump: UInt64)
    case unannounce(KeyPair)
}

/// Keeps replies from the owner of a query that say nothing, or lie.
package enum DHTReplyFilter: Sendable {
    case any
    /// Replies with a `MutableValue` of this key.
    case mutable(publicKey: Bytes32, atLeast: UInt64)
    /// Replies whose value has this hash.
    case immutable(hash: Bytes32)
}
