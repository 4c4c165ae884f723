package import Wire

/// What a node tells the one who drives it.
package enum DHTEvent: Equatable, Sendable {
    /// The first walk through the network is over, whether or not anybody answered; again after
    /// `resume`.
    case ready
    case replied(RequestID, DHTReply)
    /// No answer to any attempt, or the node was suspended.
    case timedOut(RequestID)
    /// An answer without error, as it comes.
    case queryReply(QueryID, DHTReply)
    /// The answer of one of the closest nodes to the query's commit; look at its `error`.
    case queryCommitted(QueryID, DHTReply)
    /// Nothing more comes. `closest` has the nearest verified nodes, nearest first; `committed` how
    /// many of them took the commit.
    case queryEnded(QueryID, closest: [DHTReply], committed: Int)
    /// A handshake or holepunch message for a target that we serve (`DHTNode.serve`): mode
    /// `.fromClient`, `.fromRelay` or `.fromSecondRelay`.
    case request(InboundRequest)
    /// `DHTNode.publicHost`, `publicPort`, `isFirewalled` or `remoteAddress` is not what it was.
    case addressChanged
    case becamePersistent
    /// After a sleep or a suspension: the network may be another.
    case becameEphemeral
    /// Whether anybody answers at all.
    case online(Bool)
    /// Most requests of the last ticks went unanswered, or no longer do.
    case degraded(Bool)
}

/// What a call into a node leads to. The caller owns it, carries it out and empties it.
package struct DHTEffects: Sendable {
    package var datagrams = DatagramBatch()
    package var events: [DHTEvent] = []

    package init() {}

    /// Empties both and keeps their memory.
    package mutating func removeAll() {
        datagrams.removeAll()
        events.removeAll(keepingCapacity: true)
    }
}
