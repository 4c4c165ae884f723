import Base
import Chunks
import Testing

@testable import Share

/// Restarting, checking, rebuilding, collecting, telling the history.
@Suite struct UpkeepTests {
    private func pair(seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        return (network, alice, bob)
    }

    @Test func `a device that starts again has what it had, and goes on`() throws {
        let (network, alice, bob) = try pair(seed: 1)
        try alice.mkdir("d")
        try alice.write("d/f", "one")
        network.run()
        network.disconnectAll()
        let digest = bob.volume.status().digest
        try network.restart(bob)
        #expect(bob.volume.isAdmitted)
        #expect(bob.volume.status().digest == digest)
        try bob.write("d/f", "two")
        network.connect(alice, bob)
        network.run()
        #expect(try alice.text("d/f") == "two", "\(network.log)")
    }

    @Test func `what is written alone is durable within a second, and synced seldom`() throws {
        let network = Network(seed: 8)
        let alice = try network.addDevice("alice")
        network.run(seconds: 2)
        let before = alice.storage.disk.waitCount
        for index in 0..<20 {
            try alice.write("f\(index)", "one")
            network.run(seconds: 0.1)
        }
        network.run(seconds: 0.9)
        let waits = alice.storage.disk.waitCount - before
        #expect((2...6).contains(waits), "\(waits)")
        let (commits, durable) = (
            alice.volume.engine.withLock { $0.ownCommits },
            alice.volume.peers.withLock { $0.durableCommits }
        )
        #expect(commits > 0 && commits == durable)
    }

    @Test func `a write asks for its turn, also while something less urgent waits`() throws {
        let (network, alice, bob) = try pair(seed: 6)
        network.run()
        try alice.write("f", "one")
        func hasOnlyLessUrgent() -> Bool {
            alice.volume.engine.withLock { $0.isDirty && $0.open == nil }
        }
        // Until bob's acknowledgement is here, which may be stored later.
        for _ in 0..<100 where !hasOnlyLessUrgent() { network.run(seconds: 0.001) }
        try #require(hasOnlyLessUrgent())
        alice.wakes = 0
        try alice.write("f", "two")
        #expect(alice.wakes > 0)
        network.run(seconds: 0.1)
        #expect(try bob.text("f") == "two")
    }

    @Test func `logs, view and chunks agree`() throws {
        let (network, alice, bob) = try pair(seed: 2)
        var random = SeededRandom(seed: 1)
        try alice.mkdir("d")
        for index in 0..<30 { try alice.write("d/f\(index)", "text \(index)") }
        try alice.write("big", random.bytes(9 << 20))
        network.run()
        try bob.write("d/b", "bob")
        network.run()
        try alice.unlink("d/f3")
        try bob.rename("d", "e")
        network.run()
        for device in [alice, bob] {
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty)
            #expect(report.digest == report.replayedDigest)
            #expect(report.blocks > 0)
        }
    }

    @Test func `the view is made again from the logs`() throws {
        let (network, alice, bob) = try pair(seed: 3)
        try alice.mkdir("d")
        try alice.write("d/f", "one")
        network.run()
        network.disconnectAll()
        try alice.write("d/f", "alice's")
        try bob.write("d/f", "bob's")
        network.run()
        network.connect(alice, bob)
        network.run()
        let digest = bob.volume.status().digest
        try bob.volume.rebuildView()
        #expect(bob.volume.status().digest == digest)
        try bob.write("new", "n")
        network.run()
        #expect(try alice.text("new") == "n")
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    @Test func `what nothing refers to is collected, the rest stays`() throws {
        let (network, alice, _) = try pair(seed: 4)
        var random = SeededRandom(seed: 2)
        let kept = random.bytes(2 << 20)
        try alice.write("kept", kept)
        // Chunks of a save that never happened.
        var builder = ContentBuilder(keys: alice.volume.keys.contentKeys, storage: alice.chunks)
        let lost = random.bytes(1 << 20)
        _ = try builder.build(
            from: FunctionSource(size: UInt64(lost.count)) { offset, buffer in
                lost.withUnsafeBytes { bytes in
                    let end = min(Int(offset) + buffer.count, bytes.count)
                    buffer.copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: bytes[Int(offset)..<end]))
                    return end - Int(offset)
                }
            })
        network.run()
        let freed = try alice.volume.collectChunks()
        #expect(freed >= UInt64(lost.count))
        #expect(try alice.read("kept") == kept)
        #expect(try alice.volume.collectChunks() == 0)
    }

    @Test func `the operations behind a path are told, newest first`() throws {
        let (network, alice, bob) = try pair(seed: 5)
        try alice.write("f", "one")
        try alice.write("other", "x")
        network.run()
        try bob.write("f", "second")
        network.run()
        let history = try alice.volume.history(of: [Array("f".utf8)], limit: 10)
        #expect(history.map(\.operation) == ["write", "write", "place", "make"])
        #expect(history.map(\.device) == ["bob", "alice", "alice", "alice"])
        #expect(history.first?.detail == "6 bytes")
        #expect(try alice.volume.history(of: [], limit: 3).count == 3)
    }
}
