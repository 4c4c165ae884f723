import Base
import Chunks
import FileTree
import Testing

@testable import Share

/// Members write down the digest of their view, and others compare.
@Suite struct CheckpointTests {
    private func pair(seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        network.checkpointPolicy = CheckpointPolicy(
            growthMin: 32 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .zero,
            objectsPerTurn: 100)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.write("f", "one")
        try bob.write("g", "two")
        network.run()
        return (network, alice, bob)
    }

    private func compared(_ device: Network.Device) -> UInt64 {
        device.volume.engine.withLock { $0.comparedCheckpoints }
    }

    @Test
    func `when the logs have grown and some quiet one device publishes and the other compares`()
        throws
    {
        let (network, alice, bob) = try pair(seed: 1)
        #expect(alice.checkpoints.isEmpty)
        for index in 0..<20 { try alice.write("f\(index)", String(repeating: "x", count: 3000)) }
        network.run(seconds: 60)
        #expect(alice.checkpoints.count == 1, "\(network.log)")
        #expect(alice.checkpoints == bob.checkpoints)
        // The one that published it, and the other's word that it has seen it.
        #expect(compared(alice) == 1)
        #expect(compared(bob) == 1)
        let blocks = alice.volume.status().clock.values.reduce(0, +)
        network.run(seconds: 300)
        #expect(alice.volume.status().clock.values.reduce(0, +) == blocks)
        for device in [alice, bob] {
            #expect(device.volume.status().disagreeing.isEmpty)
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty)
        }
    }

    @Test func `two checkpoints have most pieces in common, and both devices hold them`() throws {
        let (network, alice, bob) = try pair(seed: 4)
        for index in 0..<2000 { try alice.write("f\(index)", String(repeating: "x", count: 200)) }
        network.run(seconds: 60)
        let before = try #require(alice.checkpoints.last)
        for index in 0..<120 { try bob.write("g\(index)", String(repeating: "y", count: 3000)) }
        network.run(seconds: 60)
        let after = try #require(alice.checkpoints.last)
        #expect(after != before)
        func addresses(_ checkpoint: PublishedCheckpoint, _ device: Network.Device) throws -> Set<
            Bytes32
        > {
            var walk = ReferenceWalk(device.volume.chunks)
            var result: Set<Bytes32> = []
            try walk.forEachReference(in: checkpoint.content) { result.insert($0.address) }
            #expect(walk.missingLists.isEmpty)
            return result
        }
        let (old, new) = (try addresses(before, alice), try addresses(after, alice))
        #expect(old.count > 8)
        #expect(new.subtracting(old).count <= 6, "\(old.count) \(new.count)")
        for address in new { #expect(bob.volume.chunks.contains(address)) }
    }

    @Test func `a digest that is not what the blocks mean is told, also after a restart`() throws {
        let (network, alice, bob) = try pair(seed: 2)
        try alice.volume.engine.withLock { engine in
            _ = try engine.author(.checkpoint(.init(digest: .zero)))
            try engine.commit()
        }
        network.run()
        #expect(compared(bob) == 1)
        #expect(bob.volume.status().disagreeing == ["alice"])
        #expect(network.log.contains { $0.contains("alice has the same blocks and sees other") })
        network.disconnectAll()
        try network.restart(bob)
        #expect(bob.volume.status().disagreeing == ["alice"])
        let report = try bob.volume.check(scratch: MemoryShareStorage())
        #expect(report.problems.count == 1)
        // What the logs say is found again by whoever reads them anew.
        try bob.volume.rebuildView()
        let again = try bob.volume.check(scratch: MemoryShareStorage())
        #expect(again.digest == report.digest)
    }

    @Test func `a digest of another moment is not compared`() throws {
        let (network, alice, bob) = try pair(seed: 3)
        network.disconnectAll()
        try bob.write("h", "not seen by alice")
        network.run()
        try alice.volume.engine.withLock { engine in
            _ = try engine.author(.checkpoint(.init(digest: .zero)))
            try engine.commit()
        }
        network.connect(alice, bob)
        network.run()
        #expect(compared(bob) == 0)
        #expect(bob.volume.status().disagreeing.isEmpty)
    }
}

extension Network.Device {
    var checkpoints: [PublishedCheckpoint] {
        volume.engine.withLock { engine in
            engine.checkpoints.map { checkpoint in
                var common = checkpoint
                common.logBytes = 0
                return common
            }
        }
    }
}
