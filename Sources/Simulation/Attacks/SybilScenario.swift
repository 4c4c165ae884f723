internal import Base
internal import Crypto
internal import DHT
internal import Wire

/// Hostile nodes take the places around a topic (threat T10). A node's place follows from its
/// address and port, so the attacker tries addresses until enough of them fall near.
package enum SybilScenario {
    /// Where the attacker's nodes are.
    package enum Spread: String, Sendable {
        /// On addresses of its choice, each in a network of its own.
        case anywhere
        /// On the ports of one address.
        case oneAddress = "one address"
    }

    package struct Row: Sendable {
        package let hostile: Int
        package let spread: Spread
        package let behaviour: String
        /// Hostile nodes among the twenty nearest of all.
        package let amongClosest: Int
        /// Honest nodes that keep an announcement made after the attacker came.
        package let kept: Int
        package let lookups: Int
        package let found: Int
        /// Of a topic announced before the attacker came.
        package let foundEarlier: Int
    }

    /// One row: a topic with so many hostile nodes around it, announced before and after they came.
    package static func run(
        _ options: DHTOptions, hostile: Int, lies: Bool, spread: Spread = .anywhere,
        lookups: Int = 40
    ) -> Row {
        var world = DHTWorld(options)
        world.addBootstrapNodes()
        world.addNodes()
        let early = world.addTopic()
        world.announce(early)
        world.run(for: .seconds(30))
        let late = world.addTopic(named: world.topics[early].name)
        world.addAdversaries(hostile, near: world.topics[early].name, lies: lies, spread: spread)
        world.run(for: .seconds(120))
        let announced = world.walks.count
        world.announce(late)
        world.run(for: .seconds(30))
        let firstLookup = world.walks.count
        for index in 0..<lookups {
            let moment = Duration.milliseconds(index * 250)
            world.plan(.lookup(topic: early), at: world.network.now + moment)
            world.plan(.lookup(topic: late), at: world.network.now + moment)
        }
        world.run(for: .milliseconds(lookups * 250) + .seconds(60))
        let done = world.walks[firstLookup...].filter { $0.purpose == .lookup }
        let (earlyKey, lateKey) = (
            world.topics[early].keyPair.publicKey, world.topics[late].keyPair.publicKey
        )
        return Row(
            hostile: hostile, spread: spread, behaviour: lies ? "lie" : "swallow",
            amongClosest: world.hostileAmongClosest(to: world.topics[early].name),
            kept: world.walks[announced].kept, lookups: lookups,
            found: done.count { $0.publicKey == lateKey && $0.foundAt != nil },
            foundEarlier: done.count { $0.publicKey == earlyKey && $0.foundAt != nil })
    }
}

extension DHTWorld {
    mutating func addTopic(named name: Bytes32) -> Int {
        topics.append(
            Topic(
                name: name, keyPair: KeyPair(seed: Bytes32(using: &random)), host: randomNode()))
        return topics.count - 1
    }

    /// Hostile nodes at the places nearest to `target` of all that the attacker can try.
    mutating func addAdversaries(
        _ count: Int, near target: Bytes32, lies: Bool, spread: SybilScenario.Spread
    ) {
        // One address means many ports of it, behind a NAT that lets everybody in.
        var behaviour = NATBehaviour.fullCone
        behaviour.timeout = .seconds(1 << 30)
        let realm = spread == .oneAddress ? network.addNAT(behaviour) : .internet
        let probe = network.addHost(in: realm)
        guard case .v4(let own) = network.publicAddress(of: probe) else { return }
        var places: [(distance: KeyDistance, endpoint: NetworkEndpoint, id: Bytes32)] = []
        let tries = spread == .oneAddress ? 1024...65535 : 1...200_000
        for number in tries where count > 0 {
            let endpoint =
                spread == .oneAddress
                ? NetworkEndpoint(address: .v4(own), port: UInt16(number))
                : NetworkEndpoint(address: .v4(anyPublicAddress()), port: Self.serverPort)
            guard let id = NodeID.of(endpoint) else { continue }
            let distance = KeyDistance(id, target)
            if places.count == count, let last = places.last, last.distance <= distance {
                continue
            }
            let index = places.firstIndex { distance < $0.distance } ?? places.count
            places.insert((distance, endpoint, id), at: index)
            if places.count > count { places.removeLast() }
        }
        let friends = places.map(\.endpoint)
        hostile.formUnion(friends)
        for place in places {
            let host =
                spread == .oneAddress
                ? network.addHost(in: realm)
                : network.addHost(address: place.endpoint.address)
            var configuration = DHTConfiguration(bootstrap: bootstrap, mode: .persistent)
            configuration.isFirewalled = false
            configuration.publicAddress = place.endpoint
            configuration.serverPort = place.endpoint.port
            start(host, configuration)
            members[host.index].adversary = Adversary(
                behaviour: lies ? .lie : .swallow, friends: friends, id: place.id)
            // Not one of the honest.
            alive.removeLast()
            members[host.index].place = -1
        }
    }

    private mutating func anyPublicAddress() -> UInt32 {
        UInt32.random(in: 11...99, using: &random) << 24
            | UInt32.random(in: 1...0xff_fffe, using: &random)
    }

    func hostileAmongClosest(to target: Bytes32) -> Int {
        var all: [(distance: KeyDistance, isHostile: Bool)] = []
        for member in members {
            guard let node = member.node, !node.isEphemeral else { continue }
            all.append((KeyDistance(node.tableID, target), member.adversary != nil))
        }
        all.sort { $0.distance < $1.distance }
        return all.prefix(DHTLimits.bucketSize).count(where: \.isHostile)
    }
}
