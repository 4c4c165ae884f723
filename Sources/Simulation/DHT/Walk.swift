package import Base
internal import Wire

/// One announcement or lookup, watched from outside the node that makes it.
package struct Walk: Sendable {
    package enum Purpose: Sendable { case announce, lookup }

    package let purpose: Purpose
    let host: Int
    package let target: Bytes32
    /// The key that was announced under the target.
    package let publicKey: Bytes32
    package let startedAt: Instant
    /// When a reply first held the key.
    package internal(set) var foundAt: Instant?
    /// nil while it goes on, and for ever if its node left.
    package internal(set) var endedAt: Instant?
    /// Datagrams that the node sent for it, repetitions and commits included.
    package internal(set) var requests = 0
    package internal(set) var replies = 0
    /// Nodes that took the announcement.
    package internal(set) var committed = 0
    /// Honest ones of these.
    package internal(set) var kept = 0
    /// How many steps from what the node knew to the first reply with the key.
    package internal(set) var foundDepth: Int?
    /// How many steps to the closest node.
    package internal(set) var closestDepth: Int?
    /// How many of the twenty nodes that are really closest were found.
    package internal(set) var closestFound = 0

    /// The steps to each node that a reply named; a node that no reply named was known before: 1.
    private var depths: [NetworkEndpoint: Int] = [:]

    init(
        _ purpose: Purpose, host: Int, target: Bytes32, publicKey: Bytes32, startedAt: Instant
    ) {
        self.purpose = purpose
        self.host = host
        self.target = target
        self.publicKey = publicKey
        self.startedAt = startedAt
    }

    /// The steps to a node that was asked.
    func depth(of node: NetworkEndpoint) -> Int { depths[node] ?? 1 }

    mutating func note(_ closerNodes: [NetworkEndpoint], namedBy node: NetworkEndpoint) {
        let depth = depth(of: node) + 1
        for closer in closerNodes where depths[closer] == nil { depths[closer] = depth }
    }

    mutating func forgetDepths() { depths = [:] }
}
