package import Base
package import Wire

/// What a transport of the DHT knows that is worth keeping for its next start: nodes that answer,
/// and where the share's own devices were found. Whoever has it needs no bootstrap node.
package struct SwarmMemory: Equatable, Sendable {
    package struct Peer: Equatable, Sendable {
        /// Under which the device listens.
        package let key: Bytes32
        /// Nodes at which it had announced itself, and its own address where that is open; the best
        /// first.
        package var addresses: [NetworkEndpoint]

        package init(key: Bytes32, addresses: [NetworkEndpoint]) {
            self.key = key
            self.addresses = addresses
        }
    }

    package enum Limits {
        package static let nodesMax = 64
        package static let peersMax = 64
        package static let addressesPerPeerMax = 4
    }

    /// The one that answered last first.
    package private(set) var nodes: [NetworkEndpoint]
    /// The one met last first.
    package private(set) var peers: [Peer]

    package init(nodes: [NetworkEndpoint] = [], peers: [Peer] = []) {
        self.nodes = Self.dialable(nodes, Limits.nodesMax)
        self.peers = []
        for peer in peers.prefix(Limits.peersMax).reversed() {
            note(peer.key, addresses: peer.addresses)
        }
    }

    /// Nodes have answered; those of old stay behind them while there is room.
    package mutating func note(_ recent: [NetworkEndpoint]) {
        nodes = Self.dialable(recent + nodes, Limits.nodesMax)
    }

    /// A device of the share was met; without new addresses it keeps those it had.
    package mutating func note(_ key: Bytes32, addresses: [NetworkEndpoint]) {
        let before = peers.first { $0.key == key }?.addresses ?? []
        peers.removeAll { $0.key == key }
        let kept = Self.dialable(addresses, Limits.addressesPerPeerMax)
        peers.insert(Peer(key: key, addresses: kept.isEmpty ? before : kept), at: 0)
        if peers.count > Limits.peersMax { peers.removeLast() }
    }

    /// Each once, the first `count` of those that a datagram can be sent to.
    private static func dialable(_ endpoints: [NetworkEndpoint], _ count: Int) -> [NetworkEndpoint]
    {
        var kept: [NetworkEndpoint] = []
        for endpoint in endpoints where endpoint.port != 0 && !kept.contains(endpoint) {
            guard kept.count < count else { break }
            if case .v4(let number) = endpoint.address, number != 0 { kept.append(endpoint) }
        }
        return kept
    }
}
