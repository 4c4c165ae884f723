package import Base

/// How a node makes and takes connections.
package struct HyperDHTConfiguration: Sendable {
    package var node: DHTConfiguration
    package var limits = HyperDHTLimits()
    /// Whether peers are told the addresses on the local network, and met there.
    package var usesLocalAddresses = true
    /// Whether dials open their own NAT towards the server before it has been asked.
    package var usesFastOpen = true
    /// As a server: whether holes are punched at all.
    package var punchesAsServer = true
    /// As a server: every handshake that proves its key becomes a `.question` before it is answered.
    package var asksBeforeAnswering = false
    /// As a server: a peer that runs a blind relay, to be named in every answer.
    package var relayThrough: Bytes32?
    /// Between punches in which a random NAT takes part.
    package var randomPunchInterval = Duration.seconds(20)

    package init(node: DHTConfiguration) { self.node = node }
}

/// How long the connection part waits (`connect.md` 7).
enum ConnectTiming {
    /// After a handshake, for the other side's packets or its first holepunch message.
    static let passiveWait = Duration.seconds(10)
    /// A handshake is remembered after it is over.
    static let handshakeKept = Duration.seconds(10)
    /// For the other side to learn what its NAT does.
    static let unknownPause = Duration.seconds(1)
    /// Before a random punch is asked for again: this, and up to as much more.
    static let tryLater = Duration.seconds(10)
    static let relayPairing = Duration.seconds(15)
    /// For the client's next holepunch message, when a blind relay is at work and the client may have
    /// to wait for its turn.
    static let relayedWait = Duration.seconds(60)
    /// Waits for a turn, after which the relay has to do.
    static let tryLaterMax = 8
    static let relayPing = Duration.seconds(3)
    /// Pings between two announcements.
    static let relayPingsPerUpdate = 100
    /// Before an announcement that no node took is tried again.
    static let updateRetry = Duration.seconds(5)
}
