import Base
import Crypto
import Noise
import Simulation
import Testing
import Wire

@testable import DHT

/// What strangers can make a listening node do (threat T11): it stays small, and others get through.
@Suite(.serialized)
struct ConnectFloodTests {
    private static let seed: UInt64 = 4_711

    private static let relay = NetworkEndpoint(address: .v4(0x0909_0909), port: 9)
    private static let own = NetworkEndpoint(address: .v4(0x2020_2020), port: 20)

    /// First messages of honest-looking handshakes with `server`, each with a key of its own.
    private func firstMessages(
        _ count: Int, to server: Bytes32, _ random: inout SeededRandom,
        _ change: (inout NoisePayload) -> Void = { _ in }
    ) -> [[UInt8]] {
        (0..<count).compactMap { _ in
            var noise = Handshake(
                pattern: .ik, role: .initiator, prologue: HandshakePrologue.bytes,
                staticKey: KeyPair(using: &random), ephemeralKey: KeyPair(using: &random),
                remoteStaticKey: server)
            var payload = NoisePayload()
            payload.stream = NoisePayload.Stream(id: UInt32.random(in: 1...99, using: &random))
            payload.secretStreamVersion = 1
            change(&payload)
            return try? noise.write(payload: payload.encoded().span)
        }
    }

    /// A listening node without a network, told of requests as its own DHT node would.
    private func listener() -> (dht: HyperDHT, effects: HyperDHTEffects) {
        var random = SeededRandom(seed: Self.seed + 1)
        var dht = HyperDHT(
            configuration: HyperDHTConfiguration(node: DHTConfiguration(bootstrap: [])),
            keyPair: KeyPair(using: &random), seed: Bytes32(using: &random), localAddresses: [],
            now: .zero)
        var effects = HyperDHTEffects()
        dht.listen(now: .zero, into: &effects)
        return (dht, effects)
    }

    private func request(
        _ noise: [UInt8], to dht: HyperDHT, mode: RelayMode, from: NetworkEndpoint,
        client: NetworkEndpoint? = nil
    ) -> DHTEvent {
        .request(
            InboundRequest(
                from: from, to: Self.own, socket: .server, transaction: 1,
                command: .peerHandshake, target: Blake2b.hash256(dht.keyPair.publicKey.bytes),
                value: HandshakeMessage(mode: mode, noise: noise, peerAddress: client).encoded()))
    }

    private func deliver(
        _ event: DHTEvent, to dht: inout HyperDHT, now: Instant, _ effects: inout HyperDHTEffects
    ) {
        effects.node.events.append(event)
        dht.finish(now: now, into: &effects)
    }

    private func host(_ number: Int, port: UInt16 = 5) -> NetworkEndpoint {
        NetworkEndpoint(address: .v4(0x3000_0000 + UInt32(number)), port: port)
    }

    @Test func `a flood from many hosts is cut to the lane's share`() {
        var random = SeededRandom(seed: Self.seed)
        var (dht, effects) = listener()
        let limits = dht.configuration.limits
        let noises = firstMessages(1500, to: dht.keyPair.publicKey, &random)
        for (index, noise) in noises.enumerated() {
            // Half of them straight, half through nodes that are no relays of ours.
            let event =
                index % 2 == 0
                ? request(noise, to: dht, mode: .fromClient, from: host(index))
                : request(
                    noise, to: dht, mode: .fromRelay, from: host(index % 7), client: host(index))
            deliver(event, to: &dht, now: .zero, &effects)
        }
        let taken = dht.listener.incoming.entries.values
        print("of 1500 at once \(taken.count) were taken, \(dht.refusedHandshakes) refused")
        #expect(taken.count { $0.lane == .direct } == limits.halfOpenPerLaneMax)
        #expect(taken.count { $0.lane == .stranger } == limits.handshakesOfStrangersBurst)
        #expect(dht.shared.sockets.count == limits.handshakesOfStrangersBurst)
        #expect(dht.refusedHandshakes == 1500 - taken.count)
        // No connection at anybody's word: the host has nothing to do with them yet.
        let isConnected = effects.events.contains {
            if case .connected = $0 { true } else { false }
        }
        #expect(!isConnected)

        // After their time nothing is left.
        for second in 1...30 { dht.advance(now: .zero + .seconds(second), into: &effects) }
        #expect(dht.listener.incoming.isEmpty)
        #expect(dht.shared.sockets.count == 0)
        #expect(dht.requests.allSatisfy { if case .announcer = $0.value { true } else { false } })
    }

    @Test func `one host has few handshakes, however many keys it has`() {
        var random = SeededRandom(seed: Self.seed)
        var (dht, effects) = listener()
        let limits = dht.configuration.limits
        for (index, noise) in firstMessages(200, to: dht.keyPair.publicKey, &random).enumerated() {
            let event = request(
                noise, to: dht, mode: .fromRelay, from: Self.relay,
                client: host(1, port: UInt16(index + 1)))
            deliver(event, to: &dht, now: .zero, &effects)
        }
        #expect(dht.listener.incoming.count <= limits.halfOpenPerOriginMax)
    }

    @Test func `forged messages cost one reading each, and only so many`() {
        var random = SeededRandom(seed: Self.seed)
        var (dht, effects) = listener()
        let limits = dht.configuration.limits
        for index in 0..<20_000 {
            let event = request(
                random.bytes(150), to: dht, mode: .fromClient, from: host(index % 5000))
            deliver(
                event, to: &dht, now: .zero + .milliseconds(Int64(index)), &effects)
        }
        #expect(
            effects.datagrams.entries.filter { $0.destination.address == host(3).address } == [])
        #expect(
            dht.listener.incoming.count
                <= limits.handshakesPerLaneBurst + 20 * limits.handshakesPerLanePerSecond)
        #expect(dht.listener.incoming.count <= limits.handshakesPerLaneMax)
    }

    @Test func `a repeated message gets the same answer and makes nothing new`() throws {
        var random = SeededRandom(seed: Self.seed)
        var (dht, effects) = listener()
        let noise = firstMessages(1, to: dht.keyPair.publicKey, &random)[0]
        var answers: Set<[UInt8]> = []
        for _ in 0..<5 {
            effects.removeAll()
            let event = request(
                noise, to: dht, mode: .fromRelay, from: Self.relay, client: host(1))
            deliver(event, to: &dht, now: .zero, &effects)
            let last = try #require(effects.datagrams.entries.last)
            #expect(last.destination == Self.relay)
            #expect(last.socket.rawValue >= SocketID.firstPunch.rawValue)
            answers.insert(Array(effects.datagrams.bytes[last.range]))
        }
        #expect(answers.count == 1)
        #expect(dht.listener.incoming.count == 1)
    }

    @Test func `no answer is much larger than the question`() throws {
        var random = SeededRandom(seed: Self.seed)
        var (dht, effects) = listener()
        let noise = firstMessages(1, to: dht.keyPair.publicKey, &random)[0]
        effects.removeAll()
        let value = HandshakeMessage(mode: .fromClient, noise: noise).encoded()
        let question = DHTPacket.Request(
            transaction: 1, to: Self.own, id: nil,
            body: DHTRequest(
                .peerHandshake, target: Blake2b.hash256(dht.keyPair.publicKey.bytes),
                value: value)
        ).encoded()
        let event = request(noise, to: dht, mode: .fromClient, from: host(1))
        deliver(event, to: &dht, now: .zero, &effects)
        let answers = effects.datagrams.entries.filter { $0.destination == host(1) }
        #expect(answers.count == 1)
        // What a server with three relays and eight addresses of its own would add.
        let most = (answers.first?.range.count ?? 0) + 3 * 12 + 2 * 6 + 8 * 6
        print("handshake: \(question.count) bytes asked, at most \(most) answered")
        #expect(most * 2 <= question.count * 3)
    }

    @Test func `a flood does not keep others out, nor end what is under way`() {
        var world = ConnectSimulationTests.backbone
        let server = world.addPeer(behind: .open)
        ConnectSimulationTests.listen(server, &world)
        let early = world.addPeer(behind: .portRestricted)
        let late = world.addPeer(behind: .double)
        world.run(for: .seconds(20)) { $0.members[late]?.isReady == true }
        world.run(for: .seconds(5))

        var random = SeededRandom(seed: Self.seed)
        guard let target = world.members[server]?.dht else { return }
        let key = target.keyPair.publicKey
        let address = NetworkEndpoint(
            address: world.network.address(of: server), port: 49737)
        let attackers = (0..<20).map { _ in
            let host = world.network.addHost()
            world.network.bind(.client, at: host)
            return host
        }
        _ = world.connect(early, to: server)
        let noises = firstMessages(1000, to: key, &random)
        for (index, noise) in noises.enumerated() {
            let isDirect = index % 2 == 0
            let bytes = DHTPacket.Request(
                transaction: UInt16(truncatingIfNeeded: index), to: address, id: nil,
                body: DHTRequest(
                    .peerHandshake, target: Blake2b.hash256(key.bytes),
                    value: HandshakeMessage(
                        mode: isDirect ? .fromClient : .fromRelay, noise: noise,
                        peerAddress: isDirect ? nil : host(index)
                    ).encoded())
            ).encoded()
            world.send(
                bytes, from: attackers[index % attackers.count], to: address, via: .client)
            if index % 10 == 0 { world.run(for: .milliseconds(10)) }
        }
        let start = world.now
        _ = world.connect(late, to: server)
        let isDone = world.run(for: .seconds(30)) {
            $0.areConnected(early, server) && $0.areConnected(late, server)
        }
        #expect(isDone)
        print("under a flood the second client connected in \(world.now - start)")
        #expect(world.now - start < .seconds(3))
    }

    // MARK: Rubbish

    @Test func `packets with flipped bits and cut ends harm nobody`() {
        for seed in Self.seed..<Self.seed + 6 {
            let random = SeededRandom(seed: seed)
            var world = ConnectSimulationTests.backbone
            let server = world.addPeer(behind: .fullCone)
            ConnectSimulationTests.listen(server, &world)
            let client = world.addPeer(behind: .portRestricted)
            world.run(for: .seconds(20)) { $0.members[client]?.isReady == true }
            _ = world.connect(client, to: server)
            // Every datagram comes twice, the first time spoilt: whoever can do that can stop a dial.
            world.spoils = random
            world.run(for: .seconds(30)) { $0.areConnected(client, server) }
            world.spoils = nil
            if !world.areConnected(client, server) { _ = world.connect(client, to: server) }
            let isDone = world.run(for: .seconds(30)) { $0.areConnected(client, server) }
            #expect(
                isDone,
                "seed \(seed): \(String(describing: world.members[client]?.failures))")
        }
    }
}
