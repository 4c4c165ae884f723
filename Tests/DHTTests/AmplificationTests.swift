import Base
import Crypto
import Testing
import Wire

@testable import DHT

/// How many bytes a node sends to somebody who may not be the one that asked (threat T9), and what
/// floods cost it (T11).
struct AmplificationTests {
    /// A persistent node with a full table and well-filled stores.
    final class Victim {
        var node: DHTNode
        var effects = DHTEffects()
        var now = Instant.zero + .seconds(100)
        let topic = Bytes32(repeating: 7)
        let mutableKey = KeyPair(seed: Bytes32(repeating: 8))
        let value = [UInt8](repeating: 5, count: 1000)
        let self1 = KeyPair(seed: Bytes32(repeating: 9))

        init(limits: DHTLimits = DHTLimits()) {
            let address = NetworkEndpoint(address: .v4(0x0808_0808), port: 49737)
            node = DHTNode(
                configuration: DHTConfiguration(
                    bootstrap: [], mode: .persistent, isFirewalled: false, publicAddress: address,
                    limits: limits),
                seed: Bytes32(repeating: 1), now: now)
            node.start(now: now, into: &effects)
            effects.removeAll()
            var random = DHTRandom(seed: Bytes32(repeating: 3))
            for number in 0..<400 {
                let host = 0x0b00_0000 &+ UInt32(number) &* 7919
                let peer = PackedEndpoint(host: host, port: 49737)
                _ = node.table.insert(peer, id: peer.id, tick: node.tick)
            }
            let writer = PackedEndpoint(host: 0x1414_1414, port: 99)
            for number: UInt8 in 1...40 {
                let record = PeerRecord(
                    publicKey: Bytes32(repeating: number),
                    relayAddresses: [writer.endpoint, writer.endpoint, writer.endpoint])
                node.storage.announce(
                    .init(topic: topic, publicKey: record.publicKey, encoded: record.encoded()),
                    from: PackedEndpoint(host: 0x1414_0000 &+ UInt32(number) << 8, port: 99),
                    random: &random, now: now)
            }
            let own = Blake2b.hash256(self1.publicKey.bytes)
            node.storage.announce(
                .init(
                    topic: own, publicKey: self1.publicKey,
                    encoded: PeerRecord(
                        publicKey: self1.publicKey,
                        relayAddresses: [writer.endpoint, writer.endpoint, writer.endpoint]
                    ).encoded()),
                from: writer, random: &random, now: now)
            node.storage.mutables.insert(
                Blake2b.hash256(mutableKey.publicKey.bytes),
                MutableValue(sequence: 1, value: value, signedBy: mutableKey), now: now)
            node.storage.immutables.insert(Blake2b.hash256(value), value, now: now)
        }

        /// - Returns: bytes sent to anybody.
        func hand(_ datagram: [UInt8], from source: NetworkEndpoint) -> Int {
            node.receive(datagram.span, from: source, on: .server, now: now, into: &effects)
            let sent = effects.datagrams.entries.reduce(0) { $0 + $1.range.count }
            effects.removeAll()
            return sent
        }

        func request(_ body: DHTRequest) -> [UInt8] {
            DHTPacket.Request(
                transaction: 1, to: NetworkEndpoint(address: .v4(0x0808_0808), port: 49737),
                id: nil, body: body
            ).encoded()
        }

        /// For each command the smallest request that gets the largest answer.
        var worst: [(name: String, datagram: [UInt8])] {
            let noise = [UInt8](repeating: 1, count: 96)
            let other = NetworkEndpoint(address: .v4(0x0e0e_0e0e), port: 99)
            let bad = Bytes32(repeating: 1)
            return [
                ("PING", request(.init(.ping))),
                ("PING_NAT", request(.init(.pingNAT, value: [1, 1]))),
                ("FIND_NODE", request(.init(.findNode, target: topic))),
                ("DOWN_HINT", request(.init(.downHint, value: [0x0b, 0, 0, 0, 0x49, 0xc2]))),
                ("DELAYED_PING", request(.init(.delayedPing, value: [0, 0, 0, 0]))),
                (
                    "PEER_HANDSHAKE, passed on",
                    request(
                        .init(
                            .peerHandshake, target: topic,
                            value: HandshakeMessage(
                                mode: .fromClient, noise: noise, relayAddress: other
                            ).encoded()))
                ),
                (
                    "PEER_HANDSHAKE, nobody there",
                    request(
                        .init(
                            .peerHandshake, target: topic,
                            value: HandshakeMessage(mode: .fromClient, noise: []).encoded()))
                ),
                (
                    "PEER_HOLEPUNCH, passed on",
                    request(
                        .init(
                            .peerHolepunch, target: topic,
                            value: HolepunchMessage(
                                mode: .fromClient, id: 0, payload: noise, peerAddress: other
                            ).encoded()))
                ),
                (
                    "FIND_PEER",
                    request(.init(.findPeer, target: Blake2b.hash256(self1.publicKey.bytes)))
                ),
                ("LOOKUP", request(.init(.lookup, target: topic))),
                ("ANNOUNCE, bad token", request(.init(.announce, target: topic, token: bad))),
                (
                    "MUTABLE_GET",
                    request(
                        .init(
                            .mutableGet, target: Blake2b.hash256(mutableKey.publicKey.bytes),
                            value: [0]))
                ),
                (
                    "IMMUTABLE_GET",
                    request(.init(.immutableGet, target: Blake2b.hash256(value)))
                ),
                (
                    "unknown",
                    request(.init(.unknown(isInternal: false, number: 99), target: topic))
                ),
            ]
        }
    }

    private func source(_ number: UInt32) -> NetworkEndpoint {
        NetworkEndpoint(address: .v4(number), port: 1234)
    }

    /// What one request brings with full budgets, and what a hundred thousand bring on average.
    @Test func `no command sends much more than it was sent`() {
        let count = FloodTests.count
        for index in Victim().worst.indices {
            let victim = Victim()
            let (name, datagram) = victim.worst[index]
            var first = victim.hand(datagram, from: source(0x0c00_0001))
            // The answer to DELAYED_PING comes from a timer.
            _ = victim.node.advance(now: victim.now, into: &victim.effects)
            first += victim.effects.datagrams.entries.reduce(0) { $0 + $1.range.count }
            victim.effects.removeAll()
            var flood = 0
            var oneOrigin = 0
            // Ten seconds, each from another network; and each from one.
            for number in 0..<count {
                victim.now = victim.now + .microseconds(500)
                flood += victim.hand(datagram, from: source(0x1000_0000 &+ UInt32(number) << 8))
            }
            for _ in 0..<count {
                victim.now = victim.now + .microseconds(500)
                oneOrigin += victim.hand(datagram, from: source(0x0d00_0001))
            }
            func ratio(_ sent: Int, _ times: Int) -> Double {
                Double(sent * 100 / (datagram.count * times)) / 100
            }
            print(
                "\(name): request \(datagram.count) B, answer \(first) B,",
                "ratio \(ratio(first, 1));",
                "2000/s from anywhere \(ratio(flood, count)), from one /24 \(ratio(oneOrigin, count))"
            )
            #expect(ratio(oneOrigin, count) <= 3.1, "\(name)")
            let allowed = 3 * datagram.count * count + (4 << 20) + 10 * (512 << 10)
            #expect(flood <= allowed, "\(name)")
        }
    }

    @Test func `who shows a token gets whole answers`() {
        var limits = DHTLimits()
        limits.unprovenBytes = .init(burst: 0, perSecond: 0)
        let victim = Victim(limits: limits)
        let asker = source(0x0c00_0001)
        let plain = victim.hand(
            victim.request(.init(.lookup, target: victim.topic)), from: asker)
        let token = victim.node.tokens.issue(to: 0x0c00_0001, now: victim.now)
        let proven = victim.hand(
            victim.request(.init(.lookup, target: victim.topic, token: token)), from: asker)
        #expect(plain <= 3 * 43)
        #expect(proven > 1000)
    }

    @Test func `answers that are cut down are still answers`() throws {
        var limits = DHTLimits()
        limits.unprovenBytes = .init(burst: 0, perSecond: 0)
        let victim = Victim(limits: limits)
        for (name, datagram) in victim.worst {
            victim.node.receive(
                datagram.span, from: source(0x0c00_0001), on: .server, now: victim.now,
                into: &victim.effects)
            for entry in victim.effects.datagrams.entries {
                let bytes = Array(victim.effects.datagrams.bytes[entry.range])
                guard bytes[0] == DHTPacket.responseByte else { continue }
                let response = try DHTPacket.Response(decoding: Array(bytes.dropFirst()))
                #expect(bytes.count <= 3 * datagram.count, "\(name)")
                if name == "LOOKUP", let value = response.value {
                    #expect(try LookupReply(decoding: value).peers.count == 1)
                }
                if name == "FIND_NODE" { #expect(response.closerNodes.count >= 10) }
            }
            victim.effects.removeAll()
        }
    }
}
