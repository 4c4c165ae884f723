internal import Base
internal import Crypto
internal import DHT

/// Announcing and looking up.
extension DHTWorld {
    /// As often as Hyperswarm announces anew.
    private static let announceAgainAfter: Duration = .seconds(660)

    /// A topic that a random node announces.
    mutating func addTopic() -> Int {
        let host = randomNode()
        topics.append(
            Topic(
                name: Bytes32(using: &random),
                keyPair: KeyPair(seed: Bytes32(using: &random)), host: host))
        return topics.count - 1
    }

    /// Any honest node that runs.
    mutating func randomNode() -> Int {
        alive[Int.random(in: 0..<alive.count, using: &random)]
    }

    mutating func announce(_ topic: Int) {
        let (name, keyPair, host) = (topics[topic].name, topics[topic].keyPair, topics[topic].host)
        guard
            let query = members[host].node?.announce(
                name, keyPair: keyPair, relayAddresses: [], now: network.now, into: &effects)
        else { return }
        watch(
            query,
            as: Walk(
                .announce, host: host, target: name, publicKey: keyPair.publicKey,
                startedAt: network.now))
        settle(host)
        plan(.announce(topic: topic), at: network.now + Self.announceAgainAfter)
    }

    /// By a random node that does not announce it.
    mutating func lookup(_ topic: Int) {
        var host = randomNode()
        while host == topics[topic].host { host = randomNode() }
        let name = topics[topic].name
        guard let query = members[host].node?.lookup(name, now: network.now, into: &effects) else {
            return
        }
        watch(
            query,
            as: Walk(
                .lookup, host: host, target: name,
                publicKey: topics[topic].keyPair.publicKey, startedAt: network.now))
        settle(host)
    }

    /// The ids of the twenty honest persistent nodes that are nearest to a target.
    func trueClosest(to target: Bytes32) -> [Bytes32] {
        var nearest: [(distance: KeyDistance, id: Bytes32)] = []
        for index in alive {
            guard let node = members[index].node, !node.isEphemeral else { continue }
            let distance = KeyDistance(node.tableID, target)
            if nearest.count == DHTLimits.bucketSize, let last = nearest.last,
                last.distance <= distance
            {
                continue
            }
            let place = nearest.firstIndex { distance < $0.distance } ?? nearest.count
            nearest.insert((distance, node.tableID), at: place)
            if nearest.count > DHTLimits.bucketSize { nearest.removeLast() }
        }
        return nearest.map(\.id)
    }
}
