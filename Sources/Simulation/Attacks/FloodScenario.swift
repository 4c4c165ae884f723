internal import Base
internal import Crypto
internal import DHT

/// Very many announcements to one node, each with a good token and a good signature, under topics
/// and keys of their own: what they cost the node and what is left for others.
package enum FloodScenario {
    package struct Row: Sendable {
        package let origins: Int
        package let sent: Int
        /// Answered, so stored.
        package let taken: Int
        /// What the process has grown by since it began, at most.
        package let grownBytes: Int
        /// Per announcement, taken or not.
        package let processorTime: Duration
        /// Of announcements by others, each a single datagram.
        package let honestSent: Int
        package let honestTaken: Int
    }

    /// - Parameters:
    ///   - count: how many come, ten thousand in a virtual second.
    ///   - origins: from how many networks.
    package static func run(seed: UInt64, count: Int, origins: Int) -> Row? {
        guard var node = LoneNode(seed: seed) else { return nil }
        node.addNeighbours(60)
        var random = SeededRandom(seed: seed)
        let keyPair = KeyPair(seed: Bytes32(using: &random))
        var tokens: [Bytes32] = []
        var (sent, taken, honestSent, honestTaken) = (0, 0, 0, 0)
        var time = Duration.zero
        var grown = 0
        let batch = 500
        while sent < count {
            if sent.isMultiple(of: 50_000) {
                // Every five seconds: a token lasts 7.5. The pause is for the budget of one network.
                node.wait(.milliseconds(50))
                tokens = (0..<origins).compactMap { node.token(for: LoneNode.stranger($0)) }
                guard tokens.count == origins else { return nil }
                grown = max(grown, ProcessMeter.residentBytesGrown)
            }
            let datagrams = (0..<min(batch, count - sent)).map { index in
                node.announcement(
                    of: Bytes32(using: &random), by: keyPair,
                    token: tokens[(sent + index) % origins])
            }
            let pauses = datagrams.map { _ in Int.random(in: 0...200, using: &random) }
            let start = ProcessMeter.processorTime
            for (index, datagram) in datagrams.enumerated() {
                let source = LoneNode.stranger((sent + index) % origins)
                taken += node.flood(datagram, from: source)
                node.now = node.now + .microseconds(pauses[index])
            }
            time += ProcessMeter.processorTime - start
            sent += datagrams.count
            node.wait(.zero)
            // At any point between two of the flood.
            if Int.random(in: 0..<4, using: &random) == 0 {
                honestSent += 1
                if announceHonestly(&node, honestSent, &random) { honestTaken += 1 }
            }
        }
        grown = max(grown, ProcessMeter.residentBytesGrown)
        return Row(
            origins: origins, sent: sent, taken: taken, grownBytes: grown,
            processorTime: time / max(1, sent), honestSent: honestSent, honestTaken: honestTaken)
    }

    private static func announceHonestly(
        _ node: inout LoneNode, _ number: Int, _ random: inout SeededRandom
    ) -> Bool {
        let source = LoneNode.stranger(2_500_000 + number)
        let keyPair = KeyPair(seed: Bytes32(using: &random))
        guard let token = node.token(for: source) else { return false }
        let datagram = node.announcement(of: Bytes32(using: &random), by: keyPair, token: token)
        return node.ask(datagram, from: source) != nil
    }
}
