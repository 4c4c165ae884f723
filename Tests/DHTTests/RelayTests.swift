import Base
import Crypto
import DHT
import Testing
import Wire

/// Handshakes and hole punches on their way through nodes that they do not concern
/// (`connect.md` 2.2 and 4.3).
struct RelayTests {
    let target = Bytes32(repeating: 7)
    let client = NetworkEndpoint(address: .v4(0x0b00_0001), port: 1000)
    let server = NetworkEndpoint(address: .v4(0x0c00_0002), port: 2000)
    let other = NetworkEndpoint(address: .v4(0x0d00_0003), port: 3000)

    struct Sent: Equatable {
        var isRequest: Bool
        var transaction: UInt16
        var to: NetworkEndpoint
        var socket: SocketID
        var value: [UInt8]?
    }

    /// One node that is handed what others might send.
    private final class Holder {
        var node: DHTNode
        init(_ node: DHTNode) { self.node = node }
    }

    private func node(serving: Bool = false, ephemeral: Bool = false) -> Holder {
        let address = NetworkEndpoint(address: .v4(0x0a0a_0a0a), port: 49737)
        var node = DHTNode(
            configuration: DHTConfiguration(
                bootstrap: [], mode: ephemeral ? .ephemeral : .persistent, isFirewalled: ephemeral,
                publicAddress: ephemeral ? nil : address),
            seed: Bytes32(repeating: 1), now: .zero)
        var effects = DHTEffects()
        node.start(now: .zero, into: &effects)
        if serving { node.serve(target) }
        return Holder(node)
    }

    /// Hands a request with number 0x0807 to the node.
    private func hand(
        _ value: [UInt8], _ command: UInt8, from source: NetworkEndpoint, to holder: Holder,
        on socket: SocketID = .server
    ) -> (sent: [Sent], events: [DHTEvent]) {
        var writer = WireWriter()
        writer.writeRaw([0x03, 8 | 16, 7, 8, 10, 10, 10, 10, 0x49, 0xc2, command])
        writer.writeBytes32(target)
        writer.writeBuffer(value)
        var effects = DHTEffects()
        holder.node.receive(writer.bytes.span, from: source, on: socket, now: .zero, into: &effects)
        let sent = effects.datagrams.entries.compactMap { entry -> Sent? in
            let bytes = Array(effects.datagrams.bytes[entry.range])
            let isRequest = bytes[0] == 0x03
            // Flags tell what is there before the value, which is last.
            let flags = bytes[1]
            var offset = 10 + (flags & 1 != 0 ? 32 : 0)
            if isRequest {
                #expect(flags & 2 == 0, "no token")
                offset += 1 + 32
            } else {
                #expect(flags & 2 == 0 && flags & 8 == 0)
            }
            var value: [UInt8]?
            if flags & 16 != 0 {
                var reader = WireReader(bytes.span)
                try? reader.skip(offset)
                value = try? reader.readBuffer(max: 2000)
            }
            return Sent(
                isRequest: isRequest, transaction: UInt16(bytes[2]) | UInt16(bytes[3]) << 8,
                to: entry.destination, socket: entry.socket, value: value)
        }
        return (sent, effects.events)
    }

    private func handshake(
        _ mode: RelayMode, peer: NetworkEndpoint? = nil, relay: NetworkEndpoint? = nil
    ) -> [UInt8] {
        HandshakeMessage(mode: mode, noise: [1, 2], peerAddress: peer, relayAddress: relay)
            .encoded()
    }

    private func punch(_ mode: RelayMode, id: UInt64 = 5, peer: NetworkEndpoint? = nil) -> [UInt8] {
        HolepunchMessage(mode: mode, id: id, payload: [3], peerAddress: peer).encoded()
    }

    private func passed(
        _ value: [UInt8], to: NetworkEndpoint, asRequest isRequest: Bool = true,
        _ socket: SocketID = .server
    ) -> [Sent] {
        [Sent(isRequest: isRequest, transaction: 0x0807, to: to, socket: socket, value: value)]
    }

    @Test func `a client's message goes where it asks, with its own address`() {
        for isEphemeral in [false, true] {
            let node = node(ephemeral: isEphemeral)
            for socket in [SocketID.server, .client] {
                let result = hand(
                    handshake(.fromClient, relay: server), 0, from: client, to: node, on: socket)
                #expect(
                    result.sent
                        == passed(handshake(.fromRelay, peer: client), to: server, socket))
            }
        }
    }

    @Test func `without anybody to pass it to the client gets an empty answer`() {
        let node = node()
        let result = hand(handshake(.fromClient), 0, from: client, to: node)
        #expect(
            result.sent
                == [
                    Sent(
                        isRequest: false, transaction: 0x0807, to: client, socket: .server,
                        value: nil)
                ])
        #expect(hand(handshake(.fromRelay, peer: client), 0, from: other, to: node).sent.isEmpty)
        #expect(hand(punch(.fromClient), 1, from: client, to: node).sent.isEmpty)
    }

    @Test func `the server's message goes back as the answer to the client`() {
        let node = node()
        #expect(
            hand(handshake(.fromServer, peer: client), 0, from: server, to: node).sent
                == passed(handshake(.reply, peer: server), to: client, asRequest: false))
        #expect(
            hand(punch(.fromServer, id: 0, peer: client), 1, from: server, to: node).sent
                == passed(punch(.reply, id: 0, peer: server), to: client, asRequest: false))
        #expect(hand(handshake(.fromServer), 0, from: server, to: node).sent.isEmpty)
        #expect(hand(punch(.fromServer), 1, from: server, to: node).sent.isEmpty)
    }

    @Test func `a hole punch goes to the server that it names`() {
        let node = node()
        #expect(
            hand(punch(.fromClient, peer: server), 1, from: client, to: node).sent
                == passed(punch(.fromRelay, peer: client), to: server))
    }

    @Test func `who announced itself is reached where it announced from`() throws {
        let network = NodeNetwork.persistent(4, seed: 70)
        let keyPair = DHTNodeTests.keyPair(1)
        let target = Blake2b.hash256(keyPair.publicKey.bytes)
        _ = network.finish(3) { node, now, effects in
            node.query(
                DHTQuery(
                    .findPeer, target: target,
                    commit: .announce(keyPair, relayAddresses: [], bump: 0)),
                now: now, into: &effects)
        }
        network.nodes[3].serve(target)
        // Through one relay, and through two.
        for relay in [nil, network.endpoint(1)] {
            network.events[3].removeAll()
            let id = network.with(2) { node, now, effects in
                node.request(
                    DHTRequest(
                        .peerHandshake, target: target,
                        value: handshake(.fromClient, relay: relay)),
                    to: network.endpoint(0), now: now, into: &effects)
            }
            network.run(for: .milliseconds(900))
            let requests = network.events[3].compactMap { event -> InboundRequest? in
                if case .request(let request) = event { request } else { nil }
            }
            let request = try #require(requests.first)
            let message = try HandshakeMessage(decoding: #require(request.value))
            #expect(message.peerAddress == network.endpoint(2))
            #expect(message.mode == (relay == nil ? .fromRelay : .fromSecondRelay))
            let firstRelay = relay == nil ? request.from : message.relayAddress
            #expect(firstRelay == network.endpoint(0))
            // The server answers to the first relay, which answers the client.
            network.with(3) { node, _, effects in
                node.relay(
                    DHTRequest(
                        .peerHandshake, target: target,
                        value: handshake(.fromServer, peer: message.peerAddress)),
                    transaction: request.transaction, to: network.endpoint(0), via: .server,
                    into: &effects)
            }
            network.run(for: .milliseconds(900))
            let reply = network.events[2].compactMap { event -> DHTReply? in
                if case .replied(id, let reply) = event { reply } else { nil }
            }.last
            #expect(
                reply?.value == handshake(.reply, peer: network.endpoint(3)))
            #expect(reply?.from == network.endpoint(0))
        }
    }

    @Test func `messages for a target that is served here come to the owner`() {
        for mode in [RelayMode.fromClient, .fromRelay, .fromSecondRelay] {
            let node = node(serving: true)
            let result = hand(handshake(mode, peer: client), 0, from: other, to: node)
            #expect(result.sent.isEmpty)
            #expect(result.events.count == 1)
        }
        let node = node(serving: true)
        let punched = hand(punch(.fromRelay, peer: client), 1, from: other, to: node)
        #expect(punched.events.count == 1 && punched.sent.isEmpty)
        #expect(hand(punch(.fromRelay), 1, from: other, to: node).events.isEmpty)
        node.node.stopServing(target)
        #expect(hand(handshake(.fromRelay, peer: client), 0, from: other, to: node).events.isEmpty)
    }

    @Test func `nobody on the internet reaches into a private network through a node`() {
        let node = node()
        for address: UInt32 in [0x0a00_0001, 0xc0a8_0001, 0x7f00_0001] {
            let inside = NetworkEndpoint(address: .v4(address), port: 80)
            for value in [
                handshake(.fromClient, relay: inside), handshake(.fromServer, peer: inside),
            ] {
                #expect(hand(value, 0, from: client, to: node).sent.isEmpty)
            }
            #expect(hand(punch(.fromClient, peer: inside), 1, from: client, to: node).sent.isEmpty)
            // Among private addresses it is nobody else's business.
            let neighbour = NetworkEndpoint(address: .v4(0xc0a8_0002), port: 9)
            #expect(
                hand(handshake(.fromClient, relay: inside), 0, from: neighbour, to: node).sent
                    .count == 1)
        }
    }
}
