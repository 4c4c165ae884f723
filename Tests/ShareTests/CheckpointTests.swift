import Base
import Chunks
import FileTree
import Hypercore
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

/// A new device starts from a checkpoint, and ends where the others are.
@Suite struct StartingTests {
    private func grown(seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        network.checkpointPolicy = CheckpointPolicy(
            growthMin: 32 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .zero,
            objectsPerTurn: 100)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        for index in 0..<30 {
            try alice.write("f\(index)", String(repeating: "a", count: 2000))
            try bob.write("g\(index)", String(repeating: "b", count: 5000))
        }
        network.run(seconds: 120)
        try #require(!alice.checkpoints.isEmpty, "\(network.log)")
        return (network, alice, bob)
    }

    private func expectOne(_ devices: [Network.Device], _ network: Network) throws {
        #expect(Set(devices.map { $0.volume.status().digest }).count == 1, "\(network.log)")
        for device in devices {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0, "\(device.name)")
            #expect(status.disagreeing.isEmpty)
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty, "\(device.name)")
        }
    }

    private func started(_ device: Network.Device) -> Bool {
        device.volume.engine.withLock { $0.base != nil }
    }

    @Test func `a new device reads a checkpoint and what came after`() throws {
        let (network, alice, bob) = try grown(seed: 1)
        try alice.write("later", "after the checkpoint")
        network.run()
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run(seconds: 60)
        #expect(started(carol), "\(network.log)")
        #expect(try carol.text("later") == "after the checkpoint")
        #expect(try carol.text("g7") == String(repeating: "b", count: 5000))
        try carol.write("mine", "from carol")
        network.run(seconds: 60)
        try expectOne([alice, bob, carol], network)
        #expect(try bob.text("mine") == "from carol")
        // As after a stop, and made anew from what it has.
        network.disconnectAll()
        try network.restart(carol)
        try carol.volume.rebuildView()
        network.connect(carol, bob)
        network.run()
        try expectOne([alice, bob, carol], network)
        #expect(carol.volume.status().pending.blocks == 0)
    }

    /// What came before has no history here; what the checkpoint showed, and all since, has.
    @Test func `a device that started from a checkpoint brings back what showed since`() throws {
        let (network, alice, bob) = try grown(seed: 7)
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run(seconds: 60)
        try #require(started(carol), "\(network.log)")
        let then = carol.wallTime().milliseconds
        network.run(seconds: 5)
        try alice.write("f3", "changed")
        try bob.unlink("f4")
        try bob.unlink("g5")
        network.run(seconds: 60)
        func path(_ name: String) -> [[UInt8]] { [Array(name.utf8)] }

        let written = try #require(
            try alice.volume.history(of: path("f3"), limit: 9).last { $0.operation == "write" })
        var missing: [ChunkReference] = []
        _ = try carol.volume.restore(path("f3"), version: written.id, missing: &missing)
        let past = try carol.volume.past(at: then, scratch: MemoryShareStorage())
        #expect(try past.list(.root).count == 60)
        for name in ["f4", "g5"] {
            let report = try carol.volume.restore(path(name), from: past, missing: &missing)
            #expect(report.files == 1, "\(name)")
        }
        #expect(missing.isEmpty)
        network.run(seconds: 60)
        for device in [alice, bob, carol] {
            #expect(try device.text("f3") == String(repeating: "a", count: 2000))
            #expect(try device.text("f4") == String(repeating: "a", count: 2000))
            #expect(try device.text("g5") == String(repeating: "b", count: 5000))
        }
        try expectOne([alice, bob, carol], network)
    }

    @Test func `what was written without knowing of the checkpoint comes in as ever`() throws {
        let (network, alice, bob) = try grown(seed: 2)
        let dave = try network.addDevice("dave")
        network.connect(dave, alice)
        network.run(seconds: 60)
        network.disconnectAll()
        // Nobody has seen any of this when the next checkpoint is written.
        try dave.write("f1", "dave's")
        try dave.unlink("g1")
        try alice.write("f1", "alice's")
        try alice.write("g1", "kept")
        for index in 0..<40 { try alice.write("h\(index)", String(repeating: "c", count: 3000)) }
        let before = alice.checkpoints.count
        network.connect(alice, bob)
        network.run(seconds: 120)
        #expect(alice.checkpoints.count > before)
        let carol = try network.addDevice("carol")
        network.connect(carol, bob)
        network.run(seconds: 60)
        #expect(started(carol), "\(network.log)")
        // Carol cannot give what came before she started.
        network.connect(carol, dave)
        network.connect(dave, alice)
        network.run(seconds: 120)
        try expectOne([alice, bob, carol, dave], network)
        #expect(try carol.text("g1") == "kept")
        #expect(try carol.names("") == alice.names(""))
    }

    @Test func `a checkpoint that is not what it says is refused, and all is replayed`() throws {
        let (network, alice, bob) = try grown(seed: 3)
        try alice.volume.engine.withLock { engine in
            let known = engine.checkpoints.last!
            let wrong = Operation.Checkpoint(digest: .zero, content: known.content.encode())
            let id = try engine.author(.checkpoint(wrong))
            engine.noteCheckpoint(wrong, id, engine.open!.time, seen: engine.open!.clock)
            try engine.commit()
        }
        network.run()
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run(seconds: 60)
        #expect(!started(carol))
        #expect(carol.volume.status().problems.contains { $0.contains("checkpoint was refused") })
        try expectOne([alice, bob, carol], network)
    }

    @Test func `what a new device fetches follows what shows, not how it came about`() throws {
        func bytes(ofHistory rounds: Int) throws -> (fetched: UInt64, history: UInt64) {
            let network = Network(seed: 5)
            network.checkpointPolicy = CheckpointPolicy(
                growthMin: 48 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .zero,
                objectsPerTurn: 1000)
            let alice = try network.addDevice("alice")
            let bob = try network.addDevice("bob")
            network.connect(bob, alice)
            network.run()
            for round in 0..<rounds {
                for index in 0..<400 {
                    try alice.write("f\(index)", String(repeating: "\(round)", count: 200))
                    try alice.write("gone\(index)", "soon removed")
                    try alice.unlink("gone\(index)")
                }
                try bob.write("word", "\(round)")
                network.run(seconds: 5)
            }
            // The next one leaves out what everybody has referenced by then.
            for last in 0..<2 {
                network.run(seconds: 150)
                try alice.write("word of alice", "\(last)")
                network.run(seconds: 10)
                try bob.write("last\(last)", String(repeating: "x", count: 4000))
                network.run()
                for device in [alice, bob] {
                    device.volume.engine.withLock { engine in
                        for index in engine.checkpoints.indices {
                            engine.checkpoints[index].logBytes = 0
                        }
                    }
                }
            }
            network.run(seconds: 60)
            let carol = try network.addDevice("carol")
            network.connect(carol, alice)
            network.run(seconds: 60)
            #expect(started(carol), "\(network.log)")
            try expectOne([alice, bob, carol], network)
            let history = alice.volume.engine.withLock { engine in
                engine.logs.values.reduce(0) { $0 + $1.byteLength }
            }
            return (carol.volume.status().peers.reduce(0) { $0 + $1.bytesReceived }, history)
        }
        let once = try bytes(ofHistory: 1)
        let tenTimes = try bytes(ofHistory: 10)
        print(
            "fetched \(once.fetched) of \(once.history), \(tenTimes.fetched) of \(tenTimes.history)"
        )
        #expect(tenTimes.history > 7 * once.history)
        #expect(tenTimes.fetched < 2 * once.fetched)
    }

    @Test func `a stop at any moment of the start is made good`() throws {
        for stop in 1..<12 {
            let (network, alice, bob) = try grown(seed: UInt64(stop) + 10)
            let carol = try network.addDevice("carol")
            network.connect(carol, alice)
            for _ in 0..<stop * 4 { network.step() }
            network.disconnectAll()
            try network.restart(carol)
            network.connect(carol, bob)
            network.connect(alice, bob)
            network.run(seconds: 100)
            try expectOne([alice, bob, carol], network)
        }
    }
}
