package import Base
internal import Crypto
package import Wire

/// A node's place in the DHT, made from the public address that others reach it at, so that nobody
/// can choose one: BLAKE2b-256 of the four address bytes and the port, low byte first
/// (protocol page `dht.md`, 3.4).
package enum NodeID {
    /// - Returns: nil for IPv6, which the DHT does not speak.
    package static func of(_ endpoint: NetworkEndpoint) -> Bytes32? {
        guard case .v4(let host) = endpoint.address else { return nil }
        return of(PackedEndpoint(host: host, port: endpoint.port))
    }

    static func of(_ endpoint: PackedEndpoint) -> Bytes32 {
        let (host, port) = (endpoint.host, endpoint.port)
        let bytes: InlineArray<6, UInt8> = [
            UInt8(truncatingIfNeeded: host >> 24), UInt8(truncatingIfNeeded: host >> 16),
            UInt8(truncatingIfNeeded: host >> 8), UInt8(truncatingIfNeeded: host),
            UInt8(truncatingIfNeeded: port), UInt8(truncatingIfNeeded: port >> 8),
        ]
        return Blake2b.hash256(bytes.span)
    }
}

/// How far two ids lie apart: the exclusive or of their bytes, the first byte counting most.
///
/// Only the first sixteen bytes are kept. Ids are digests: no two of them agree that far.
struct Distance: Comparable, Hashable, Sendable {
    let high, low: UInt64

    init(_ left: Bytes32, _ right: Bytes32) {
        let (a, b) = (left.prefix, right.prefix)
        high = (a.0 ^ b.0).byteSwapped
        low = (a.1 ^ b.1).byteSwapped
    }

    /// The number of leading bits in which the two ids agree, 0 to 128.
    var sharedBits: Int {
        high != 0 ? high.leadingZeroBitCount : 64 + low.leadingZeroBitCount
    }

    static func < (left: Self, right: Self) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}
