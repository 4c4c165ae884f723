package import Wire

/// What a node is told about itself when it is made.
package struct DHTConfiguration: Sendable {
    /// Whether the node may join others' tables and store for them (`dht.md` 7.2).
    package enum Mode: Hashable, Sendable {
        /// Starts ephemeral and turns persistent after twenty stable minutes, if it is reachable.
        case adaptive
        case ephemeral
        /// Turns persistent as soon as it knows its address and is reachable there.
        case persistent
    }

    /// The nodes to ask first. Empty for the first node of a network; no default, so that a test
    /// never talks to the world.
    package var bootstrap: [NetworkEndpoint]
    package var mode: Mode
    /// False for a server whose port is known to be open.
    package var isFirewalled: Bool
    /// The address that others see, where it is known beforehand: a bootstrap node's own.
    package var publicAddress: NetworkEndpoint?
    /// The ports that the two sockets are bound to.
    package var serverPort: UInt16
    package var clientPort: UInt16
    /// Nodes of an earlier run, to be asked beside the bootstrap nodes.
    package var knownNodes: [NetworkEndpoint]
    /// Milliseconds from 1970 to the origin of the clock that `Instant`s come from. Needed only to
    /// judge the bumps of announcements: without it none is stored.
    package var unixMillisecondsAtZero: UInt64
    package var limits: DHTLimits

    package init(
        bootstrap: [NetworkEndpoint], mode: Mode = .adaptive, isFirewalled: Bool = true,
        publicAddress: NetworkEndpoint? = nil, serverPort: UInt16 = 49737, clientPort: UInt16 = 0,
        knownNodes: [NetworkEndpoint] = [], unixMillisecondsAtZero: UInt64 = 0,
        limits: DHTLimits = DHTLimits()
    ) {
        self.bootstrap = bootstrap
        self.mode = mode
        self.isFirewalled = isFirewalled
        self.publicAddress = publicAddress
        self.serverPort = serverPort
        self.clientPort = clientPort
        self.knownNodes = knownNodes
        self.unixMillisecondsAtZero = unixMillisecondsAtZero
        self.limits = limits
    }
}
