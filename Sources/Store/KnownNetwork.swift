internal import Base

/// What a device last knew of the way to the others of a share, so that it needs neither the nodes
/// nor the networks that once showed it: hints, all of them, that may be out of date. In
/// `network.json`; addresses are written `HOST:PORT`.
package struct KnownNetwork: Codable, Equatable, Sendable {
    /// Another device of the share.
    package struct Peer: Codable, Equatable, Sendable {
        /// Under which it listens in the DHT, hexadecimal.
        package var key: String
        /// Where it may be asked for, the best first.
        package var addresses: [String]

        package init(key: String, addresses: [String]) {
            self.key = key
            self.addresses = addresses
        }
    }

    package enum Limits {
        package static let nodesMax = 64
        package static let peersMax = 64
        package static let addressesPerPeerMax = 4
        /// Addresses of devices that were dialed without the DHT.
        package static let addressesMax = 16
    }

    /// The nodes that were asked first: what another network's nodes said is of no use.
    package var bootstrap: [String]
    /// Nodes of the DHT, the one that answered last first.
    package var nodes: [String]
    /// The one met last first.
    package var peers: [Peer]
    /// Where devices of the share answered without the DHT, the last first.
    package var addresses: [String]

    package init(
        bootstrap: [String], nodes: [String] = [], peers: [Peer] = [], addresses: [String] = []
    ) {
        self.bootstrap = bootstrap
        self.nodes = nodes
        self.peers = peers
        self.addresses = addresses
    }

    package var isEmpty: Bool { nodes.isEmpty && peers.isEmpty && addresses.isEmpty }

    /// Without what is beyond the limits: a file may hold anything.
    var bounded: KnownNetwork {
        KnownNetwork(
            bootstrap: bootstrap, nodes: Array(nodes.prefix(Limits.nodesMax)),
            peers: peers.prefix(Limits.peersMax).map { peer in
                Peer(
                    key: peer.key,
                    addresses: Array(peer.addresses.prefix(Limits.addressesPerPeerMax)))
            }, addresses: Array(addresses.prefix(Limits.addressesMax)))
    }
}

extension ShareFolder {
    private static let networkName = "network.json"

    /// - Returns: nil if nothing has been kept.
    /// - Throws: also if the file is damaged: to be told, and gone on without.
    package func knownNetwork() throws(StateError) -> KnownNetwork? {
        try directory.json(
            Self.networkName, as: KnownNetwork.self, remedy: "nothing: it will be written anew")?
            .bounded
    }

    /// Replaces what was kept, at once and whole.
    package func setKnownNetwork(_ network: KnownNetwork) throws(StateError) {
        try directory.replaceJSON(Self.networkName, with: network.bounded)
    }
}
