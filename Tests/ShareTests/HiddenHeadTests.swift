import Base
import Chunks
import FileTree
import Testing

@testable import Share

/// Heads whose bytes are not here yet, of files that something is done to meanwhile.
@Suite struct HiddenHeadTests {
    private func text(_ changes: [Int: String] = [:]) -> String {
        (0..<1000).map { changes[$0] ?? "line \($0) of a text" }.joined(separator: "\n") + "\n"
    }

    /// Alice and bob have edited `note.txt`; carol sees bob's edit, since nobody has alice's bytes.
    private func trio(seed: UInt64) throws -> (Network, [Network.Device]) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run(seconds: 3)
        try alice.write("note.txt", text())
        try alice.write("old.txt", "old")
        network.run()
        network.disconnectAll()
        try alice.write("note.txt", text([1: "alice"]))
        network.run(seconds: 1)
        try bob.write("note.txt", text([900: "bob"]))
        network.run(seconds: 1)
        network.connect(alice, bob)
        network.run()
        let object = try #require(try alice.directory("note.txt").operation)
        var addresses: [String: Set<Bytes32>] = [:]
        for version in try alice.storage.heads(of: object) {
            guard case .pieces(let pieces) = try Content(decoding: version.content) else {
                continue
            }
            let device = alice.volume.engine.withLock { engine in
                version.id.writer == engine.ownSlot ? "alice" : "bob"
            }
            addresses[device] = Set(pieces.compactMap { $0.reference?.address })
        }
        let lost = try #require(addresses["alice"]).subtracting(try #require(addresses["bob"]))
        #expect(!lost.isEmpty)
        for device in [alice, bob] { _ = device.chunks.collect { !lost.contains($0) } }
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run(seconds: 5)
        #expect(try carol.names() == ["note.txt", "old.txt"])
        #expect(try carol.text("note.txt") == text([900: "bob"]))
        let node = try carol.directory("note.txt")
        #expect(try carol.volume.explainContent(of: node).verdict == .waiting)
        return (network, [alice, bob, carol])
    }

    private func expectAlicesEdit(on devices: [Network.Device], _ network: Network) throws {
        network.run()
        // Somebody finds her bytes again.
        try devices[0].write("elsewhere", text([1: "alice"]))
        network.run(seconds: 30)
        for device in devices {
            let names = try device.names()
            let copies = names.filter { $0.hasPrefix("note (conflict alice ") }
            #expect(copies.count == 1, "\(device.name): \(names)")
            #expect(try copies.map { try device.text($0) } == [text([1: "alice"])])
            #expect(device.volume.status().digest == devices[0].volume.status().digest)
            #expect(try device.volume.check(scratch: MemoryShareStorage()).problems == [])
        }
    }

    @Test func `who removes a file removes no head that was not shown`() throws {
        let (network, devices) = try trio(seed: 1)
        try devices[2].unlink("note.txt")
        #expect(throws: VolumeError.notFound) { try devices[2].directory("note.txt") }
        try expectAlicesEdit(on: devices, network)
        #expect(try !devices[0].names().contains("note.txt"))
    }

    @Test func `who replaces a file replaces no head that was not shown`() throws {
        let (network, devices) = try trio(seed: 2)
        try devices[2].rename("old.txt", "note.txt")
        try expectAlicesEdit(on: devices, network)
        #expect(try devices[0].text("note.txt") == "old")
    }

    @Test func `who saves a file succeeds no head that was not shown`() throws {
        let (network, devices) = try trio(seed: 3)
        try devices[2].write("note.txt", "all new\n")
        network.run()
        try devices[0].write("elsewhere", text([1: "alice"]))
        network.run(seconds: 30)
        for device in devices {
            let shown = try device.names().filter { $0.hasPrefix("note") }.map {
                try device.text($0)
            }
            #expect(shown.contains { $0?.contains("all new") == true })
            #expect(shown.contains { $0?.contains("alice") == true })
        }
    }
}
