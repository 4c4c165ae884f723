package import Swarm
package import Wire

/// The nodes of the DHT that are asked first: those of the public network, unless others are named
/// with `--bootstrap` or HOLDFAST_BOOTSTRAP.
package enum BootstrapNodes {
    /// The public network's, by number, so that no name server is needed (`protocol/dht.md` 6.1).
    package static let publicNetwork = [
        PeerAddress(host: "88.99.3.86", port: 49737),
        PeerAddress(host: "142.93.90.113", port: 49737),
        PeerAddress(host: "138.68.147.8", port: 49737),
    ]

    /// One that was named, and what the name stands for.
    package struct Resolved: Equatable, Sendable {
        package let named: PeerAddress
        /// IPv4 only, which is all that the DHT speaks; empty if there is a problem.
        package var endpoints: [NetworkEndpoint] = []
        package var problem: HostError?
    }

    /// Finds the addresses of nodes that are named; blocks while name servers are asked.
    package static func resolve(_ addresses: [PeerAddress]) -> [Resolved] {
        addresses.map { address in
            var resolved = Resolved(named: address)
            do throws(HostError) {
                resolved.endpoints = try endpoints(of: address)
            } catch {
                resolved.problem = error
            }
            return resolved
        }
    }

    /// - Returns: at least one IPv4 address with its port.
    package static func endpoints(of address: PeerAddress) throws(HostError) -> [NetworkEndpoint] {
        let found = try SocketAddress.resolve(address, isNumeric: false).map(\.endpoint)
        let usable = found.filter { endpoint in
            if case .v4 = endpoint.address { return true }
            return false
        }
        guard !usable.isEmpty else { throw .unknownHost(address.host) }
        return usable
    }
}
