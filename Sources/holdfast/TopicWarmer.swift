import Base
import DHT
import Swarm

/// Looks topics up, again and again, and tells what was found. It does no I/O: the queries that it
/// wants come out as topics, and their events go in.
struct TopicWarmer {
    /// What one walk to a topic found.
    struct Finding: Encodable, Equatable {
        let topic: String
        let name: String
        /// Keys announced under the topic.
        let devices: Int
        /// Nodes that answered.
        let nodes: Int
        let milliseconds: Int

        private enum CodingKeys: String, CodingKey {
            case topic, name, devices, nodes, milliseconds
        }

        /// A line for people.
        var text: String {
            let found =
                switch devices {
                case 0: "no device is announced"
                case 1: "1 device is announced"
                default: "\(devices) devices are announced"
                }
            guard nodes > 0 else { return "\(name) \(topic.prefix(8)): no node answered" }
            return "\(name) \(topic.prefix(8)): \(found); \(nodes) nodes answered in "
                + "\(milliseconds) ms"
        }
    }

    private struct Walk {
        let topic: Bytes32
        let startedAt: Instant
        var devices: Set<Bytes32> = []
        var nodes = 0
    }

    /// Keys counted at one topic; a flood of forged announcements ends here.
    private static let devicesMax = 10_000
    /// Announcements live for 13 minutes at least.
    private static let interval: Duration = .seconds(300)

    private let names: [Bytes32: String]
    private var discovery: Discovery
    private var walks: [QueryID: Walk] = [:]

    init(_ topics: [(name: String, topic: Bytes32)], now: Instant) {
        var limits = DiscoveryLimits()
        limits.refreshInterval = Self.interval
        discovery = Discovery(limits: limits)
        var names: [Bytes32: String] = [:]
        for (name, topic) in topics {
            names[topic] = name
            _ = discovery.join(topic, announces: false, looksUp: true, now: now)
        }
        self.names = names
    }

    /// The topics to look up now; each is answered with `began`.
    mutating func due(now: Instant) -> [Bytes32] {
        var effects: [Discovery.Effect] = []
        _ = discovery.advance(now: now, into: &effects)
        return effects.compactMap { effect in
            guard case .lookup(let topic) = effect else { return nil }
            return topic
        }
    }

    mutating func began(_ id: QueryID, topic: Bytes32, now: Instant) {
        walks[id] = Walk(topic: topic, startedAt: now)
    }

    /// - Returns: what was found, when a walk has ended.
    mutating func handle(
        _ event: DHTEvent, now: Instant, using random: inout some RandomNumberGenerator
    ) -> Finding? {
        switch event {
        case .queryReply(let id, let reply):
            guard walks[id] != nil else { return nil }
            walks[id]?.nodes += 1
            guard let value = reply.value, let found = try? LookupReply(decoding: value) else {
                return nil
            }
            for peer in found.peers where (walks[id]?.devices.count ?? 0) < Self.devicesMax {
                walks[id]?.devices.insert(peer.publicKey)
            }
            return nil
        case .queryEnded(let id, _, _):
            guard let walk = walks.removeValue(forKey: id) else { return nil }
            discovery.ended(
                walk.topic, replies: walk.nodes, peers: walk.devices.count, now: now,
                using: &random)
            return Finding(
                topic: walk.topic.hex, name: names[walk.topic] ?? "topic",
                devices: walk.devices.count, nodes: walk.nodes,
                milliseconds: Int((now - walk.startedAt).nanosecondsClamped / 1_000_000))
        default: return nil
        }
    }
}
