import Base
import Crypto
import DHT
import Simulation
import Testing
import Wire

/// Networks of nodes: they find each other, and what is stored in them.
struct DHTNodeTests {
    static let topic = Blake2b.hash256(Array("topic".utf8))

    static func keyPair(_ number: UInt8) -> KeyPair { KeyPair(seed: Bytes32(repeating: number)) }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `nodes find each other from one bootstrap node`(seed: UInt64) {
        let network = NodeNetwork.persistent(50, seed: seed)
        for (number, node) in network.nodes.enumerated() {
            #expect(network.events[number].contains(.ready), "node \(number), seed \(seed)")
            #expect(!node.isEphemeral)
            #expect(node.tableCount >= 20, "node \(number) knows \(node.tableCount), seed \(seed)")
        }
    }

    @Test func `a walk finds the closest nodes of all`() {
        let seed: UInt64 = 11
        let network = NodeNetwork.persistent(100, seed: seed)
        let target = Self.topic
        let outcome = network.finish(7) { node, now, effects in
            node.query(DHTQuery(.findNode, target: target), now: now, into: &effects)
        }
        func distance(_ id: Bytes32) -> [UInt8] { zip(id.bytes, target.bytes).map { $0 ^ $1 } }
        let own = network.nodes[7].tableID
        let expected = network.nodes.map(\.tableID).filter { $0 != own }
            .sorted { distance($0).lexicographicallyPrecedes(distance($1)) }.prefix(20)
        let found = outcome.closest.compactMap(\.id)
        #expect(found.count == 20)
        #expect(Set(found).intersection(expected).count >= 19, "seed \(seed)")
        #expect(found.prefix(8) == expected.prefix(8), "seed \(seed)")
    }
}
