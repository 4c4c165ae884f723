import Base
import Chunks
import Testing

@testable import Share

/// Versions, the tree as it was, and bringing either back.
@Suite struct RestoreTests {
    private func pair(seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        return (network, alice, bob)
    }

    private func path(_ text: String) -> [[UInt8]] {
        text.split(separator: "/").map { Array($0.utf8) }
    }

    private func past(_ device: Network.Device, _ time: UInt64) throws -> PastView {
        try device.volume.past(at: time, scratch: MemoryShareStorage())
    }

    /// Everything visible in a past view, as text.
    private func tree(_ view: PastView, _ node: NodeID = .root, _ path: String = "") throws
        -> String
    {
        var lines: [String] = []
        for item in try view.list(node) {
            let below = path + "/" + String(decoding: item.name, as: UTF8.self)
            if item.kind == .directory {
                lines += [below + "/", try tree(view, item.node, below)]
            } else if case .inline(let bytes) = try view.openContent(of: item.node).content {
                lines.append("\(below) = \(String(decoding: bytes, as: UTF8.self))")
            }
        }
        return lines.filter { !$0.isEmpty }.joined(separator: "\n")
    }

    @Test func `each version is told with its id and whether it shows`() throws {
        let (network, alice, bob) = try pair(seed: 1)
        try alice.write("f", "one")
        network.run()
        try bob.write("f", "second")
        network.run()
        let history = try alice.volume.history(of: path("f"), limit: 10)
        #expect(history.map(\.operation) == ["write", "write", "place", "make"])
        #expect(history.map(\.state) == ["shown", "", "", ""])
        #expect(Set(history.map(\.id)).count == 4)
        #expect(try bob.volume.history(of: path("f"), limit: 10).map(\.id) == history.map(\.id))
        try alice.unlink("f")
        network.run()
        let gone = try bob.volume.history(of: path("f"), limit: 10)
        #expect(gone.map(\.operation) == ["remove", "write", "write", "place", "make"])
        #expect(throws: VolumeError.notFound) {
            try bob.volume.history(of: path("never"), limit: 10)
        }
    }

    @Test func `what was done is told with its path, also when that is gone`() throws {
        let (network, alice, bob) = try pair(seed: 11)
        try alice.mkdir("d")
        try alice.mkdir("d/e")
        try alice.write("d/e/f", "one")
        try alice.write("d/kept", "one")
        network.run()
        try bob.rename("d/kept", "kept")
        try bob.unlink("d/e/f")
        try bob.rmdir("d/e")
        network.run()
        try alice.rename("d", "g")
        network.run()
        for device in [alice, bob] {
            let told = try device.volume.history(of: [], limit: 100).reversed()
                .filter { ["make", "place", "write", "remove"].contains($0.operation) }
                .map { "\($0.operation) \($0.path)" }
            #expect(
                told == [
                    "make g", "place d", "make g/e", "place g/e", "make g/e/f", "place g/e/f",
                    "write g/e/f", "make kept", "place g/kept", "write kept", "place kept",
                    "remove g/e/f", "remove g/e", "place g",
                ])
        }
        let gone = try alice.volume.history(of: path("g/e/f"), limit: 1)
        #expect(gone.map(\.path) == ["g/e/f"])
    }

    @Test func `a version comes back as a new version, for everybody`() throws {
        let (network, alice, bob) = try pair(seed: 2)
        try alice.write("f", "one")
        network.run()
        try bob.write("f", "second")
        network.run()
        let first = try #require(
            try bob.volume.history(of: path("f"), limit: 10).last { $0.operation == "write" })
        var missing: [ChunkReference] = []
        let report = try bob.volume.restore(path("f"), version: first.id, missing: &missing)
        #expect(report.files == 1 && missing.isEmpty)
        network.run()
        #expect(try alice.text("f") == "one")
        #expect(alice.volume.status().conflicts == 0)
        #expect(try alice.volume.history(of: path("f"), limit: 10).count == 5)
        // Again: nothing to do.
        #expect(
            try bob.volume.restore(path("f"), version: first.id, missing: &missing).unchanged == 1)
        _ = try bob.volume.restore(
            path("f"), version: first.id, to: path("new/g"), missing: &missing)
        network.run()
        #expect(try alice.text("new/g") == "one")
        #expect(throws: VolumeError.notFound) {
            try bob.volume.restore(path("f"), version: "00000000.0.0", missing: &missing)
        }
    }

    @Test func `a removed file comes back with its history`() throws {
        let (network, alice, bob) = try pair(seed: 3)
        try alice.mkdir("d")
        try alice.write("d/f", "one")
        network.run()
        try alice.unlink("d/f")
        try alice.rmdir("d")
        network.run()
        let write = try #require(
            try bob.volume.history(of: path("d/f"), limit: 10).first { $0.operation == "write" })
        var missing: [ChunkReference] = []
        _ = try bob.volume.restore(path("d/f"), version: write.id, missing: &missing)
        network.run()
        #expect(try alice.text("d/f") == "one")
        let history = try alice.volume.history(of: path("d/f"), limit: 10)
        #expect(history.map(\.operation).suffix(4) == ["remove", "write", "place", "make"])
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    @Test func `the tree as it was is told, also by a device that came later`() throws {
        let (network, alice, bob) = try pair(seed: 4)
        try alice.mkdir("d")
        try alice.write("d/f", "one")
        try bob.write("g", "g")
        network.run()
        let then = alice.wallTime().milliseconds
        let before = try tree(try past(alice, then))
        network.run(seconds: 5)
        try alice.rename("d", "e")
        network.run()
        try bob.write("e/f", "two")
        try alice.unlink("g")
        network.run()
        #expect(before == "/d/\n/d/f = one\n/g = g")
        #expect(try tree(try past(alice, then)) == before)
        #expect(try tree(try past(bob, then)) == before)
        #expect(try tree(try past(bob, 1000)) == "")
        let carol = try network.addDevice("carol")
        network.connect(carol, bob)
        network.run()
        #expect(try tree(try past(carol, then)) == before)
        #expect(
            try tree(try past(carol, carol.wallTime().milliseconds)) == "/e/\n/e/f = two")
    }

    @Test func `a directory comes back as it was, and what came since stays`() throws {
        let (network, alice, bob) = try pair(seed: 5)
        try alice.mkdir("d")
        try alice.mkdir("d/deep")
        try alice.write("d/kept", "kept")
        try alice.write("d/edited", "before")
        try alice.write("d/deep/gone", "gone")
        try alice.write("d/moved", "moved")
        try alice.write("d/kind", "a file")
        network.run()
        let then = alice.wallTime().milliseconds
        network.run(seconds: 5)
        try bob.write("d/edited", "after")
        try bob.unlink("d/deep/gone")
        try bob.rmdir("d/deep")
        try bob.rename("d/moved", "elsewhere")
        try bob.unlink("d/kind")
        try bob.mkdir("d/kind")
        try bob.write("d/new", "new")
        network.run()
        var missing: [ChunkReference] = []
        let report = try alice.volume.restore(
            path("d"), from: try past(alice, then), missing: &missing)
        network.run()
        for device in [alice, bob] {
            #expect(
                try device.names("d") == [
                    "deep", "edited", "kept", "kind", "kind (restored)", "moved", "new",
                ])
            #expect(try device.text("d/edited") == "before")
            #expect(try device.text("d/deep/gone") == "gone")
            #expect(try device.text("d/moved") == "moved")
            #expect(try device.text("elsewhere") == "moved")
            #expect(try device.text("d/kind (restored)") == "a file")
            #expect(try device.text("d/new") == "new")
        }
        #expect(report.files == 4 && report.directories == 1)
        #expect(report.renamed == ["d/kind (restored)"])
        // Beside the present: the whole of it, without a change there.
        _ = try bob.volume.restore(
            path("d"), from: try past(bob, then), to: path("copy"), missing: &missing)
        network.run()
        #expect(
            try alice.names("copy") == ["deep", "edited", "kept", "kind", "moved"])
        #expect(alice.volume.status().digest == bob.volume.status().digest)
        for device in [alice, bob] {
            #expect(
                try device.volume.check(scratch: MemoryShareStorage()).problems.isEmpty)
        }
    }

    @Test func `the policy says what old versions keep their bytes`() throws {
        let (network, alice, bob) = try pair(seed: 6)
        var random = SeededRandom(seed: 9)
        let texts = (0..<6).map { _ in random.bytes(100_000) }
        // Two a day, for three days.
        for (index, bytes) in texts.enumerated() {
            alice.clockSkew = Int64(index / 2) * 86400 + Int64(index % 2) * 3600
            try alice.write("f", bytes)
            network.run(seconds: 1)
        }
        let ids = try alice.volume.history(of: path("f"), limit: 20)
            .filter { $0.operation == "write" }.map(\.id).reversed().map { $0 }
        let day = RetentionPolicy.day
        #expect(alice.volume.retention == .standard)
        alice.clockSkew = 20 * 86400
        #expect(try alice.volume.collectChunks() == 0)
        alice.clockSkew = 40 * 86400
        let policy = RetentionPolicy(everything: day, daily: 60 * day, space: 0)
        try alice.volume.setRetention(policy)
        network.run(seconds: 1)
        #expect(bob.volume.retention == policy)
        #expect(try alice.volume.collectChunks() >= 200_000)
        let isKept = try ids.enumerated().map { index, id in
            var missing: [ChunkReference] = []
            _ = try alice.volume.restore(
                path("f"), version: id, to: path("x\(index)"), missing: &missing)
            return missing.isEmpty
        }
        #expect(isKept == [false, true, false, true, true, true])
        #expect(try alice.read("f") == texts[5])
        #expect(try alice.read("x1") == texts[1])
    }

    @Test func `a removed file keeps its bytes while an edit may still bring it back`() throws {
        let (network, alice, bob) = try pair(seed: 8)
        var random = SeededRandom(seed: 11)
        let (first, second) = (random.bytes(100_000), random.bytes(100_000))
        try alice.write("f", first)
        try bob.write("other", "bob has written")
        network.run(seconds: 5)
        network.disconnectAll()
        try alice.write("f", second)
        try alice.unlink("f")
        network.run(seconds: 1)
        // Longer than anything that is gone is kept. Bob knows nothing of it, and writes.
        alice.clockSkew = 500 * 86400
        _ = try alice.volume.collectChunks()
        try bob.write("f", "bob's\n")
        network.connect(bob, alice)
        network.run()
        for device in [alice, bob] {
            #expect(device.volume.status().pending.chunks == 0)
            let shown = try device.names().map { try device.read($0) }
            #expect(shown.contains(second))
        }
        // Now everybody knows.
        for name in try alice.names() where name != "other" { try alice.unlink(name) }
        network.run(seconds: 5)
        try bob.write("other", "bob knows")
        network.run(seconds: 5)
        alice.clockSkew = 1000 * 86400
        #expect(try alice.volume.collectChunks() >= 100_000)
    }

    /// Who removed it has seen that it did, though no block says so of its own log.
    @Test func `what another member removed does not keep its bytes for ever`() throws {
        let (network, alice, bob) = try pair(seed: 9)
        var random = SeededRandom(seed: 12)
        try alice.write("f", random.bytes(100_000))
        network.run(seconds: 5)
        try bob.unlink("f")
        network.run(seconds: 5)
        try alice.write("other", "alice knows")
        network.run(seconds: 5)
        for device in [alice, bob] {
            device.clockSkew = 500 * 86400
            #expect(try device.volume.collectChunks() >= 100_000)
        }
    }

    @Test func `of what was, the newest has room first`() throws {
        let (network, alice, _) = try pair(seed: 7)
        var random = SeededRandom(seed: 10)
        for index in 0..<6 {
            alice.clockSkew = Int64(index) * 60
            try alice.write("f", random.bytes(100_000))
            network.run(seconds: 1)
        }
        let ids = try alice.volume.history(of: path("f"), limit: 20)
            .filter { $0.operation == "write" }.map(\.id)
        try alice.volume.setRetention(
            RetentionPolicy(
                everything: RetentionPolicy.day, daily: 2 * RetentionPolicy.day, space: 250_000))
        #expect(try alice.volume.collectChunks() > 250_000)
        let isMissing = try ids.map { id in
            var missing: [ChunkReference] = []
            let report = try alice.volume.restore(
                path("f"), version: id, to: path("x \(id)"), missing: &missing)
            #expect(report.missing.isEmpty == missing.isEmpty)
            return !missing.isEmpty
        }
        #expect(isMissing == [false, false, false, true, true, true])
        // A day after nothing of them is owed.
        alice.clockSkew = 10 * 86400
        for id in ids { try? alice.unlink("x \(id)") }
        alice.clockSkew = 20 * 86400
        #expect(try alice.volume.collectChunks() > 150_000)
        let report = try alice.volume.check(scratch: MemoryShareStorage())
        #expect(report.problems.isEmpty)
    }
}
