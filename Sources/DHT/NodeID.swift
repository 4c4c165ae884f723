package import Base
internal import Crypto
package import Wire

/// A node's place in the DHT, made from the public address that others reach it at, so that nobody
/// can choose one: BLAKE2b-256 of the four address bytes and the port, low byte first
/// (protocol page `dht.md`, 3.4).
package enum NodeID {
    /// - Returns: nil for IPv6, which the DHT does not speak.
    package static func of(_ endpoint: NetworkEndpoint) -> Bytes32? {
        guard case .v4 = endpoint.address else { return nil }
        var writer = WireWriter(reserving: 6)
        writer.writeEndpointBytes(endpoint)
        return Blake2b.hash256(writer.bytes)
    }
}
