internal import Base
internal import DHT

/// A DHT is built node by node, idles, takes announcements and answers lookups, with churn or
/// without.
package enum DHTScenario {
    package static func run(_ options: DHTOptions) -> DHTResult {
        _ = ProcessMeter.residentBytesAtFirst
        var world = DHTWorld(options)
        let start = world.network.now
        world.addBootstrapNodes()
        world.addNodes()
        var result = DHTResult()
        // Idle: what the nodes say to each other when nobody wants anything.
        let (sent, idle) = (world.network.statistics.sent, Duration.seconds(60))
        world.run(for: idle)
        result.idleDatagramsPerMinute =
            Double(world.network.statistics.sent - sent) / Double(max(1, world.alive.count))
        result.bytesPerNode = ProcessMeter.residentBytesGrown / max(1, world.alive.count)
        result.tableCount = Distribution(
            world.alive.compactMap { world.members[$0].node?.tableCount })
        announceAndLookUp(&world)
        result.nodes = world.alive.count
        result.persistent = world.alive.count { world.members[$0].node?.isEphemeral == false }
        result.left = world.members.count - world.alive.count
        result.lookups = .init(world.walks.filter { $0.purpose == .lookup })
        result.announcements = .init(world.walks.filter { $0.purpose == .announce })
        result.virtualTime = world.network.now - start
        result.datagrams = world.network.statistics.sent
        return result
    }

    private static func announceAndLookUp(_ world: inout DHTWorld) {
        let options = world.options
        for _ in 0..<options.topics {
            let topic = world.addTopic()
            let moment = Int.random(in: 0..<20_000, using: &world.random)
            world.plan(.announce(topic: topic), at: world.network.now + .milliseconds(moment))
        }
        world.startChurn()
        world.run(for: .seconds(60))
        let span = max(1, Int(options.duration.components.seconds)) * 1000
        for index in 0..<options.lookups {
            let moment = Int.random(in: 0..<span, using: &world.random)
            world.plan(
                .lookup(topic: index % max(1, options.topics)),
                at: world.network.now + .milliseconds(moment))
        }
        world.run(for: options.duration + .seconds(60))
    }
}
