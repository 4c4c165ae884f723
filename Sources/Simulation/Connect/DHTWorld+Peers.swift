internal import Base
internal import Crypto
internal import DHT
internal import Wire

/// Nodes that also make connections.
extension DHTWorld {
    /// - Returns: the host's index.
    mutating func addPeer(behind kind: NATKind) -> Int {
        let host = network.addHost(behind: kind)
        var node = DHTConfiguration(bootstrap: bootstrap)
        node.unixMillisecondsAtZero = Self.unixMillisecondsAtZero
        node.serverPort = network.bind(.server, at: host, port: Self.serverPort) ?? 0
        node.clientPort = network.bind(.client, at: host) ?? 0
        let local = NetworkEndpoint(address: network.address(of: host), port: node.serverPort)
        var peer = Peer(
            HyperDHT(
                configuration: HyperDHTConfiguration(node: node),
                keyPair: KeyPair(seed: Bytes32(using: &random)), seed: Bytes32(using: &random),
                localAddresses: [local], now: network.now))
        peer.dht.start(now: network.now, into: &peerEffects)
        while members.count <= host.index { members.append(Member()) }
        members[host.index] = Member(peer: peer)
        settlePeer(host.index)
        return host.index
    }

    /// Calls a peer's node and carries out what comes of it.
    mutating func call(
        _ index: Int, _ body: (inout HyperDHT, Instant, inout HyperDHTEffects) -> Void
    ) {
        guard var peer = members[index].peer.take() else { return }
        body(&peer.dht, network.now, &peerEffects)
        members[index].peer = peer
        settlePeer(index)
    }

    mutating func receiveAtPeer(_ delivery: VirtualNetwork.Delivery) {
        Self.hand(delivery, of: network, toPeer: &members[delivery.host.index], &peerEffects)
        settlePeer(delivery.host.index)
    }

    private static func hand(
        _ delivery: VirtualNetwork.Delivery, of network: borrowing VirtualNetwork,
        toPeer member: inout Member, _ effects: inout HyperDHTEffects
    ) {
        member.peer?.receive(
            network.payload, from: delivery.source, on: delivery.socket, now: network.now,
            into: &effects)
    }

    mutating func advancePeer(_ index: Int) {
        members[index].peer?.advance(now: network.now, into: &peerEffects)
        settlePeer(index)
    }

    /// First the sockets that open, then the datagrams, then the rest, as `HyperDHTEffects` wants.
    private mutating func settlePeer(_ index: Int) {
        let host = VirtualNetwork.HostID(index: index)
        for case .openSocket(let socket) in peerEffects.events { network.bind(socket, at: host) }
        members[index].peer?.carryOut(peerEffects.events, now: network.now)
        members[index].peer?.flush(now: network.now, into: &peerEffects.datagrams)
        network.send(peerEffects.datagrams, from: host)
        for case .closeSocket(let socket) in peerEffects.events { network.close(socket, at: host) }
        peerEffects.removeAll()
        guard let deadline = members[index].peer?.deadline else { return }
        network.setTimer(deadline, of: host)
    }
}
