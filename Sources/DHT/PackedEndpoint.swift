internal import Base
internal import Crypto
internal import Wire

/// An IPv4 address and port in one word: tables hold many.
struct PackedEndpoint: Hashable, Comparable, Sendable {
    /// The address above the port.
    let rawValue: UInt64

    init(host: UInt32, port: UInt16) { rawValue = UInt64(host) << 16 | UInt64(port) }

    /// - Returns: nil for IPv6, which the DHT does not speak, and for port 0.
    init?(_ endpoint: NetworkEndpoint) {
        guard case .v4(let host) = endpoint.address, endpoint.port != 0 else { return nil }
        self.init(host: host, port: endpoint.port)
    }

    var host: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 16) }
    var port: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
    var endpoint: NetworkEndpoint { NetworkEndpoint(address: .v4(host), port: port) }
    var id: Bytes32 { NodeID.of(self) }

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What kind of network an IPv4 address belongs to (`connect.md` 4.2).
enum AddressScope: Sendable {
    case global, privateUse, loopback, reserved

    init(_ host: UInt32) {
        func isIn(_ network: UInt32, _ bits: UInt32) -> Bool {
            (host ^ network) >> (32 - bits) == 0
        }
        if isIn(0x7f00_0000, 8) {
            self = .loopback
        } else if isIn(0x0a00_0000, 8) || isIn(0x6440_0000, 10) || isIn(0xa9fe_0000, 16)
            || isIn(0xac10_0000, 12) || isIn(0xc0a8_0000, 16)
        {
            self = .privateUse
        } else if isIn(0, 8) || isIn(0xc000_0000, 24) || isIn(0xc000_0200, 24)
            || isIn(0xc612_0000, 15) || isIn(0xc633_6400, 24) || isIn(0xcb00_7100, 24)
            || isIn(0xe000_0000, 3)
        {
            self = .reserved
        } else {
            self = .global
        }
    }

    /// Whether a sender here may make us send to `other`: nobody on the internet may reach into our
    /// own network through us.
    func mayName(_ other: AddressScope) -> Bool {
        switch (self, other) {
        case (.global, .privateUse), (.global, .loopback): false
        default: true
        }
    }
}

extension PackedEndpoint {
    var scope: AddressScope { AddressScope(host) }

    /// Who is charged for what comes from here: the /24 on the internet, where one party may own
    /// many addresses; the host in a private network; on the own machine each port, so that whole
    /// networks of nodes can live there.
    var origin: UInt64 {
        switch scope {
        case .loopback: rawValue | 1 << 62
        case .privateUse: UInt64(host) | 1 << 61
        case .global, .reserved: UInt64(host >> 8)
        }
    }
}
