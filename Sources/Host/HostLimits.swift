/// Bounds of the host's sockets; those on peers are in `SwarmLimits`.
package struct HostLimits: Sendable {
    /// Streams open at once, those that are being closed included; beyond it none is accepted.
    package var streamsMax = 512
    /// Bytes that may wait for one peer; it is dropped beyond, as it does not read what it asked.
    package var queueBytesMax = 64 << 20
    /// How long a peer may take nothing of what waits for it.
    package var stallTimeout: Duration = .seconds(60)
    /// How long a dial of one address may take.
    package var dialTimeout: Duration = .seconds(10)
    /// Addresses remembered because a device of the share has answered there.
    package var provedAddressesMax = 16
    /// How long a closed stream may take to send what it still has.
    package var lingerTimeout: Duration = .seconds(5)
    /// Bytes read from one stream before the others have their turn.
    package var readBytesPerTurn = 1 << 20
    /// Connections accepted before the others have their turn.
    package var acceptsPerTurn = 16
    /// The wait after the system had no descriptor left for a connection; doubles to a second.
    package var acceptPause: Duration = .milliseconds(50)

    package init() {}
}
