/// Bounds on what strangers, and this node's own user, can make the connection part hold or do.
package struct HyperDHTLimits: Equatable, Sendable {
    // MARK: Messages

    /// The bytes of one Noise message in a handshake; UDP keeps honest ones below 1400.
    package static let noiseMessageSizeMax = 2048
    /// The least bytes of a first Noise IK message: a key, a sealed key, a sealed empty payload.
    package static let noiseMessageSizeMin = 32 + 48 + 16
    /// The bytes of one sealed holepunch payload.
    package static let holepunchPayloadSizeMax = 1024
    /// Addresses of one sort in a payload: more is refused as malformed.
    package static let payloadAddressesMax = 64
    /// The other side's addresses that are kept and punched at; the rest is ignored. It bounds what
    /// an authenticated peer can make this node send to addresses of its choice.
    package static let remoteAddressesMax = 8
    /// This node's own addresses that are told.
    package static let localAddressesMax = 8

    // MARK: Dialling

    /// Dials at a time; further ones fail at once.
    package var dialsMax = 256
    /// Relays that one dial tries.
    package var relaysPerDialMax = 20
    /// Peers whose relays are remembered for the next dial.
    package var relayCacheMax = 512

    // MARK: Listening

    /// Handshakes that are remembered at a time, so that a repeated one gets the same answer.
    package var handshakesMax = 4096
    /// Of these, those that came the same way: straight, through one particular relay of ours, or
    /// through a node that is none of our relays. One flooded way leaves the others free.
    package var handshakesPerLaneMax = 1024
    /// Of these, those whose client has not shown to be where it says: each holds a stream, and
    /// behind a firewall a socket.
    package var halfOpenPerLaneMax = 256
    /// Of these, those of one client host, behind which many peers may sit.
    package var halfOpenPerOriginMax = 64
    /// Noise handshakes that one lane may start per second, and at once. One costs about a
    /// millisecond: with three relays at most 0.42 of a core.
    package var handshakesPerLanePerSecond = 100
    package var handshakesPerLaneBurst = 400
    /// The same of all nodes that are none of our relays, which honest clients do not use.
    package var handshakesOfStrangersPerSecond = 20
    package var handshakesOfStrangersBurst = 60
    /// The same of one client host.
    package var handshakesPerOriginPerSecond = 50
    package var handshakesPerOriginBurst = 200
    /// Client hosts of a lane whose spending is remembered; all others share one account.
    package var originsPerLaneMax = 256
    /// Copies of one handshake that wait for the host's word.
    package var waitingRequestsMax = 4
    /// Holepunch messages that one handshake may send.
    package var holepunchMessagesMax = 256

    // MARK: Punching

    /// Sockets that are open at a time to punch holes.
    package var punchSocketsMax = 1024
    /// Sockets that one punch from behind a random NAT uses.
    package var birthdaySocketsMax = 256
    /// Punches at a time in which a random NAT takes part.
    package var randomPunchesMax = 1

    package init() {}
}
