/// Bounds of a `PeerBook`; each one guards a table or a rate that strangers can drive.
package struct SwarmLimits: Sendable {
    /// Addresses remembered; the worst of the learnt ones makes room.
    package var addressesMax = 256
    /// Peers that have proved who they are.
    package var peersMax = 128
    /// Connections accepted whose other end has proved nothing yet; the oldest makes room.
    package var strangersMax = 64
    /// Dials under way, those included that are connected and not yet identified.
    package var dialsMax = 16
    /// How long a connection may take to prove who is behind it.
    package var identifyTimeout: Duration = .seconds(10)

    /// The first wait after a failure.
    package var retryFirst: Duration = .milliseconds(100)
    /// Failures in a row after which a device that was found, and never met, is forgotten.
    package var learntFailuresMax = 8
    /// The longest wait between dials of one address.
    package var retryLongest: Duration = .seconds(30)
    /// A connection that lived this long was a good one: its address starts afresh.
    package var settledAfter: Duration = .seconds(5)

    /// The first wait after a peer broke the protocol; doubles each time.
    package var penaltyFirst: Duration = .seconds(60)
    package var penaltyLongest: Duration = .seconds(3600)
    /// Keys remembered for having broken the protocol.
    package var penaltiesMax = 256

    /// Connections that one origin may open at once when it was quiet before.
    package var originBurst = 256
    /// Connections that one origin may go on opening, a second.
    package var originRate = 32
    /// How many connections' worth a protocol violation costs its origin.
    package var violationCost = 8
    /// Origins counted; the one that has been quiet longest makes room.
    package var originsMax = 1024

    package init() {}
}
