import Base
import Chunks
import FileTree
import Hypercore
import Testing

@testable import Share

/// What everybody has seen, and nobody can look up any more, is given back.
@Suite struct CompactionTests {
    private func network(seed: UInt64, devices names: [String]) throws -> (
        Network, [Network.Device]
    ) {
        let network = Network(seed: seed)
        network.checkpointPolicy = CheckpointPolicy(
            growthMin: 16 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .seconds(60),
            objectsPerTurn: 100, history: .seconds(600))
        var devices: [Network.Device] = []
        for name in names {
            let device = try network.addDevice(name)
            if let first = devices.first { network.connect(device, first) }
            devices.append(device)
        }
        network.run()
        return (network, devices)
    }

    /// Files that are written again and again, made and removed, and directories that move.
    private func live(_ round: Int, _ device: Network.Device) throws {
        for index in 0..<12 {
            try device.write(
                "f\(index)", "\(device.name) \(round) " + String(repeating: "x", count: 300))
            try device.write("gone \(device.name)\(index)", "soon removed")
            try device.unlink("gone \(device.name)\(index)")
        }
        try device.mkdir("d\(round)\(device.name)")
        try device.rename("d\(round)\(device.name)", "e\(device.name)\(round)")
        try? device.rmdir("e\(device.name)\(round - 1)")
    }

    private func grow(
        _ network: Network, _ devices: [Network.Device], rounds: Int = 12, from first: Int = 0
    ) throws {
        for round in first..<first + rounds {
            for device in devices {
                try live(round, device)
                network.run(seconds: 40)
            }
            network.run(seconds: 900)
        }
    }

    private func hasCompacted(_ device: Network.Device) -> Bool {
        device.volume.engine.withLock { engine in
            engine.base?.log == engine.ownLog?.key && engine.compaction == nil
        }
    }

    private func rows(_ device: Network.Device) -> Int {
        try? device.volume.sync()
        return device.storage.tree.rowCounts.reduce(0, +)
    }

    private func heldBlocks(_ device: Network.Device) throws -> UInt64 {
        try device.volume.check(scratch: MemoryShareStorage()).blocks
    }

    private func expectOne(_ devices: [Network.Device], _ network: Network) throws {
        #expect(Set(devices.map { $0.volume.status().digest }).count == 1, "\(network.log)")
        let names = try devices[0].names()
        for device in devices {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0, "\(device.name)")
            #expect(status.disagreeing.isEmpty && status.refused == 0)
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty, "\(device.name)")
            #expect(try device.names() == names)
            for name in names where !name.hasPrefix("e") {
                #expect(try device.text(name) == devices[0].text(name))
            }
        }
    }

    @Test func `history that nobody needs is given back, and what is shown stays`() throws {
        let (network, devices) = try network(seed: 1, devices: ["alice", "bob", "carol"])
        try grow(network, devices)
        for device in devices { #expect(hasCompacted(device), "\(device.name) \(network.log)") }
        try expectOne(devices, network)
        // Twelve rounds of thirteen objects each by three devices were made, and most removed.
        for device in devices {
            #expect(rows(device) < 600, "\(device.name): \(rows(device))")
            let blocks = device.volume.status().clock.values.reduce(0, +)
            #expect(try heldBlocks(device) < blocks / 2)
        }
        // Twice as much history, and no more rows.
        let before = rows(devices[0])
        try grow(network, devices, from: 12)
        #expect(rows(devices[0]) < before * 3 / 2)
        try expectOne(devices, network)
    }

    @Test func `who is alone gives back rows, and of its own log nothing before somebody has it`()
        throws
    {
        let (network, devices) = try network(seed: 14, devices: ["alice"])
        let alice = devices[0]
        func ownLog() -> (held: UInt64, length: UInt64) {
            alice.volume.engine.withLock { engine in
                let log = engine.ownLog
                let length = log?.length ?? 0
                return (UInt64((0..<length).count { log?.hasBlock(at: $0) ?? false }), length)
            }
        }
        try grow(network, devices)
        #expect(hasCompacted(alice) && ownLog().held == ownLog().length)
        #expect(rows(alice) < 400, "\(rows(alice))")
        #expect(try alice.volume.check(scratch: MemoryShareStorage()).problems.isEmpty)
        let bob = try network.addDevice("bob")
        network.connect(alice, bob)
        try grow(network, [alice, bob], from: 12)
        #expect(ownLog().held < ownLog().length / 2, "\(network.log)")
        try expectOne([alice, bob], network)
    }

    @Test func `made anew from what is left, the view is the same`() throws {
        let (network, devices) = try network(seed: 2, devices: ["alice", "bob"])
        try grow(network, devices)
        let digest = devices[0].volume.status().digest
        for device in devices {
            #expect(hasCompacted(device))
            try device.volume.rebuildView()
            #expect(device.volume.status().digest == digest)
        }
        network.disconnectAll()
        for device in devices { try network.restart(device) }
        network.connect(devices[0], devices[1])
        try live(100, devices[0])
        network.run()
        try expectOne(devices, network)
    }

    @Test func `a new device that is stopped on its way to a checkpoint gets there`() throws {
        let (network, devices) = try network(seed: 6, devices: ["alice", "bob"])
        try grow(network, devices)
        for device in devices { #expect(hasCompacted(device)) }
        let dave = try network.addDevice("dave")
        network.connect(dave, devices[0])
        /// Blocks that prove the checkpoint are here, and all of it is not.
        func isOnItsWay() -> Bool {
            dave.volume.engine.withLock { engine in
                engine.starting != nil && engine.logs.values.contains { $0.contiguousLength > 0 }
            }
        }
        for _ in 0..<1000 where !isOnItsWay() { network.step() }
        try #require(isOnItsWay())
        network.disconnectAll()
        try network.restart(dave)
        network.connect(dave, devices[0])
        network.connect(devices[1], devices[0])
        network.run(seconds: 120)
        try expectOne(devices + [dave], network)
    }

    @Test func `a new device joins when the first blocks are gone everywhere`() throws {
        let (network, devices) = try network(seed: 3, devices: ["alice", "bob"])
        try grow(network, devices)
        let dave = try network.addDevice("dave")
        network.connect(dave, devices[1])
        network.run(seconds: 60)
        try dave.write("mine", "from dave")
        network.run(seconds: 60)
        try expectOne(devices + [dave], network)
        try grow(network, devices + [dave], from: 12)
        #expect(hasCompacted(dave), "\(network.log)")
        try expectOne(devices + [dave], network)
    }

    @Test func `a new device waits until a member can give it a start`() throws {
        let (network, devices) = try network(seed: 7, devices: ["alice", "bob"])
        try grow(network, devices)
        let bob = devices[1]
        bob.volume.engine.withLock { $0.checkpoints = [] }
        network.disconnectAll()
        let dave = try network.addDevice("dave")
        network.connect(dave, bob)
        // Bob has nothing to give at first; he publishes another one, and says so.
        network.run(seconds: 120)
        #expect(!dave.volume.status().isStarting)
        network.connect(bob, devices[0])
        network.run(seconds: 60)
        try expectOne(devices + [dave], network)
    }

    @Test func `of two checkpoints a new device takes the one that is what it says`() throws {
        let (network, devices) = try network(seed: 8, devices: ["alice", "bob"])
        try grow(network, devices)
        let (alice, bob) = (devices[0], devices[1])
        // The same wrong one, that its author offers, is the newest for both.
        try alice.volume.engine.withLock { engine in
            let known = try #require(engine.checkpoints.last)
            let wrong = Operation.Checkpoint(digest: .zero, content: known.content.encode())
            let id = try engine.author(.checkpoint(wrong))
            engine.noteCheckpoint(wrong, id, engine.open!.time, seen: engine.open!.clock)
            try engine.commit()
            engine.checkpoints.removeAll { $0.log == known.log && $0.block != id.block }
        }
        network.run()
        bob.volume.engine.withLock { engine in
            let own = engine.ownLog?.key
            #expect(engine.checkpoints.contains { $0.log == own })
        }
        let dave = try network.addDevice("dave")
        network.connect(dave, alice)
        network.connect(dave, bob)
        network.run(seconds: 200)
        try expectOne(devices + [dave], network)
    }

    @Test func `who is away keeps what it has not seen from going, and its edits merge`() throws {
        let (network, devices) = try network(seed: 4, devices: ["alice", "bob", "carol"])
        try grow(network, devices)
        network.disconnectAll()
        let carol = devices[2]
        try carol.write("f1", "carol's, from far away")
        try carol.write("f1", "carol's, again")
        try carol.unlink("f2")
        network.connect(devices[0], devices[1])
        try grow(network, [devices[0], devices[1]], from: 20)
        let held = devices[0].volume.engine.withLock { $0.nextBase?.states.map(\.number) ?? [] }
        #expect(!held.isEmpty)
        network.connect(carol, devices[0])
        network.run(seconds: 120)
        try expectOne(devices, network)
        let texts = try devices[0].names().filter { $0.hasPrefix("f1") }
            .map { try devices[0].text($0) }
        #expect(texts.contains("carol's, again"))
        // What it had not seen was written again meanwhile.
        #expect(try devices[0].names().contains("f2"))
        try grow(network, devices, from: 40)
        try expectOne(devices, network)
    }

    @Test func `history within the retention can be looked up`() throws {
        let (network, devices) = try network(seed: 5, devices: ["alice", "bob"])
        try grow(network, devices)
        let alice = devices[0]
        try alice.write("f3", "the one to find again")
        network.run()
        let time = alice.wallTime().milliseconds
        network.run()
        try alice.write("f3", "another")
        try alice.write("late", "to be removed")
        network.run()
        let known = alice.wallTime().milliseconds
        network.run()
        try alice.unlink("late")
        network.run(seconds: 300)
        try #require(hasCompacted(alice))
        let past = try alice.volume.past(at: time, scratch: MemoryShareStorage())
        let node = try past.lookup(Array("f3".utf8), in: .root).node
        #expect(
            try past.openContent(of: node).content == .inline(Array("the one to find again".utf8)))
        let entries = try alice.volume.history(of: [Array("f3".utf8)], limit: 10)
        let versions = entries.filter { $0.operation == "write" }
        #expect(versions.count >= 2)
        var missing: [ChunkReference] = []
        _ = try alice.volume.restore(
            [Array("f3".utf8)], version: versions[1].id, missing: &missing)
        #expect(try alice.text("f3") == "the one to find again")
        let before = try alice.volume.past(at: known, scratch: MemoryShareStorage())
        _ = try alice.volume.restore([Array("late".utf8)], from: before, missing: &missing)
        network.run()
        try expectOne(devices, network)
        #expect(try devices[1].text("late") == "to be removed")
        #expect(throws: VolumeError.notFound) {
            _ = try alice.volume.past(at: 1_700_000_001_000, scratch: MemoryShareStorage())
        }
    }

    @Test func `nothing goes while somebody reads history`() throws {
        let (network, devices) = try network(seed: 6, devices: ["alice", "bob"])
        let alice = devices[0]
        alice.volume.engine.withLock { $0.historyReaders += 1 }
        try grow(network, devices)
        let base = alice.volume.engine.withLock { $0.base }
        #expect(base != nil)
        #expect(try heldBlocks(alice) == alice.volume.status().clock.values.reduce(0, +))
        alice.volume.engine.withLock { $0.historyReaders -= 1 }
        network.run(seconds: 60)
        #expect(hasCompacted(alice))
        try expectOne(devices, network)
    }

    @Test(arguments: 0..<8)
    func `a stop in the middle is gone on from`(_ stop: Int) throws {
        let (network, devices) = try network(seed: UInt64(stop) + 20, devices: ["alice", "bob"])
        let alice = devices[0]
        var stops = 0
        for round in 0..<14 {
            for device in devices {
                try live(round, device)
                network.run(seconds: 40)
            }
            let end = network.time + .seconds(900)
            while network.time < end {
                network.step(until: end)
                let isAtIt = alice.volume.engine.withLock { $0.compaction != nil }
                guard isAtIt, stops < 6 else { continue }
                for _ in 0..<stop { network.step(until: end) }
                stops += 1
                network.disconnectAll()
                try network.restart(alice)
                network.connect(alice, devices[1])
            }
        }
        #expect(stops > 1)
        #expect(hasCompacted(alice))
        try expectOne(devices, network)
    }
}
