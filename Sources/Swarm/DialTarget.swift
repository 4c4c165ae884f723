package import Base

/// What can be dialed: a place, or a device wherever it is.
package enum DialTarget: Hashable, Sendable {
    case address(PeerAddress)
    /// The key under which a device listens in the DHT.
    case device(Bytes32)

    /// Port 0 is good for listening only.
    var isDialable: Bool {
        switch self {
        case .address(let address): address.port != 0
        case .device: true
        }
    }
}

extension DialTarget: CustomStringConvertible {
    /// `HOST:PORT`, or the first digits of the key.
    package var description: String {
        switch self {
        case .address(let address): "\(address)"
        case .device(let key): "device \(key.hex.prefix(16))"
        }
    }
}
