internal import Base
internal import Crypto
internal import DHT
internal import Wire

/// Hostile nodes take the places around a topic (threat T10). A node's place follows from its
/// address and port, so the attacker tries addresses until enough of them fall near.
package enum SybilScenario {
    package struct Row: Sendable {
        package let hostile: Int
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
        _ options: DHTOptions, hostile: Int, lies: Bool, lookups: Int = 40
    ) -> Row {
        var world = DHTWorld(options)
        world.addBootstrapNodes()
        world.addNodes()
        let early = world.addTopic()
        world.announce(early)
        world.run(for: .seconds(30))
        let late = world.addTopic(named: world.topics[early].name)
        world.addAdversaries(hostile, near: world.topics[early].name, lies: lies)
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
            hostile: hostile, behaviour: lies ? "lie" : "swallow",
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

    /// Hostile nodes on the addresses nearest to `target` of so many as an attacker tries.
    mutating func addAdversaries(_ count: Int, near target: Bytes32, lies: Bool) {
        var nearest: [(distance: KeyDistance, address: UInt32, id: Bytes32)] = []
        for _ in 0..<200_000 where count > 0 {
            let address =
                UInt32.random(in: 11...99, using: &random) << 24
                | UInt32.random(in: 1...0xff_fffe, using: &random)
            let endpoint = NetworkEndpoint(address: .v4(address), port: Self.serverPort)
            guard let id = NodeID.of(endpoint) else { continue }
            let distance = KeyDistance(id, target)
            if nearest.count == count, let last = nearest.last, last.distance <= distance {
                continue
            }
            let place = nearest.firstIndex { distance < $0.distance } ?? nearest.count
            nearest.insert((distance, address, id), at: place)
            if nearest.count > count { nearest.removeLast() }
        }
        let friends = nearest.map {
            NetworkEndpoint(address: .v4($0.address), port: Self.serverPort)
        }
        for (index, place) in nearest.enumerated() {
            let host = network.addHost(address: .v4(place.address))
            var configuration = DHTConfiguration(bootstrap: bootstrap, mode: .persistent)
            configuration.isFirewalled = false
            configuration.publicAddress = friends[index]
            start(host, configuration)
            members[host.index].adversary = Adversary(
                behaviour: lies ? .lie : .swallow, friends: friends, id: place.id)
            hostile.insert(friends[index])
            // Not one of the honest.
            alive.removeLast()
            members[host.index].place = -1
        }
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
