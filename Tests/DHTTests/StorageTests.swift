import Base
import Crypto
import DHT
import Simulation
import Testing
import Wire

/// What nodes keep for others, through the operations that put it there.
struct StorageTests {
    static let topic = DHTNodeTests.topic
    let first = DHTNodeTests.keyPair(1)
    let second = DHTNodeTests.keyPair(2)

    private func relay(_ number: UInt16) -> NetworkEndpoint {
        NetworkEndpoint(address: .v4(0x0102_0304), port: number)
    }

    private func peers(_ outcome: NodeNetwork.Outcome) -> Set<Bytes32> {
        Set(records(outcome).map(\.publicKey))
    }

    private func records(_ outcome: NodeNetwork.Outcome) -> [PeerRecord] {
        outcome.replies.flatMap { reply in
            reply.value.flatMap { try? LookupReply(decoding: $0) }?.peers ?? []
        }
    }

    // MARK: Announcements

    @Test(arguments: [5, 6] as [UInt64])
    func `an announced key is found, and not after it was taken back`(seed: UInt64) {
        let network = NodeNetwork.persistent(60, seed: seed)
        let asker = network.addAdaptive()
        network.run(for: .seconds(10))
        let (topic, keyPair, relays) = (Self.topic, first, [relay(1), relay(2)])
        let announced = network.finish(asker) { node, now, effects in
            node.announce(
                topic, keyPair: keyPair, relayAddresses: relays, now: now, into: &effects)
        }
        #expect(announced.committed == 20, "seed \(seed)")
        #expect(announced.commits.count == 20)

        let found = network.finish(3) { $0.lookup(topic, now: $1, into: &$2) }
        #expect(peers(found) == [keyPair.publicKey])
        #expect(records(found).allSatisfy { $0.relayAddresses == relays })
        #expect(records(found).count >= 19, "seed \(seed)")

        let removed = network.finish(asker) { node, now, effects in
            node.unannounce(topic, keyPair: keyPair, now: now, into: &effects)
        }
        #expect(removed.hasEnded)
        let after = network.finish(4) { $0.lookup(topic, now: $1, into: &$2) }
        #expect(peers(after).isEmpty, "seed \(seed)")
    }

    @Test func `a new announcement takes the place of an older one only when that is cleared`() {
        let network = NodeNetwork.persistent(30, seed: 7)
        let (topic, keyPair) = (Self.topic, first)
        for (relay, clear) in [(relay(1), false), (relay(2), false)] {
            _ = network.finish(5) { node, now, effects in
                node.announce(
                    topic, keyPair: keyPair, relayAddresses: [relay], clear: clear, now: now,
                    into: &effects)
            }
        }
        let kept = network.finish(6) { $0.lookup(topic, now: $1, into: &$2) }
        #expect(records(kept).allSatisfy { $0.relayAddresses == [relay(1)] })

        let new = relay(3)
        let cleared = network.finish(5) { node, now, effects in
            node.announce(
                topic, keyPair: keyPair, relayAddresses: [new], clear: true, now: now,
                into: &effects)
        }
        #expect(cleared.committed == 20)
        let replaced = network.finish(6) { $0.lookup(topic, now: $1, into: &$2) }
        #expect(!records(replaced).isEmpty)
        #expect(records(replaced).allSatisfy { $0.relayAddresses == [new] })
    }

    @Test func `who announces itself is found by its key, and its relays know its address`() {
        let network = NodeNetwork.persistent(40, seed: 8)
        let keyPair = first
        let target = Blake2b.hash256(keyPair.publicKey.bytes)
        let server = network.addAdaptive(behind: .fullCone)
        network.run(for: .seconds(10))
        let announced = network.finish(server) { node, now, effects in
            node.query(
                DHTQuery(
                    .findPeer, target: target,
                    commit: .announce(keyPair, relayAddresses: [], bump: 0)),
                now: now, into: &effects)
        }
        #expect(announced.committed == 20)
        let found = network.finish(2) { $0.findPeer(keyPair.publicKey, now: $1, into: &$2) }
        let holders = found.replies.filter { $0.value != nil }
        #expect(holders.count >= 19)
        for holder in holders {
            let record = holder.value.flatMap { try? PeerRecord(decoding: $0) }
            #expect(record?.publicKey == keyPair.publicKey)
            let number = network.nodes.indices.first { network.endpoint($0) == holder.from }
            let forward = number.flatMap { network.nodes[$0].forwardAddress(for: target) }
            #expect(forward == announced.closest.first?.to)
        }
        // LOOKUP of the same target shows it as well.
        let looked = network.finish(2) { $0.lookup(target, now: $1, into: &$2) }
        #expect(peers(looked) == [keyPair.publicKey])
    }

    @Test func `a record is gone after its age, unless announced again`() {
        let network = NodeNetwork.persistent(30, seed: 9)
        let (topic, keyPair, other) = (Self.topic, first, second)
        for pair in [keyPair, other] {
            _ = network.finish(5) { node, now, effects in
                node.announce(
                    topic, keyPair: pair, relayAddresses: [], now: now, into: &effects)
            }
        }
        for _ in 0..<3 {
            network.run(for: .seconds(10 * 60))
            _ = network.finish(5) { node, now, effects in
                node.announce(
                    topic, keyPair: keyPair, relayAddresses: [], now: now, into: &effects)
            }
        }
        let found = network.finish(6) { $0.lookup(topic, now: $1, into: &$2) }
        #expect(peers(found) == [keyPair.publicKey])
    }

    // MARK: Single requests

    /// A node, somebody who asks it, and a token for that.
    private func pair(
        seed: UInt64
    ) throws -> (network: NodeNetwork, asker: Int, node: NetworkEndpoint, token: Bytes32) {
        let network = NodeNetwork.persistent(8, seed: seed)
        let asker = network.addAdaptive()
        network.run(for: .seconds(5))
        let node = network.endpoint(2)
        let reply = network.ask(asker, DHTRequest(.lookup, target: Self.topic), of: node)
        return (network, asker, node, try #require(reply?.token))
    }

    private func announcement(
        of network: NodeNetwork, token: Bytes32, by keyPair: KeyPair? = nil,
        node: Bytes32? = nil, target: Bytes32 = topic, refresh: Bytes32? = nil, bump: UInt64 = 0
    ) -> DHTRequest {
        let message = AnnounceMessage.signed(
            .announce, by: keyPair ?? first, target: target, node: node ?? network.nodes[2].tableID,
            token: token, refresh: refresh, bump: bump)
        return DHTRequest(.announce, target: target, value: message.encoded(), token: token)
    }

    @Test func `a bad token is an error with a fresh token and closer nodes`() throws {
        let (network, asker, node, _) = try pair(seed: 20)
        let bad = announcement(of: network, token: Bytes32(repeating: 0xee))
        let reply = try #require(network.ask(asker, bad, of: node))
        #expect(reply.error == DHTErrorCode.invalidToken)
        #expect(!reply.closerNodes.isEmpty)
        let token = try #require(reply.token)
        let good = announcement(of: network, token: token)
        let accepted = try #require(network.ask(asker, good, of: node))
        #expect(accepted.error == 0)
        #expect(accepted.token == nil && accepted.closerNodes.isEmpty)
    }

    @Test func `a write without token is not answered`() throws {
        let (network, asker, node, token) = try pair(seed: 21)
        var request = announcement(of: network, token: token)
        request.token = nil
        #expect(network.ask(asker, request, of: node) == nil)
    }

    @Test func `an old announcement is refused when it is played again`() throws {
        let (network, asker, node, token) = try pair(seed: 22)
        let request = announcement(of: network, token: token)
        #expect(network.ask(asker, request, of: node)?.error == 0)
        network.run(for: .seconds(16))
        let replayed = try #require(network.ask(asker, request, of: node))
        #expect(replayed.error == DHTErrorCode.invalidToken)
        // With the fresh token of that answer the old signature says nothing either.
        var forged = request
        forged.token = replayed.token
        #expect(network.ask(asker, forged, of: node) == nil)
    }

    @Test func `nobody announces for another, elsewhere, or under another topic`() throws {
        let (network, asker, node, token) = try pair(seed: 23)
        let good = token
        let wrongNode = announcement(of: network, token: good, node: network.nodes[3].tableID)
        #expect(network.ask(asker, wrongNode, of: node) == nil)
        var wrongTopic = announcement(of: network, token: good)
        wrongTopic.target = Bytes32(repeating: 1)
        #expect(network.ask(asker, wrongTopic, of: node) == nil)
        var message = AnnounceMessage.signed(
            .announce, by: first, target: Self.topic, node: network.nodes[2].tableID, token: good)
        message.peer?.publicKey = second.publicKey
        let stolen = DHTRequest(
            .announce, target: Self.topic, value: message.encoded(), token: good)
        #expect(network.ask(asker, stolen, of: node) == nil)
        #expect(
            network.ask(asker, DHTRequest(.lookup, target: Self.topic), of: node)?.value == nil)
    }

    @Test func `a bump counts up to a minute ahead and only forwards`() throws {
        let (network, asker, node, token) = try pair(seed: 24)
        let good = token
        func bump() throws -> UInt64 {
            let reply = network.ask(asker, DHTRequest(.lookup, target: Self.topic), of: node)
            return try LookupReply(decoding: #require(reply?.value)).bump
        }
        let now = 1_700_000_000_000 + network.now.nanoseconds / 1_000_000
        for (sent, expected) in [
            (now + 70_000, 0), (now + 50_000, now + 50_000), (now, now + 50_000),
        ] {
            let request = announcement(of: network, token: good, bump: sent)
            #expect(network.ask(asker, request, of: node)?.error == 0)
            #expect(try bump() == expected)
        }
    }

    @Test func `a chain of refresh tokens renews an announcement without signatures`() throws {
        let (network, asker, node, token) = try pair(seed: 25)
        let third = Bytes32(repeating: 3)
        let middle = Blake2b.hash256(third.bytes)
        let start = Blake2b.hash256(middle.bytes)
        let request = announcement(of: network, token: token, refresh: start)
        #expect(network.ask(asker, request, of: node)?.error == 0)
        for (refresh, isTaken) in [(middle, true), (middle, false), (third, true)] {
            network.run(for: .seconds(6 * 60))
            let fresh = network.ask(asker, DHTRequest(.lookup, target: Self.topic), of: node)
            #expect(fresh?.value != nil)
            let renewal = DHTRequest(
                .announce, target: Self.topic,
                value: AnnounceMessage(peer: nil, refresh: refresh).encoded(), token: fresh?.token)
            #expect((network.ask(asker, renewal, of: node) != nil) == isTaken)
        }
        // The announcement itself would be gone by now.
        network.run(for: .seconds(12 * 60))
        let found = network.ask(asker, DHTRequest(.lookup, target: Self.topic), of: node)
        #expect(found?.value != nil)
    }

    @Test func `an ephemeral node serves no storage but answers with closer nodes`() throws {
        let network = NodeNetwork.persistent(8, seed: 26)
        let (asker, other) = (network.addAdaptive(), network.addAdaptive())
        network.run(for: .seconds(5))
        let node = network.endpoint(other, .client)
        let reply = try #require(
            network.ask(asker, DHTRequest(.lookup, target: Self.topic), of: node))
        #expect(reply.error == DHTErrorCode.unknownCommand)
        #expect(reply.id == nil && reply.token == nil)
        #expect(!reply.closerNodes.isEmpty)
    }

    // MARK: Values

    @Test func `a mutable value is kept with the highest sequence number`() throws {
        let network = NodeNetwork.persistent(40, seed: 30)
        let keyPair = first
        func put(_ sequence: UInt64, _ text: String) -> NodeNetwork.Outcome {
            network.finish(3) { node, now, effects in
                node.mutablePut(
                    keyPair: keyPair, sequence: sequence, value: Array(text.utf8), now: now,
                    into: &effects)
            }
        }
        #expect(put(5, "five").committed == 20)
        #expect(put(5, "five").committed == 20)
        let reused = put(5, "other")
        #expect(reused.committed == 0)
        #expect(reused.commits.allSatisfy { $0.error == DHTErrorCode.sequenceReused })
        let low = put(4, "four")
        #expect(low.commits.allSatisfy { $0.error == DHTErrorCode.sequenceTooLow })
        #expect(put(6, "six").committed == 20)

        let found = network.finish(9) { $0.mutableGet(keyPair.publicKey, now: $1, into: &$2) }
        #expect(!found.replies.isEmpty)
        for reply in found.replies {
            let value = try MutableValue(decoding: #require(reply.value))
            #expect(value.sequence == 6 && value.value == Array("six".utf8))
        }
        let later = network.finish(9) {
            $0.mutableGet(keyPair.publicKey, atLeast: 7, now: $1, into: &$2)
        }
        #expect(later.replies.isEmpty)
    }

    @Test func `bytes are found by their hash`() throws {
        let network = NodeNetwork.persistent(40, seed: 31)
        let value = Array("what was said".utf8)
        let put = network.finish(3) { $0.immutablePut(value, now: $1, into: &$2) }
        #expect(put.committed == 20)
        let target = Blake2b.hash256(value)
        let found = network.finish(20) { $0.immutableGet(target, now: $1, into: &$2) }
        #expect(found.replies.count == 1)
        #expect(found.replies.first?.value == value)
        let missing = network.finish(20) {
            $0.immutableGet(Bytes32(repeating: 9), now: $1, into: &$2)
        }
        #expect(missing.replies.isEmpty && missing.hasEnded)
    }

    @Test func `values that are too large or not what their target says are not stored`() throws {
        let (network, asker, node, token) = try pair(seed: 32)
        let large = [UInt8](repeating: 7, count: 1300)
        for (value, target) in [
            (large, Blake2b.hash256(large)), ([1, 2, 3], Bytes32(repeating: 5)),
        ] {
            let request = DHTRequest(
                .immutablePut, target: target, value: value, token: token)
            #expect(network.ask(asker, request, of: node) == nil)
        }
    }
}
