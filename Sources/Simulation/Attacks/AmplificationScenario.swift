internal import Base
internal import Crypto
internal import DHT
internal import Wire

/// What a node sends to an address that has proved nothing, for the bytes that came under that
/// address (threat T9): bytes of UDP payload, with a node that holds as much as it can of what is
/// asked for.
package enum AmplificationScenario {
    package struct Row: Sendable {
        package let command: String
        package let requestBytes: Int
        /// Of all that one request leads to, to the asker and to others.
        package let replyBytes: Int
        /// Bytes in and out of as many requests, 200 a second, under the same address.
        package let sustainedRequestBytes: Int
        package let sustainedReplyBytes: Int

        package var ratio: Double { Double(replyBytes) / Double(requestBytes) }
        package var sustainedRatio: Double {
            Double(sustainedReplyBytes) / Double(max(1, sustainedRequestBytes))
        }
    }

    private static let topic = Bytes32(repeating: 0xaa)
    private static let value = [UInt8](repeating: 7, count: 1000)

    /// - Parameter requests: of each command, after the first; by default a minute of them.
    package static func run(seed: UInt64, requests count: Int = 12_000) -> [Row] {
        guard var node = LoneNode(seed: seed) else { return [] }
        node.addNeighbours(60)
        let keyPair = fill(&node, seed: seed)
        return requests(node.endpoint, keyPair).enumerated().map { number, request in
            // Each command under an address, and with budgets, of its own.
            var node = node
            node.wait(.seconds(5))
            let victim = LoneNode.stranger(2_000_000 + number)
            let size = request.bytes.count
            let first = node.send(request.bytes, from: victim).reduce(0) { $0 + $1.bytes.count }
            var (sent, received) = (0, 0)
            for _ in 0..<count {
                sent += size
                received += node.send(request.bytes, from: victim).reduce(0) { $0 + $1.bytes.count }
                node.wait(.milliseconds(5))
            }
            return Row(
                command: request.name, requestBytes: size, replyBytes: first,
                sustainedRequestBytes: sent, sustainedReplyBytes: received)
        }
    }

    /// Twenty announcements with three relays each, a self-announcement and two values of 1,000
    /// bytes.
    private static func fill(_ node: inout LoneNode, seed: UInt64) -> KeyPair {
        var random = SeededRandom(seed: seed)
        let relays = (0..<3).map { LoneNode.stranger(500 + $0) }
        for number in 0..<20 {
            let source = LoneNode.stranger(100 + number)
            guard let token = node.token(for: source) else { continue }
            let keyPair = KeyPair(seed: Bytes32(using: &random))
            let datagram = node.announcement(
                of: topic, by: keyPair, token: token, relayAddresses: relays)
            _ = node.ask(datagram, from: source)
        }
        let keyPair = KeyPair(seed: Bytes32(using: &random))
        let source = LoneNode.stranger(200)
        guard let token = node.token(for: source) else { return keyPair }
        let own = Blake2b.hash256(keyPair.publicKey.bytes)
        _ = node.ask(
            node.announcement(of: own, by: keyPair, token: token, relayAddresses: relays),
            from: source)
        let content = MutableValue(sequence: 1, value: value, signedBy: keyPair)
        _ = node.ask(
            RawPacket.request(
                .mutablePut, to: node.endpoint, token: token, target: own,
                value: MutablePutMessage(publicKey: keyPair.publicKey, content: content).encoded()),
            from: source)
        _ = node.ask(
            RawPacket.request(
                .immutablePut, to: node.endpoint, token: token, target: Blake2b.hash256(value),
                value: value), from: source)
        return keyPair
    }

    private static func requests(
        _ to: NetworkEndpoint, _ keyPair: KeyPair
    ) -> [(name: String, bytes: [UInt8])] {
        let own = Blake2b.hash256(keyPair.publicKey.bytes)
        func request(
            _ command: DHTCommand, token: Bytes32? = nil, target: Bytes32? = nil,
            value: [UInt8]? = nil
        ) -> [UInt8] {
            RawPacket.request(command, to: to, token: token, target: target, value: value)
        }
        var neighbour = WireWriter(reserving: 6)
        neighbour.writeEndpointBytes(LoneNode.stranger(1_000_000))
        var handshake = WireWriter(reserving: 200)
        // FROM_CLIENT with 180 bytes of Noise.
        handshake.writeRaw([0, 0])
        handshake.writeBuffer([UInt8](repeating: 1, count: 180))
        var punch = WireWriter(reserving: 200)
        // FROM_CLIENT to an address of the sender's choice.
        punch.writeRaw([1, 0, 0])
        punch.writeBuffer([UInt8](repeating: 1, count: 100))
        punch.writeEndpointBytes(LoneNode.stranger(700))
        return [
            ("PING", request(.ping)), ("PING_NAT", request(.pingNAT, value: [1, 2])),
            ("FIND_NODE", request(.findNode, target: topic)),
            ("DOWN_HINT", request(.downHint, value: neighbour.bytes)),
            (
                "unknown, with a target",
                request(.unknown(isInternal: false, number: 60), target: topic)
            ),
            ("FIND_PEER", request(.findPeer, target: own)),
            ("LOOKUP", request(.lookup, target: topic)),
            ("MUTABLE_GET, 1,000 bytes", request(.mutableGet, target: own, value: [0])),
            ("IMMUTABLE_GET, 1,000 bytes", request(.immutableGet, target: Blake2b.hash256(value))),
            ("ANNOUNCE, no token", request(.announce, target: topic, value: [1])),
            (
                "ANNOUNCE, bad token",
                request(.announce, token: topic, target: topic, value: [1])
            ),
            (
                "PEER_HANDSHAKE, passed on",
                request(.peerHandshake, target: own, value: handshake.bytes)
            ),
            (
                "PEER_HANDSHAKE, peer unknown",
                request(.peerHandshake, target: topic, value: handshake.bytes)
            ),
            (
                "PEER_HOLEPUNCH, passed on",
                request(.peerHolepunch, target: topic, value: punch.bytes)
            ),
        ]
    }
}
