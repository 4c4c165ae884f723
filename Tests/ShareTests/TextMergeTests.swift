import Base
import Chunks
import FileTree
import Testing

@testable import Share

/// Texts that merge, between whole devices.
@Suite struct TextMergeTests {
    private func pair(_ seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run(seconds: 3)
        return (network, alice, bob)
    }

    private func text(_ lines: Int, _ changes: [Int: String] = [:]) -> String {
        (0..<lines).map { changes[$0] ?? "line \($0) of a text" }.joined(separator: "\n") + "\n"
    }

    /// Both write apart, and meet.
    private func part(
        _ network: Network, _ alice: Network.Device, _ bob: Network.Device,
        _ change: () throws -> Void
    ) throws {
        network.disconnectAll()
        try change()
        network.run(seconds: 1)
        network.connect(alice, bob)
        network.run()
        #expect(alice.volume.status().digest == bob.volume.status().digest, "\(network.log)")
        #expect(try alice.names() == bob.names())
    }

    @Test(arguments: [5, 3000])
    func `offline edits of one text are merged on both devices`(_ lines: Int) throws {
        let (network, alice, bob) = try pair(UInt64(lines))
        try alice.write("note.md", text(lines))
        network.run()
        try part(network, alice, bob) {
            try alice.write("note.md", text(lines, [0: "alice"]))
            try bob.write("note.md", text(lines, [lines - 1: "bob"]))
        }
        let merged = text(lines, [0: "alice", lines - 1: "bob"])
        for device in [alice, bob] {
            #expect(try device.names() == ["note.md"])
            #expect(try device.text("note.md") == merged)
            let node = try device.directory("note.md")
            #expect(try device.volume.attributes(of: node).size == UInt64(merged.utf8.count))
            #expect(try device.volume.openContent(of: node).versions.count == 2)
            let explained = try device.volume.explainContent(of: node)
            #expect(explained.verdict == .merged)
            #expect(explained.heads.map(\.device).sorted() == ["alice", "bob"])
            #expect(explained.bases.map(\.count) == [1])
        }
        // It is there after a restart, after a collection, and made again from the logs.
        try network.restart(alice)
        _ = try alice.volume.collectChunks()
        #expect(try alice.text("note.md") == merged)
        try alice.volume.rebuildView()
        #expect(try alice.text("note.md") == merged)
        let report = try alice.volume.check(scratch: MemoryShareStorage())
        #expect(report.problems == [])

        try bob.write("note.md", merged + "more\n")
        network.connect(alice, bob)
        network.run()
        #expect(try alice.text("note.md") == merged + "more\n")
        let node = try alice.directory("note.md")
        #expect(try alice.volume.explainContent(of: node).verdict == .single)
    }

    @Test func `two people go on editing their parts, and nothing ever conflicts`() throws {
        let (network, alice, bob) = try pair(2)
        try alice.write("plan.swift", text(40))
        network.run()
        for round in 0..<6 {
            try part(network, alice, bob) {
                for (device, line) in [(alice, 5), (bob, 30)] {
                    var lines = try #require(try device.text("plan.swift"))
                        .split(separator: "\n").map(String.init)
                    lines[line] = "\(device.name) in round \(round)"
                    try device.write("plan.swift", lines.joined(separator: "\n") + "\n")
                }
            }
            #expect(try alice.names() == ["plan.swift"], "round \(round)")
            #expect(
                try alice.text("plan.swift")
                    == text(40, [5: "alice in round \(round)", 30: "bob in round \(round)"]))
        }
    }

    @Test func `a new device merges by itself`() throws {
        let (network, alice, bob) = try pair(3)
        try alice.write("note.txt", text(1000))
        network.run()
        try part(network, alice, bob) {
            try alice.write("note.txt", text(1000, [1: "alice"]))
            try bob.write("note.txt", text(1000, [900: "bob"]))
        }
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run()
        #expect(try carol.text("note.txt") == text(1000, [1: "alice", 900: "bob"]))
        #expect(carol.volume.status().digest == alice.volume.status().digest)
    }

    @Test func `while the base is missing a head shows, then both, then the merge`() throws {
        let (network, alice, bob) = try pair(4)
        try alice.write("note.txt", text(1000))
        network.run()
        try part(network, alice, bob) {
            try alice.write("note.txt", text(1000, [1: "alice"]))
            try bob.write("note.txt", text(1000, [900: "bob"]))
        }
        let object = try #require(try alice.directory("note.txt").operation)
        let base = try #require(
            try alice.storage.versions(of: object).first { $0.parents.isEmpty })
        // Nobody has the base any more: everybody forgets it.
        guard case .pieces(let pieces) = try Content(decoding: base.content),
            let reference = pieces.compactMap(\.reference).last
        else {
            Issue.record("the base is in no chunk")
            return
        }
        for device in [alice, bob] {
            _ = device.chunks.collect { $0 != reference.address }
        }
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run(seconds: 5)
        #expect(try carol.names() == ["note.txt"])
        #expect(carol.volume.status().digest == alice.volume.status().digest)
        let node = try carol.directory("note.txt")
        #expect(try carol.volume.explainContent(of: node).verdict == .waiting)
        network.run(seconds: 30)
        #expect(try carol.names().count == 2)
        #expect(carol.volume.status().digest == alice.volume.status().digest)
        // Somebody finds it again.
        try alice.write("elsewhere.txt", text(1000))
        network.run(seconds: 30)
        #expect(try carol.names() == ["elsewhere.txt", "note.txt"])
        #expect(try carol.text("note.txt") == text(1000, [1: "alice", 900: "bob"]))
    }

    @Test func `a merge that finds no room on the disk is made when there is some`() throws {
        let (network, alice, bob) = try pair(6)
        try alice.write("note.txt", text(3000))
        network.run()
        network.disconnectAll()
        try alice.write("note.txt", text(3000, [0: "alice"]))
        try bob.write("note.txt", text(3000, [2999: "bob"]))
        network.run(seconds: 1)
        let known = Set(alice.chunks.addresses + bob.chunks.addresses)
        alice.chunks.refuse { !known.contains($0) }
        network.connect(alice, bob)
        network.run()
        let merged = text(3000, [0: "alice", 2999: "bob"])
        #expect(try bob.text("note.txt") == merged)
        #expect(try alice.text("note.txt") != merged)
        // It is tried again once a second, and told once.
        #expect((2...21).contains(alice.chunks.refusals), "\(alice.chunks.refusals)")
        let told = network.log.filter { $0.hasPrefix("alice: storage") }
        #expect(told.count == 1, "\(told)")
        alice.chunks.refuse { _ in false }
        network.run(seconds: 2)
        #expect(try alice.text("note.txt") == merged)
        #expect(try alice.names() == ["note.txt"])
    }

    /// Two saves over one version: small ones are merged in the call, large ones behind it, and what an earlier run
    /// left is looked for.
    @Test(arguments: [(5, false), (3000, false), (3000, true)])
    func `a merge that storage stopped anywhere is made`(_ lines: Int, afterRestart: Bool) throws {
        var stopped = 0
        for reads in 0..<60 {
            let (network, alice, _) = try pair(7)
            network.disconnectAll()
            try alice.write("note.txt", text(lines))
            network.run(seconds: 1)
            let node = try alice.directory("note.txt")
            let object = try #require(node.operation)
            let base = try alice.volume.openContent(of: node).versions
            try alice.write("note.txt", text(lines, [0: "first"]))
            network.run(seconds: 1)
            func saveOverBase() throws {
                let bytes = Array(text(lines, [lines - 1: "second"]).utf8)
                var content = Content.inline(bytes)
                if lines > 5 {
                    var builder = ContentBuilder(
                        keys: alice.volume.keys.contentKeys, storage: alice.chunks)
                    content = try builder.build(from: ArraySource(bytes))
                }
                _ = try alice.volume.publish(
                    Save(
                        node: node, parents: base, content: content,
                        modified: alice.wallTime(), settlesStaging: false))
            }
            if afterRestart {
                try saveOverBase()
                try network.restart(alice)
            }
            alice.storage.readsToFailure = reads
            if !afterRestart { try? saveOverBase() }
            network.run(seconds: 5)
            guard alice.storage.readFailures > 0 else { break }
            let isStuck = alice.volume.status().problems.contains { $0.contains("next mount") }
            // The save itself may have failed.
            let heads = try alice.storage.heads(of: object)
            guard !isStuck, heads.count > 1 else { continue }
            stopped += 1
            let merged = text(lines, [0: "first", lines - 1: "second"])
            #expect(try alice.text("note.txt") == merged, "after \(reads) reads")
        }
        #expect(stopped > 0)
    }

    @Test func `edits of the same words are two versions`() throws {
        let (network, alice, bob) = try pair(5)
        try alice.write("note.txt", text(9))
        network.run()
        try part(network, alice, bob) {
            try alice.write("note.txt", text(9, [4: "alice"]))
            try bob.write("note.txt", text(9, [4: "bob"]))
        }
        #expect(try alice.names().count == 2)
        let node = try alice.directory("note.txt")
        let explained = try alice.volume.explainContent(of: node)
        #expect(explained.verdict == .conflict)
        #expect(explained.rule == "both changed the same words")
    }
}
