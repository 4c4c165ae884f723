import Base
import Crypto
import DHT
import Simulation
import Testing
import Wire

/// Nodes that die and nodes that come.
struct ChurnTests {
    @Test func `dead nodes leave the tables, and nobody is asked for long`() {
        let network = NodeNetwork.persistent(60, seed: 60)
        for node in 20..<40 { network.kill(node) }
        let outcome = network.finish(3) {
            $0.lookup(DHTNodeTests.topic, now: $1, into: &$2)
        }
        #expect(outcome.hasEnded)
        #expect(outcome.closest.count == 20)
        network.run(for: .seconds(40 * 60))
        let dead = Set((20..<40).map { network.nodes[$0].tableID })
        for node in network.alive {
            let known = network.nodes[node].recentNodes(1000).compactMap { NodeID.of($0) }
            #expect(known.count >= 20)
            #expect(dead.isDisjoint(with: known), "node \(node)")
        }
    }

    @Test func `who learns that a node is down tells those that named it`() {
        let network = NodeNetwork.persistent(40, seed: 61)
        let dead = 17
        let id = network.nodes[dead].tableID
        network.kill(dead)
        let knewBefore = network.alive.filter { knows($0, id, network) }.count
        #expect(knewBefore > 10)
        // One walk to its place: it is asked there and does not answer.
        _ = network.finish(3) { $0.query(DHTQuery(.findNode, target: id), now: $1, into: &$2) }
        network.run(for: .seconds(10))
        let knowAfter = network.alive.filter { knows($0, id, network) }.count
        #expect(knowAfter < knewBefore / 2, "\(knewBefore) before, \(knowAfter) after")
    }

    private func knows(_ node: Int, _ id: Bytes32, _ network: NodeNetwork) -> Bool {
        network.nodes[node].closestNodes(to: id, 1).first.flatMap { NodeID.of($0) } == id
    }

    @Test(arguments: [62, 63] as [UInt64])
    func `a record is found while half of the nodes change in half an hour`(seed: UInt64) {
        let network = NodeNetwork.persistent(60, seed: seed, loss: 0.02)
        let (topic, keyPair) = (DHTNodeTests.topic, DHTNodeTests.keyPair(1))
        let home = network.addAdaptive(behind: .portRestricted)
        network.run(for: .seconds(10))
        var random = SeededRandom(seed: seed)
        var found = 0
        for _ in 0..<30 {
            if let victim = network.alive.filter({ $0 > 0 && $0 != home })
                .randomElement(using: &random)
            {
                network.kill(victim)
            }
            network.addPersistent()
            _ = network.finish(home) { node, now, effects in
                node.announce(
                    topic, keyPair: keyPair, relayAddresses: [], now: now, into: &effects)
            }
            network.run(for: .seconds(50))
            guard
                let asker = network.alive.filter({ $0 != home }).randomElement(using: &random)
            else { continue }
            let outcome = network.finish(asker) { $0.lookup(topic, now: $1, into: &$2) }
            let peers = outcome.replies.flatMap { reply in
                reply.value.flatMap { try? LookupReply(decoding: $0) }?.peers ?? []
            }
            if peers.contains(where: { $0.publicKey == keyPair.publicKey }) { found += 1 }
        }
        #expect(found == 30, "seed \(seed)")
    }

    @Test func `a network whose bootstrap node is gone goes on, and grows again when it is back`() {
        let network = NodeNetwork.persistent(20, seed: 64)
        network.kill(0)
        network.run(for: .seconds(600))
        let outcome = network.finish(5) { $0.lookup(DHTNodeTests.topic, now: $1, into: &$2) }
        #expect(outcome.closest.count == 18)
        let stranded = network.addAdaptive()
        network.run(for: .seconds(60))
        #expect(network.events[stranded].contains(.ready))
        #expect(network.nodes[stranded].tableCount == 0)
    }

    @Test func `a node that loses the network says so, and when it is back`() {
        let network = NodeNetwork.persistent(30, seed: 65)
        let node = network.addAdaptive()
        network.run(for: .seconds(120))
        network.events[node].removeAll()
        network.network.setPartition(1, of: network.hosts[node])
        network.run(for: .seconds(600))
        #expect(network.events[node].contains(.online(false)))
        network.network.setPartition(0, of: network.hosts[node])
        network.run(for: .seconds(600))
        #expect(
            network.events[node].last { if case .online = $0 { true } else { false } }
                == .online(true))
        #expect(network.nodes[node].tableCount > 10)
    }
}
