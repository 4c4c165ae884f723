import Base
import Crypto
import Noise
import Simulation
import Testing
import Wire

@testable import DHT

/// A client and a server behind every pair of NATs, on a network of open nodes; and what may go
/// wrong on the way.
@Suite(.serialized)
struct ConnectSimulationTests {
    typealias Kind = Simulation.NATKind
    typealias Host = ConnectWorld.Host

    private static let seed: UInt64 = 20_260_301
    private static let kinds = Kind.allCases.filter { $0 != .udpBlocked }

    /// Fourteen open nodes that know each other. Copied by every test.
    static let backbone = makeBackbone(seed: seed)

    private static func makeBackbone(seed: UInt64, loss: Double = 0) -> ConnectWorld {
        var world = ConnectWorld(seed: seed, loss: loss)
        world.addBackbone(count: 14)
        return world
    }

    struct Scene {
        var world: ConnectWorld
        let client: Host
        let server: Host

        var isConnected: Bool { world.areConnected(client, server) }
        var failures: [ConnectFailure] { (world.members[client]?.failures ?? []).map(\.reason) }
        var path: ConnectionPath? { world.connections(client, with: server).first?.path }

        /// - Returns: how long it took, nil if it did not come to be.
        mutating func connect(within limit: Duration, through relay: Bytes32? = nil) -> Duration? {
            let start = world.now
            _ = world.connect(client, to: server, through: relay)
            let (client, server) = (client, server)
            world.run(for: limit) {
                $0.areConnected(client, server) || $0.members[client]?.failures.isEmpty == false
            }
            return isConnected ? world.now - start : nil
        }
    }

    static func listen(_ server: Host, _ world: inout ConnectWorld) {
        world.run(for: .seconds(30)) { $0.members[server]?.isReady == true }
        world.listen(server)
        world.run(for: .seconds(30)) { $0.members[server]?.listeningAt.isEmpty == false }
    }

    /// A server that listens and a client that is ready.
    private func scene(
        _ client: Kind, _ server: Kind, in backbone: ConnectWorld = Self.backbone,
        client changeClient: (inout HyperDHTConfiguration) -> Void = { _ in },
        server changeServer: (inout HyperDHTConfiguration) -> Void = { _ in }
    ) -> Scene {
        var world = backbone
        let serverHost = world.addPeer(behind: server, changeServer)
        Self.listen(serverHost, &world)
        let clientHost = world.addPeer(behind: client, changeClient)
        world.run(for: .seconds(30)) { $0.members[clientHost]?.isReady == true }
        return Scene(world: world, client: clientHost, server: serverHost)
    }

    private func column(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }

    // MARK: Every pair

    @Test func `every pair connects that can`() {
        print("seed \(Self.seed); client, server, path, milliseconds, packets, sockets")
        for client in Self.kinds {
            for server in Self.kinds {
                var scene = scene(client, server)
                let before = sent(scene)
                let time = scene.connect(within: .seconds(90))
                let both: [Kind] = [client, server]
                if both == [.symmetric, .symmetric] {
                    #expect(scene.failures == [.doubleRandomized])
                } else {
                    #expect(time != nil, "\(client) to \(server): \(scene.failures)")
                }
                let path = scene.path?.rawValue ?? scene.failures.first?.rawValue ?? "nothing"
                let milliseconds = time.map { "\($0.nanosecondsClamped / 1_000_000)" } ?? "-"
                let sockets = [scene.client, scene.server]
                    .map { scene.world.members[$0]?.socketsMax ?? 0 }
                print(
                    column(client.rawValue, 20) + column(server.rawValue, 20)
                        + column(path, 18) + column(milliseconds, 8)
                        + column("\(sent(scene) - before)", 7) + "\(sockets)")
            }
        }
    }

    private func sent(_ scene: Scene) -> Int {
        [scene.client, scene.server].reduce(0) {
            $0 + (scene.world.members[$1]?.sentCount ?? 0)
        }
    }

    @Test func `sockets are closed when nobody needs them`() {
        for (client, server) in [
            (Kind.portRestricted, Kind.symmetric), (.symmetric, .portRestricted),
            (.symmetric, .symmetric), (.open, .portRestricted),
        ] {
            var scene = scene(client, server)
            _ = scene.connect(within: .seconds(90))
            scene.world.run(for: .seconds(30))
            for host in [scene.client, scene.server] {
                let streams = scene.world.members[host]?.streams ?? [:]
                let used = Set(streams.values.map(\.socket)).filter {
                    $0.rawValue >= SocketID.firstPunch.rawValue
                }
                #expect(scene.world.members[host]?.openSockets == used, "\(client) \(server)")
                for tag in streams.keys.sorted() {
                    scene.world.call(host) { $0.release(tag, now: $1, into: &$2) }
                }
                #expect(scene.world.members[host]?.openSockets == [])
                #expect(scene.world.members[host]?.dht.streams.isEmpty == true)
                #expect(scene.world.members[host]?.dht.dials.isEmpty == true)
                #expect(scene.world.members[host]?.dht.listener.incoming.isEmpty == true)
                #expect(scene.world.members[host]?.dht.shared.sockets.count == 0)
            }
        }
    }

    @Test func `one packet in twenty may get lost`() {
        let kinds: [Kind] = [.open, .portRestricted, .symmetric]
        for seed: UInt64 in 1...(ConnectWorld.extraSeeds ?? 3) {
            let backbone = Self.makeBackbone(seed: seed, loss: 0.05)
            for client in kinds {
                for server in kinds where [client, server] != [.symmetric, .symmetric] {
                    var scene = scene(client, server, in: backbone)
                    let time = scene.connect(within: .seconds(60))
                    #expect(
                        time != nil,
                        "seed \(seed): \(client) to \(server): \(scene.failures)")
                }
            }
        }
    }

    @Test(.enabled(if: ConnectWorld.extraSeeds != nil))
    func `every pair connects on many networks`() {
        var failed = 0
        for seed in 1...(ConnectWorld.extraSeeds ?? 1) {
            let backbone = Self.makeBackbone(seed: seed &* 7919)
            for client in Self.kinds {
                for server in Self.kinds where [client, server] != [.symmetric, .symmetric] {
                    var scene = scene(client, server, in: backbone)
                    if scene.connect(within: .seconds(90)) == nil {
                        failed += 1
                        print("seed \(seed): \(client) to \(server): \(scene.failures)")
                    }
                }
            }
        }
        print("\(failed) of \((ConnectWorld.extraSeeds ?? 1) * 35) failed")
    }

    // MARK: Neighbours

    @Test func `two behind one NAT meet inside`() {
        var world = Self.backbone
        let realm = world.network.addNATs(.portRestricted, timeout: .seconds(60))
        let server = world.addPeer(in: realm)
        Self.listen(server, &world)
        let client = world.addPeer(in: realm)
        world.run(for: .seconds(30)) { $0.members[client]?.isReady == true }
        var scene = Scene(world: world, client: client, server: server)
        let time = scene.connect(within: .seconds(30))
        #expect(time != nil, "\(scene.failures)")
        #expect(scene.path == .lan)
        #expect(scene.world.connections(server, with: client).first?.path == .lan)
        #expect(
            scene.world.connections(client, with: server).first?.remote.address
                == scene.world.network.address(of: server))
    }

    // MARK: Both at once

    @Test func `two that dial each other at once both get through`() {
        for (left, right) in [
            (Kind.portRestricted, Kind.portRestricted), (.portRestricted, .open),
            (.addressRestricted, .double),
        ] {
            var scene = scene(left, right)
            Self.listen(scene.client, &scene.world)
            _ = scene.world.connect(scene.client, to: scene.server)
            _ = scene.world.connect(scene.server, to: scene.client)
            let (client, server) = (scene.client, scene.server)
            let isDone = scene.world.run(for: .seconds(60)) {
                $0.connections(client, with: server).count == 2
                    && $0.connections(server, with: client).count == 2
            }
            #expect(isDone, "\(left) and \(right): \(scene.failures)")
            let keys = [client, server].map { host in
                Set(
                    scene.world.members[host]?.streams.values
                        .compactMap { $0.established?.handshake.handshakeHash } ?? [])
            }
            #expect(keys[0] == keys[1] && keys[0].count == 2)
        }
    }

    // MARK: Deaths

    @Test func `a relay that dies on the way is replaced`() {
        for delay in [5, 40, 80, 150, 250, 400] {
            var scene = scene(.portRestricted, .portRestricted)
            let relays = scene.world.members[scene.server]?.listeningAt ?? []
            _ = scene.world.connect(scene.client, to: scene.server)
            scene.world.run(for: .milliseconds(delay))
            // The two first: whichever the client used is among them, or it had a third.
            let dying = scene.world.order.filter {
                relays.prefix(2).map(\.address).contains(scene.world.network.address(of: $0))
            }
            for host in dying { scene.world.kill(host) }
            let (client, server) = (scene.client, scene.server)
            scene.world.run(for: .seconds(60)) {
                $0.areConnected(client, server) || $0.members[client]?.failures.isEmpty == false
            }
            #expect(scene.isConnected, "after \(delay) ms: \(scene.failures)")
        }
    }

    @Test func `a server that starts again is found again`() {
        for kind in [Kind.portRestricted, .open] {
            var scene = scene(.portRestricted, kind)
            let first = scene.connect(within: .seconds(30))
            #expect(first != nil)
            scene.world.restart(scene.server)
            Self.listen(scene.server, &scene.world)
            scene.world.members[scene.client]?.streams = [:]
            let time = scene.connect(within: .seconds(30))
            #expect(time != nil, "\(kind): \(scene.failures)")
        }
    }

    @Test func `a peer that nobody knows is not found, and a silent one not reached`() {
        var scene = scene(.portRestricted, .portRestricted)
        var random = SeededRandom(seed: 9)
        let nobody = KeyPair(using: &random).publicKey
        scene.world.call(scene.client) { $0.connect(to: nobody, now: $1, into: &$2) }
        scene.world.kill(scene.server)
        _ = scene.world.connect(scene.client, to: scene.server)
        scene.world.run(for: .seconds(60))
        #expect(Set(scene.failures) == [.peerNotFound, .couldNotConnect])
    }

    @Test func `a suspended server is silent, a resumed one is found again`() {
        var scene = scene(.portRestricted, .addressRestricted)
        scene.world.call(scene.server) { $0.suspend(now: $1, into: &$2) }
        let before = scene.world.members[scene.server]?.sentCount
        let silent = scene.connect(within: .seconds(60))
        #expect(silent == nil && scene.failures == [.couldNotConnect])
        #expect(scene.world.members[scene.server]?.sentCount == before)

        scene.world.members[scene.client]?.failures = []
        scene.world.call(scene.server) { $0.resume(now: $1, into: &$2) }
        scene.world.run(for: .seconds(5))
        let time = scene.connect(within: .seconds(10))
        #expect(time != nil, "\(scene.failures)")
    }

    @Test func `two that both move to other networks find each other within five seconds`() {
        let kinds: [(Kind, Kind)] = [
            (.portRestricted, .portRestricted), (.open, .portRestricted), (.portRestricted, .open),
            (.open, .open), (.double, .fullCone),
        ]
        for seed in 0...(ConnectWorld.extraSeeds ?? 0) {
            let backbone = seed == 0 ? Self.backbone : Self.makeBackbone(seed: seed &* 104_729)
            for (from, to) in kinds {
                let time = timeToMeetAgain(from, to, in: backbone)
                print("seed \(seed), \(from) to \(to): \(time.nanosecondsClamped / 1_000_000) ms")
                #expect(time < .seconds(5), "seed \(seed), \(from) to \(to)")
            }
        }
    }

    private func timeToMeetAgain(_ from: Kind, _ to: Kind, in backbone: ConnectWorld) -> Duration {
        var scene = scene(from, from, in: backbone)
        let first = scene.connect(within: .seconds(30))
        #expect(first != nil)
        for host in [scene.client, scene.server] {
            let realm = scene.world.network.addNATs(to, timeout: .seconds(60))
            scene.world.network.move(host, to: realm)
            let local = NetworkEndpoint(
                address: scene.world.network.address(of: host), port: 49737)
            scene.world.call(host) {
                $0.networkChanged(localAddresses: [local], now: $1, into: &$2)
            }
            scene.world.members[host]?.streams = [:]
        }
        let start = scene.world.now
        while scene.world.now - start < .seconds(30) {
            scene.world.members[scene.client]?.failures = []
            if scene.connect(within: .seconds(20)) != nil { break }
            // Swarm dials again after a second or so.
            scene.world.run(for: .seconds(1))
        }
        return scene.world.now - start
    }

    // MARK: The blind relay

    @Test func `two random NATs meet at a relay`() {
        for serverNames in [false, true] {
            let relay = Bytes32(repeating: 7)
            var scene = scene(
                .symmetric, .symmetric,
                server: { if serverNames { $0.relayThrough = relay } })
            scene.world.relaysPairAtOnce = true
            _ = scene.world.connect(
                scene.client, to: scene.server, through: serverNames ? nil : relay)
            scene.world.run(for: .seconds(60))
            let sides = [scene.client, scene.server].compactMap { scene.world.members[$0] }
            for side in sides {
                #expect(side.failures.isEmpty)
                #expect(side.streams.values.map(\.path) == [.relayed])
                #expect(side.streams.values.first?.remoteID == 99)
                #expect(side.reroutes.isEmpty)
            }
            let wishes = sides.compactMap(\.wishes.first?.wish)
            #expect(wishes.count == 2)
            #expect(Set(wishes.map(\.token)).count == 1)
            #expect(wishes.map(\.relayKey) == [relay, relay])
            // Whoever named it begins.
            #expect(wishes.map(\.isInitiator) == [!serverNames, serverNames])
            #expect(
                wishes.map(\.localStreamID) == sides.compactMap { $0.streams.values.first?.localID }
            )
        }
    }

    @Test func `a hole that opens later takes a relayed connection over`() {
        var scene = scene(.portRestricted, .portRestricted)
        scene.world.relaysPairAtOnce = true
        _ = scene.world.connect(scene.client, to: scene.server, through: Bytes32(repeating: 7))
        let (client, server) = (scene.client, scene.server)
        scene.world.run(for: .seconds(60)) { $0.areConnected(client, server) }
        #expect(scene.isConnected)
        for host in [client, server] {
            let member = scene.world.members[host]
            #expect(member?.reroutes == [.punched])
            #expect(member?.streams.values.first?.established?.path == .relayed)
            #expect(member?.failures.isEmpty == true)
        }
    }

    @Test func `a relay that never pairs does not outlive its time`() {
        var scene = scene(.symmetric, .symmetric)
        _ = scene.world.connect(scene.client, to: scene.server, through: Bytes32(repeating: 7))
        scene.world.run(for: .seconds(10))
        #expect(scene.failures.isEmpty)
        scene.world.run(for: .seconds(10))
        #expect(scene.failures == [.relayFailed])
        #expect(scene.world.members[scene.server]?.failures.count == 1)
        scene.world.run(for: .seconds(30))
        #expect(scene.world.members[scene.server]?.dht.listener.incoming.isEmpty == true)
    }

    @Test func `packets by the relay's path are no direct path`() throws {
        var scene = scene(.symmetric, .symmetric)
        _ = scene.world.connect(scene.client, to: scene.server, through: Bytes32(repeating: 7))
        let client = scene.client
        scene.world.run(for: .seconds(10)) { $0.members[client]?.wishes.isEmpty == false }
        let wish = try #require(scene.world.members[client]?.wishes.first)
        scene.world.call(client) { dht, _, _ in
            dht.relayReached(wish.tag, socket: .client, remote: ConnectWorld.relay)
        }
        scene.world.call(client) {
            $0.streamPacket(
                streamID: wish.wish.localStreamID, from: ConnectWorld.relay, on: .client, now: $1,
                into: &$2)
        }
        #expect(scene.world.members[client]?.streams.values.first?.path == nil)
        scene.world.pairAtRelay(wish.tag, of: client)
        #expect(scene.world.members[client]?.streams.values.first?.path == .relayed)
        // Anything else is one.
        let elsewhere = NetworkEndpoint(address: .v4(0x0202_0202), port: 2)
        scene.world.call(client) {
            $0.streamPacket(
                streamID: wish.wish.localStreamID, from: elsewhere, on: .client, now: $1,
                into: &$2)
        }
        #expect(scene.world.members[client]?.reroutes == [.direct])
    }

    // MARK: Random punches

    @Test func `only one random punch at a time, and with a relay the next waits its turn`() {
        var scene = scene(.symmetric, .portRestricted)
        let first = scene.connect(within: .seconds(60))
        #expect(first != nil)
        scene.world.members[scene.client]?.streams = [:]
        let second = scene.connect(within: .seconds(10))
        #expect(second == nil)
        #expect(scene.failures == [.punchAborted] || scene.failures == [.remoteAborted])

        scene.world.members[scene.client]?.failures = []
        scene.world.relaysPairAtOnce = true
        _ = scene.world.connect(scene.client, to: scene.server, through: Bytes32(repeating: 7))
        let (client, server) = (scene.client, scene.server)
        scene.world.run(for: .seconds(120)) {
            $0.members[client]?.reroutes.isEmpty == false
                && $0.members[server]?.reroutes.isEmpty == false
        }
        #expect(scene.world.members[client]?.reroutes == [.punched])
        #expect(scene.world.members[scene.server]?.reroutes == [.punched])
    }

    @Test func `whoever waits for a turn with no relay coming is forgotten`() {
        var scene = scene(.symmetric, .portRestricted)
        let first = scene.connect(within: .seconds(60))
        #expect(first != nil)
        _ = scene.world.connect(scene.client, to: scene.server, through: Bytes32(repeating: 7))
        scene.world.run(for: .seconds(200))
        for host in [scene.client, scene.server] {
            let dht = scene.world.members[host]?.dht
            #expect(dht?.dials.isEmpty == true)
            #expect(dht?.listener.incoming.isEmpty == true)
            #expect(dht?.shared.sockets.count ?? 9 <= 2)
            #expect(dht?.shared.slots.isFree(now: scene.world.now) == true)
        }
    }

    // MARK: The host's word

    @Test func `a host that refuses is not reached, one that admits is`() {
        for admits in [false, true] {
            var scene = scene(
                .portRestricted, .portRestricted, server: { $0.asksBeforeAnswering = true })
            let (client, server) = (scene.client, scene.server)
            _ = scene.world.connect(client, to: server)
            scene.world.run(for: .seconds(5)) { $0.members[server]?.questions.isEmpty == false }
            let questions = scene.world.members[server]?.questions ?? []
            #expect(questions.count == 1)
            #expect(
                questions.first?.remotePublicKey
                    == scene.world.members[client]?.dht.keyPair.publicKey)
            for question in questions {
                scene.world.call(server) { $0.admit(question.tag, admits, now: $1, into: &$2) }
            }
            scene.world.run(for: .seconds(40)) {
                $0.areConnected(client, server) || $0.members[client]?.failures.isEmpty == false
            }
            #expect(scene.isConnected == admits)
            #expect(scene.failures == (admits ? [] : [.couldNotConnect]))
        }
    }

    @Test func `a cancelled dial says so and leaves nothing`() throws {
        for delay in [0, 60, 150, 300, 600] {
            var scene = scene(.portRestricted, .symmetric)
            let started = scene.world.connect(scene.client, to: scene.server)
            let dial = try #require(started)
            scene.world.run(for: .milliseconds(delay))
            scene.world.call(scene.client) { $0.cancel(dial, now: $1, into: &$2) }
            #expect(scene.failures == [.cancelled])
            let dht = try #require(scene.world.members[scene.client]?.dht)
            #expect(dht.dials.isEmpty && dht.requests.isEmpty && dht.queries.isEmpty)
            #expect(dht.streams.isEmpty && dht.shared.sockets.count == 0)
            #expect(scene.world.members[scene.client]?.openSockets == [])
            #expect(dht.shared.slots.isFree(now: scene.world.now + .seconds(20)))
            // The server forgets it too.
            scene.world.run(for: .seconds(90))
            #expect(scene.world.members[scene.server]?.dht.listener.incoming.isEmpty == true)
            #expect(scene.world.members[scene.server]?.openSockets == [])
        }
    }
}
