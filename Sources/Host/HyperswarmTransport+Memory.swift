internal import Base
internal import DHT
internal import Noise
package import Swarm
internal import Wire

// What outlives a run: see `SwarmMemory`.
extension HyperswarmTransport {
    /// What is worth keeping for the next start. Not on the loop's thread.
    package var memory: SwarmMemory {
        let memory = loop.perform { [self] in
            var memory = met
            if let node { memory.note(node.dht.recentNodes(SwarmMemory.Limits.nodesMax)) }
            for peer in met.peers.reversed() {
                // Where a peer itself answered is worth more than where it was announced once.
                let own = ownAddresses[peer.key].map { [$0] } ?? []
                let relays = hints[peer.key] ?? peer.addresses
                memory.note(peer.key, addresses: own + relays)
            }
            return memory
        }
        return memory ?? SwarmMemory()
    }

    package func proved(_ stream: any ByteStream, wasDialed: Bool) {
        guard let stream = stream as? SwarmStream, let key = stream.handshake?.remotePublicKey
        else { return }
        met.note(key, addresses: [])
        // Of a peer that came to us, the address is that of any socket.
        guard wasDialed, let remote = stream.remote,
            stream.path == .direct || stream.path == .lan
        else { return }
        ownAddresses[key] = remote
        guard ownAddresses.count > SwarmMemory.Limits.peersMax else { return }
        let kept = Set(met.peers.map(\.key))
        ownAddresses = ownAddresses.filter { kept.contains($0.key) }
    }

    /// No search has to end before these are tried.
    func dialKnownPeers() {
        for peer in met.peers {
            hints[peer.key] = peer.addresses
            observer?.transport(self, found: .device(peer.key))
        }
    }
}
