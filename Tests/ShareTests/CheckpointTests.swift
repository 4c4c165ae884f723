import Base
import FileTree
import Testing

@testable import Share

/// Members write down the digest of their view, and others compare.
@Suite struct CheckpointTests {
    private func pair(seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
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

    @Test func `after many blocks and some quiet one device writes it and the other compares`()
        throws
    {
        let (network, alice, bob) = try pair(seed: 1)
        for device in [alice, bob] {
            device.volume.engine.withLock {
                $0.blocksSinceCheckpoint = Engine.CheckpointLimits.blocks - 1
            }
        }
        network.run(seconds: 60)
        #expect(compared(alice) + compared(bob) == 0)
        try alice.write("f", "three")
        network.run(seconds: 60)
        #expect(compared(alice) + compared(bob) == 1, "\(network.log)")
        let blocks = alice.volume.status().clock.values.reduce(0, +)
        network.run(seconds: 300)
        #expect(alice.volume.status().clock.values.reduce(0, +) == blocks)
        for device in [alice, bob] {
            #expect(device.volume.status().disagreeing.isEmpty)
            #expect(device.volume.engine.withLock { $0.blocksSinceCheckpoint } < 10)
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty)
        }
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
