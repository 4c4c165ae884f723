/// How a peer is reached; the raw values are what `peers` shows.
package enum PeerPath: String, Sendable {
    /// TCP to an address that was given, told or found on the local network.
    case tcp
    /// UDP to an address that was open to us.
    case direct
    /// UDP through holes in the NATs of both.
    case punched
    /// UDP on the local network, where a NAT stood between us and the address we were told.
    case lan = "LAN"
    /// UDP by way of a third peer, which sees ciphertext only.
    case relayed

    /// Of two connections to one device, both ends keep that of the greater quality. What both
    /// ends call alike only: whether a way was punched may look different from the two sides.
    package var quality: Int {
        switch self {
        case .tcp: 2
        case .direct, .punched, .lan: 1
        case .relayed: 0
        }
    }
}
