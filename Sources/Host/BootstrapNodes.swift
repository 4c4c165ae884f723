package import Swarm
package import Wire

/// The nodes to ask first.
package enum BootstrapNodes {
    /// Those of the public network (`protocol/dht.md`, 6.1).
    package static let `public` = ["88.99.3.86", "142.93.90.113", "138.68.147.8"].map {
        PeerAddress(host: $0, port: 49737)
    }

    /// The IPv4 addresses of nodes given by name or number; those that cannot be found are left out.
    /// Asks name servers, and may block, unless all are numbers.
    package static func resolve(_ nodes: [PeerAddress]) -> (
        found: [NetworkEndpoint], missing: [PeerAddress]
    ) {
        var found: [NetworkEndpoint] = []
        var missing: [PeerAddress] = []
        for node in nodes {
            let all =
                (try? SocketAddress.resolve(node, isNumeric: true))
                ?? (try? SocketAddress.resolve(node, isNumeric: false)) ?? []
            let usable = all.map(\.endpoint).first { endpoint in
                if case .v4 = endpoint.address { true } else { false }
            }
            if let usable { found.append(usable) } else { missing.append(node) }
        }
        return (found, missing)
    }
}
