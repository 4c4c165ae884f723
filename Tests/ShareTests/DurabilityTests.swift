import Base
import Chunks
import FileTree
import Synchronization
import Testing

@testable import Share

/// What a failing or a full disk may do to what others were told, and to the device itself.
@Suite struct DurabilityTests {
    private func pair(seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        return (network, alice, bob)
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `nothing of the own log is told before a power cut would spare it`(seed: UInt64) throws {
        let (network, alice, bob) = try pair(seed: seed)
        alice.storage.disk.failure.withLock { $0 = .io(code: 5, action: "syncing") }
        try alice.write("f", "not durable")
        network.run(seconds: 1)
        #expect(try bob.names() == [])
        // A new connection asks how long the log is, and a peer's own writing brings messages.
        network.disconnectAll()
        network.connect(bob, alice)
        try bob.write("g", "bob's")
        network.run(seconds: 1)
        #expect(try bob.names() == ["g"], "\(network.log)")

        alice.storage.disk.failure.withLock { $0 = nil }
        network.disconnectAll()
        network.connect(bob, alice)
        network.run()
        #expect(try bob.text("f") == "not durable", "\(network.log)")
    }

    @Test func `a file's removal takes along what was staged of it`() throws {
        let (network, alice, _) = try pair(seed: 4)
        defer { withExtendedLifetime(network) {} }
        for name in ["f", "g"] { try alice.write(name, "text") }
        let (f, g) = (try alice.directory("f"), try alice.directory("g"))
        for node in [f, g] { try alice.volume.recordStaged(staged(node, 5)) }
        try alice.unlink("f")
        #expect(try alice.volume.stagedFiles() == [staged(g, 5)])
        // A thread that was at it when the file went comes too late.
        try alice.volume.recordStaged(staged(f, 5))
        #expect(try alice.volume.stagedFiles() == [staged(g, 5)])
    }

    /// After a crash between a rename and what the mount says of it, bytes that were replaced would come back.
    @Test(arguments: [1.0, 90])
    func `what is staged of a file goes when another takes its name`(seconds: Double) throws {
        let (network, alice, _) = try pair(seed: 5)
        defer { withExtendedLifetime(network) {} }
        for name in ["f", "g"] { try alice.write(name, name) }
        // A temporary file's content becomes the other's; what is older takes its name only.
        network.run(seconds: seconds)
        let f = try alice.directory("f")
        try alice.volume.recordStaged(staged(f, 5))
        _ = try alice.volume.rename(
            Array("g".utf8), in: .root, to: Array("f".utf8), in: .root, .replace)
        #expect(try alice.volume.stagedFiles() == [])
        #expect(try alice.text("f") == "g")
    }

    @Test
    func `what is staged of a temporary file becomes that of the saved one`() throws {
        let (network, alice, _) = try pair(seed: 6)
        defer { withExtendedLifetime(network) {} }
        for name in ["f", "f.tmp"] { try alice.write(name, name) }
        let (f, temporary) = (try alice.directory("f"), try alice.directory("f.tmp"))
        try alice.volume.recordStaged(staged(f, 5))
        try alice.volume.recordStaged(staged(temporary, 6))
        _ = try alice.volume.rename(
            Array("f.tmp".utf8), in: .root, to: Array("f".utf8), in: .root, .replace)
        let shown = try alice.volume.openContent(of: f).versions
        var moved = staged(f, 6)
        moved.parents = shown
        #expect(shown.count == 1)
        #expect(try alice.volume.stagedFiles() == [moved])
    }

    @Test
    func `what is staged of a file follows its bytes to the backup`() throws {
        let (network, alice, _) = try pair(seed: 7)
        defer { withExtendedLifetime(network) {} }
        try alice.write("f", "old")
        let f = try alice.directory("f")
        _ = try alice.volume.link(f, as: Array("f~".utf8), in: .root)
        try alice.write("f.tmp", "new")
        try alice.volume.recordStaged(staged(f, 5))
        _ = try alice.volume.rename(
            Array("f.tmp".utf8), in: .root, to: Array("f".utf8), in: .root, .replace)
        let backup = try alice.directory("f~")
        #expect(try alice.text("f") == "new")
        #expect(try alice.text("f~") == "old")
        #expect(backup != f)
        var moved = staged(backup, 5)
        moved.parents = try alice.volume.openContent(of: backup).versions
        #expect(try alice.volume.stagedFiles() == [moved])
    }

    /// Chunks are stored when they arrive, and what a list of them makes wanted with the next commit.
    @Test(arguments: [8, 9] as [UInt64])
    func `who was killed when a list of chunks had arrived fetches what it lists`(seed: UInt64)
        throws
    {
        let (network, alice, bob) = try pair(seed: seed)
        let bytes = manyChunks(seed: seed)
        try alice.write("f", bytes)
        let before = bob.chunks.addresses.count
        var committed = bob.backup()
        while bob.chunks.addresses.count == before {
            committed = bob.backup()
            network.step()
        }
        let wanted = try committed.wantedChunks()
        try #require(wanted.contains { $0.isList && bob.chunks.contains($0.reference.address) })

        network.disconnectAll()
        try network.restore(bob, committed)
        let report = try bob.volume.check(scratch: MemoryShareStorage())
        #expect(report.problems == [])
        network.connect(bob, alice)
        network.run()
        #expect(try bob.read("f") == bytes, "\(network.log)")
    }

    @Test func `a check that runs while a list of chunks comes in finds nothing missing`() throws {
        let (network, alice, bob) = try pair(seed: 10)
        try alice.write("f", manyChunks(seed: 10))
        while !(try bob.storage.wantedChunks().contains(where: \.isList)) { network.step() }
        let storage = bob.backup()
        let begun = try bob.volume.engine.withLock { try Checkup($0, as: storage) }
        let before = bob.chunks.addresses.count
        while bob.chunks.addresses.count == before { network.step() }
        #expect(try begun.run(scratch: MemoryShareStorage()).problems == [])
    }

    @Test func `a list of chunks that came when the disk was full is asked for again`() throws {
        let (network, alice, bob) = try pair(seed: 11)
        let bytes = manyChunks(seed: 11)
        try alice.write("f", bytes)
        while !(try bob.storage.wantedChunks().contains(where: \.isList)) { network.step() }
        bob.storage.refusesWanted = true
        let before = bob.chunks.addresses.count
        while bob.chunks.addresses.count == before { network.step() }
        network.run(seconds: 7)
        bob.storage.refusesWanted = false
        network.run()
        #expect(try bob.read("f") == bytes, "\(network.log.suffix(3))")
    }

    @Test func `a full disk does not have the same chunks sent again and again`() throws {
        let (network, alice, bob) = try pair(seed: 12)
        let bytes = manyChunks(seed: 12)
        bob.chunks.refuse { _ in true }
        for name in ["f", "g"] { try alice.write(name, bytes + Array(name.utf8)) }
        try alice.write("h", Array(bytes.prefix(1 << 20)))
        network.run(seconds: 60)
        // Those that were under way, and one each time.
        #expect((2...90).contains(bob.chunks.refusals), "\(bob.chunks.refusals)")
        let told = network.log.filter { $0.contains("cannot be stored") }
        #expect(told.count == 1, "\(told)")
        let problem = "what other devices send cannot be stored: \(StorageError.full)"
        #expect(bob.volume.status().problems == [problem])
        bob.chunks.refuse { _ in false }
        network.run(seconds: 10)
        #expect(bob.volume.status().problems == [])
        #expect(try bob.read("g") == bytes + Array("g".utf8), "\(network.log)")
    }

    @Test func `what was changed is told while chunks are sent`() throws {
        let (network, alice, bob) = try pair(seed: 13)
        network.bytesPerStep = 100_000
        try alice.write("f", manyChunks(seed: 13))
        let before = bob.chunks.addresses.count
        while bob.chunks.addresses.count < before + 10 { network.step() }
        try alice.write("note", "later")
        while !(try bob.names().contains("note")) {
            network.step()
            network.pass(.milliseconds(20))
        }
        #expect(bob.volume.status().pending.chunks > 50, "it came after all chunks")
    }

    /// More than an operation names.
    private func manyChunks(seed: UInt64) -> [UInt8] {
        var random = SeededRandom(seed: seed)
        return random.bytes(ChunkLimits.chunkSizeAverage * 100)
    }

    private func staged(_ node: NodeID, _ file: UInt64) -> StagedFile {
        StagedFile(
            node: node, parents: [], base: .empty, size: 1, modified: .epoch, dirty: [0..<1],
            file: file)
    }

    @Test func `a full disk refuses changes, forgets none, and goes on when there is space`() throws
    {
        let (network, alice, bob) = try pair(seed: 3)
        alice.storage.isFull = true
        var made = 0
        var refused = 0
        // More than any block of a log takes.
        for number in 0..<20_000 {
            do throws(VolumeError) {
                _ = try alice.volume.make(
                    Array("d\(number)".utf8), in: .root,
                    MakeRequest(kind: .directory, mode: 0o755, uid: 0, gid: 0))
                made += 1
            } catch {
                #expect(error == .storage(.full))
                refused += 1
            }
        }
        #expect(made > 0 && refused > 0)
        network.run(seconds: 3)
        #expect(try bob.names() == [], "told before it was committed")
        #expect(throws: VolumeError.storage(.full)) { try alice.volume.sync() }

        alice.storage.isFull = false
        try alice.mkdir("after")
        network.run()
        #expect(try bob.names().count == made + 1, "\(network.log)")
        let report = try alice.volume.check(scratch: MemoryShareStorage())
        #expect(report.problems == [])
    }

    /// Who is let in by a block, and in the same breath the disk fails.
    @Test func `a disk that fails while blocks are applied stops nothing for good`() throws {
        var failed = 0
        for reads in 0..<60 {
            let (network, alice, bob) = try pair(seed: 13)
            try alice.write("f", "one")
            network.run()
            network.disconnectAll()
            network.connect(alice, try network.addDevice("carol"))
            for name in ["f", "g"] {
                network.run(seconds: 2)
                try alice.write(name, "two")
            }
            let stored = bob.backup()
            bob.storage.readsToFailure = reads
            network.connect(bob, alice)
            network.run()
            guard bob.storage.readFailures > 0 else { break }
            let isStuck = bob.volume.status().problems.contains { $0.contains("next mount") }
            failed += isStuck ? 1 : 0
            network.disconnectAll()
            try network.restore(bob, stored)
            network.connect(bob, alice)
            network.run()
            #expect(try bob.text("f") == "two" && bob.text("g") == "two", "after \(reads) reads")
            #expect(bob.volume.status().problems == [])
        }
        #expect(failed > 0)
    }
}
