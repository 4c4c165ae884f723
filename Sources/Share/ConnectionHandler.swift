package import Base
package import Noise
package import Swarm

/// One byte stream to a peer, as Host knows it.
package struct ConnectionID: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// What the world outside must do for a share.
package enum ShareEffect: Equatable, Sendable {
    case send(ConnectionID, [UInt8])
    /// Send what is queued, then close; `reason` goes to the log.
    case close(ConnectionID, reason: String)
    /// The peer broke the protocol: close at once, and hold it off for a while.
    case reject(ConnectionID, reason: String)
    /// The peer proved its device key, and that it may be here. A connection of which this is not
    /// said within `SwarmLimits.identifyTimeout` is closed; of two with one key, one is closed.
    /// `session` is what only this connection's two sides share: the handshake hash, cut to 32 bytes.
    /// `instance` is the other side's number for its running process.
    case identified(ConnectionID, key: Bytes32, session: Bytes32, instance: UInt64 = 0)
    /// A place to dial: from a link, or told by a peer.
    case found(PeerAddress, PeerBook.Source)
    case log(String)
}

/// The peer-facing side of a share: byte streams and time in, effects out. Called by one event
/// loop; thread-safe towards the calls of `Volume`.
package protocol ConnectionHandler: AnyObject, Sendable {
    /// - Parameters:
    ///   - address: for people, as in `127.0.0.1:4711`.
    ///   - handshake: what one has left that was made on the way here, between the two devices' node
    ///     keys (`ShareKeys.nodeKey`); nil if the connection begins with one.
    func connectionOpened(
        _ id: ConnectionID, isInitiator: Bool, address: String, handshake: HandshakeResult?)
    func connectionReceived(_ id: ConnectionID, _ bytes: Span<UInt8>)
    /// Tells how many bytes given to `send` still wait in the host, whenever that falls.
    func connectionDrained(_ id: ConnectionID, queuedBytes: Int)
    /// Something is to be sent on every connection now, so that a dead one shows.
    func networkChanged()
    /// Exactly once for each opened, whoever closed it; the last call about `id`.
    func connectionClosed(_ id: ConnectionID, reason: String)
    /// Runs what is due and takes the effects of all calls so far.
    ///
    /// - Returns: when to call again at the latest. `ShareEnvironment.wake` asks for an earlier call.
    func advance(into effects: inout [ShareEffect]) -> Instant
}

/// Time, randomness and a bell, from the host or the simulator.
package protocol ShareEnvironment: AnyObject, Sendable {
    func now() -> Instant
    func wallTime() -> Timestamp
    func randomBytes(_ count: Int) -> [UInt8]
    /// Makes the event loop call `advance` soon. Cheap, from any thread.
    func wake()
}
