internal import Base
internal import Crypto
internal import DHT

/// Peers behind every kind of NAT find each other in a network of many nodes and connect.
package enum ConnectScenario {
    /// All attempts from behind one kind of NAT to behind another.
    package struct Pair: Sendable {
        package let client: NATKind
        package let server: NATKind
        package let attempts: Int
        /// From the dial until the client has read the server's first bytes.
        package let times: Distribution<Duration>
        /// How, and how often, by name.
        package let paths: [(name: String, count: Int)]
        /// Why not, and how often, by name.
        package let failures: [(name: String, count: Int)]
    }

    private struct Attempt {
        let client: Int
        let server: Int
        let pair: Int
        var startedAt = Instant.zero
    }

    /// - Parameter attempts: of each pair; each with a client and a server of its own.
    package static func run(
        _ options: DHTOptions, kinds: [NATKind] = NATKind.allCases.filter { $0 != .udpBlocked },
        attempts count: Int = 5
    ) -> [Pair] {
        var world = DHTWorld(options)
        world.addBootstrapNodes()
        world.addNodes()
        let pairs = kinds.flatMap { client in kinds.map { (client: client, server: $0) } }
        var attempts: [Attempt] = []
        for (index, pair) in pairs.enumerated() {
            for _ in 0..<count {
                let server = world.addPeer(behind: pair.server)
                attempts.append(
                    Attempt(
                        client: world.addPeer(behind: pair.client), server: server, pair: index))
            }
            world.run(for: .milliseconds(500))
        }
        world.run(for: .seconds(30))
        for attempt in attempts {
            world.call(attempt.server) { dht, now, effects in dht.listen(now: now, into: &effects) }
            world.run(for: .milliseconds(20))
        }
        world.run(for: .seconds(30))
        for index in attempts.indices {
            dial(&attempts[index], in: &world)
            world.run(for: .milliseconds(20))
        }
        world.run(for: .seconds(120))
        return pairs.enumerated().map { index, pair in
            summary(
                pair.client, pair.server, attempts.filter { $0.pair == index }, in: world)
        }
    }

    private static func dial(_ attempt: inout Attempt, in world: inout DHTWorld) {
        guard let key = world.members[attempt.server].peer?.dht.keyPair.publicKey else { return }
        attempt.startedAt = world.network.now
        world.call(attempt.client) { dht, now, effects in
            _ = dht.connect(to: key, now: now, into: &effects)
        }
    }

    private static func summary(
        _ client: NATKind, _ server: NATKind, _ attempts: [Attempt], in world: DHTWorld
    ) -> Pair {
        var times: [Duration] = []
        var (paths, failures): ([String: Int], [String: Int]) = ([:], [:])
        for attempt in attempts {
            let peer = world.members[attempt.client].peer
            // Both must have heard the other.
            if let heardAt = peer?.heardAt, world.members[attempt.server].peer?.heardAt != nil {
                times.append(heardAt - attempt.startedAt)
                paths[peer?.path?.rawValue ?? "", default: 0] += 1
            } else {
                failures[peer?.failure?.rawValue ?? "nothing heard", default: 0] += 1
            }
        }
        return Pair(
            client: client, server: server, attempts: attempts.count, times: Distribution(times),
            paths: paths.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
            failures: failures.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }
}
