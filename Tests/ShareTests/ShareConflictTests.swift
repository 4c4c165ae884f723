import Base
import Chunks
import FileTree
import Testing
import TextMerge

@testable import Share

/// Conflicts as they are listed, settled and explained.
@Suite struct ShareConflictTests {
    /// Devices need their network to be there until the end of a test.
    private final class Kept { var networks: [Network] = [] }
    private let kept = Kept()

    /// Two devices that both have what `setup` makes, then do their halves apart, bob a second later, and
    /// meet again.
    private func meet(
        seed: UInt64, setup: (Network.Device) throws -> Void = { _ in },
        _ first: (Network.Device) throws -> Void, _ second: (Network.Device) throws -> Void
    ) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        kept.networks.append(network)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try setup(alice)
        network.run()
        network.disconnectAll()
        try first(alice)
        network.run(seconds: 1)
        try second(bob)
        network.run(seconds: 1)
        network.connect(bob, alice)
        network.run()
        return (network, alice, bob)
    }

    private func path(_ text: String) -> [[UInt8]] {
        text.split(separator: "/").map { Array($0.utf8) }
    }

    private func text(_ version: ShareConflict.Version, on device: Network.Device) throws -> String
    {
        let content = try device.volume.openContent(of: version.node).content
        guard case .inline(let bytes) = content else { return "large" }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func twoHeads(_ name: String = "f.bin", seed: UInt64)
        throws -> (Network, Network.Device, Network.Device)
    {
        try meet(
            seed: seed, setup: { try $0.write(name, "\0base") },
            { try $0.write(name, "\0by alice") }, { try $0.write(name, "\0bob") })
    }

    // MARK: Telling

    @Test func `two heads of one file are one conflict, told alike everywhere`() throws {
        let (_, alice, bob) = try twoHeads(seed: 1)
        for device in [alice, bob] {
            let conflicts = try device.volume.conflicts()
            let conflict = try #require(conflicts.first)
            #expect(conflicts.count == 1)
            #expect(conflict.path == path("f.bin"))
            #expect(conflict.kind == .versions)
            #expect(!conflict.isHidden)
            #expect(conflict.versions.map(\.device) == ["bob", "alice"])
            #expect(conflict.versions.map(\.isShown) == [true, false])
            #expect(conflict.versions.map(\.reason) == [.writtenLast, .writtenEarlier])
            #expect(conflict.versions.map(\.size) == [4, 9])
            #expect(conflict.versions.map(\.isOwn) == [device === bob, device === alice])
            #expect(
                try conflict.versions.map { try text($0, on: device) } == ["\0bob", "\0by alice"])
            let copy = try #require(conflict.versions[1].shownName)
            #expect(try device.names().contains(String(decoding: copy, as: UTF8.self)))
            #expect(try device.volume.conflict(at: [copy]) == conflict)
            #expect(try device.volume.conflict(at: path("f.bin")) == conflict)
            #expect(try device.volume.conflicts(below: path("other")).isEmpty)
            let base = try device.volume.base(
                of: conflict.versions[0].node, conflict.versions[1].node)
            #expect(base?.size == 5)
            #expect(try device.volume.check(scratch: MemoryShareStorage()).problems == [])
        }
        let ids = try [alice, bob].map { try $0.volume.conflicts()[0].versions.map(\.id) }
        #expect(ids[0] == ids[1])
    }

    @Test func `things of one name are a conflict, and why one has it is told`() throws {
        let (_, alice, bob) = try meet(
            seed: 2, setup: { try $0.mkdir("d") },
            {
                try $0.write("d/n", "\0first")
                try $0.write("d/m", "\0file")
            },
            {
                try $0.write("d/n", "\0second")
                try $0.mkdir("d/m")
            })
        for device in [alice, bob] {
            let conflicts = try device.volume.conflicts(below: path("d"))
            #expect(conflicts.map(\.path) == [path("d/m"), path("d/n")])
            #expect(conflicts.allSatisfy { $0.kind == .name })
            #expect(conflicts[0].versions.map(\.kind) == [.directory, .file])
            #expect(conflicts[0].versions.map(\.reason) == [.folderFirst, .folderFirst])
            #expect(conflicts[1].versions.map(\.reason) == [.nameFirst, .nameLater])
            #expect(conflicts[1].versions.map(\.device) == ["alice", "bob"])
        }
    }

    @Test func `in a git folder and beside a live database a loser is listed only`() throws {
        let (network, alice, bob) = try meet(
            seed: 3,
            setup: {
                try $0.mkdir(".git")
                try $0.mkdir(".git/refs")
                for name in [".git/refs/main", "app.db", "app.db-wal"] {
                    try $0.write(name, "\0base")
                }
            },
            { for name in [".git/refs/main", "app.db"] { try $0.write(name, "\0alice") } },
            { for name in [".git/refs/main", "app.db"] { try $0.write(name, "\0bob") } })
        for device in [alice, bob] {
            #expect(try device.names() == [".git", "app.db", "app.db-wal"])
            #expect(try device.names(".git/refs") == ["main"])
            let conflicts = try device.volume.conflicts()
            #expect(Set(conflicts.map(\.path)) == [path("app.db"), path(".git/refs/main")])
            for conflict in conflicts {
                #expect(conflict.isHidden)
                #expect(try text(conflict.versions[1], on: device) == "\0alice")
            }
        }
        #expect(throws: ResolutionError.hidden) {
            try alice.volume.resolve(path("app.db"), .both)
        }
        try alice.volume.resolve(path("app.db"), .ours)
        try bob.volume.resolve(path(".git/refs/main"), .theirs)
        network.run()
        for device in [alice, bob] {
            #expect(try device.text("app.db") == "\0alice")
            #expect(try device.text(".git/refs/main") == "\0alice")
            #expect(try device.volume.conflicts().isEmpty)
        }
    }

    @Test func `what only seems to be in the list of conflicts is found by check`() throws {
        let (_, alice, _) = try twoHeads(seed: 4)
        let row = try #require(try alice.storage.conflicts(after: nil, limit: 1).first)
        try alice.storage.remove(row)
        let problems = try alice.volume.check(scratch: MemoryShareStorage()).problems
        #expect(problems.count == 1)
        #expect(problems.first?.contains("list of conflicts") == true)
        try alice.volume.rebuildView()
        #expect(try alice.volume.check(scratch: MemoryShareStorage()).problems == [])
        #expect(try alice.volume.conflicts().count == 1)
    }

    // MARK: Settling

    @Test(arguments: [Resolution.ours, .theirs, .version("alice"), .version("bob")])
    func `keeping one version settles the conflict on all devices`(_ wanted: Resolution) throws {
        let (network, alice, bob) = try twoHeads(seed: 5)
        try alice.volume.resolve(path("f.bin"), wanted)
        network.run()
        let kept = wanted == .ours || wanted == .version("alice") ? "\0by alice" : "\0bob"
        for device in [alice, bob] {
            #expect(try device.names() == ["f.bin"])
            #expect(try device.text("f.bin") == kept)
            #expect(device.volume.status().conflicts == 0)
            #expect(try device.volume.check(scratch: MemoryShareStorage()).problems == [])
        }
        #expect(throws: ResolutionError.noConflict) {
            try alice.volume.resolve(path("f.bin"), wanted)
        }
        // An ordinary version: the next edit succeeds it.
        try bob.write("f.bin", "\0more")
        network.run()
        #expect(try alice.text("f.bin") == "\0more")
        #expect(try alice.volume.conflicts().isEmpty)
    }

    @Test func `a version is named by its operation, or not at all`() throws {
        let (network, alice, bob) = try twoHeads(seed: 6)
        let versions = try alice.volume.conflicts()[0].versions
        #expect(throws: ResolutionError.self) {
            try alice.volume.resolve(path("f.bin"), .version("carol"))
        }
        #expect(throws: ResolutionError.self) {
            try alice.volume.resolve(path("f.bin"), .version("0000.1.1"))
        }
        #expect(try alice.volume.conflicts().count == 1)
        let copy = try #require(versions[1].shownName)
        try alice.volume.resolve([copy], .version(versions[1].id))
        network.run()
        #expect(try bob.text("f.bin") == "\0by alice")
        #expect(try bob.names() == ["f.bin"])
    }

    @Test func `keeping both makes the copy a file of its own`() throws {
        let (network, alice, bob) = try twoHeads(seed: 7)
        let names = try alice.names()
        try bob.volume.resolve(path("f.bin"), .both)
        network.run()
        for device in [alice, bob] {
            #expect(try device.names() == names)
            #expect(try device.text(names[0]) == "\0by alice")
            #expect(try device.text("f.bin") == "\0bob")
            #expect(try device.volume.conflicts().isEmpty)
        }
    }

    @Test func `of several files of one name the kept one has it alone`() throws {
        for wanted in [Resolution.ours, .theirs, .both] {
            let (network, alice, bob) = try meet(
                seed: 8, { try $0.write("n", "\0first") }, { try $0.write("n", "\0second") })
            try bob.volume.resolve(path("n"), wanted)
            network.run()
            for device in [alice, bob] {
                #expect(try device.text("n") == (wanted == .ours ? "\0second" : "\0first"))
                #expect(try device.names().count == (wanted == .both ? 2 : 1))
                #expect(try device.volume.conflicts().isEmpty)
            }
        }
    }

    @Test func `what has the mount's own name gets the one it shows`() throws {
        let (network, alice, bob) = try meet(seed: 16, { try $0.mkdir(".holdfast") }, { _ in })
        let conflict = try #require(try bob.volume.conflicts().first)
        #expect(conflict.kind == .reserved)
        #expect(conflict.versions.map(\.reason) == [.reserved])
        let names = try bob.names()
        #expect(names.count == 1 && names[0].hasPrefix(".holdfast (conflict alice "))
        try bob.volume.resolve(path(".holdfast"), .theirs)
        network.run()
        for device in [alice, bob] {
            #expect(try device.names() == names)
            #expect(try device.volume.conflicts().isEmpty)
        }
    }

    @Test func `a folder is not removed to settle a conflict`() throws {
        let (network, alice, bob) = try meet(
            seed: 9, { try $0.write("n", "\0file") },
            {
                try $0.mkdir("n")
                try $0.write("n/inside", "\0kept")
            })
        #expect(throws: ResolutionError.folder) { try alice.volume.resolve(path("n"), .ours) }
        try alice.volume.resolve(path("n"), .theirs)
        network.run()
        for device in [alice, bob] {
            #expect(try device.names() == ["n"])
            #expect(try device.text("n/inside") == "\0kept")
        }
    }

    @Test func `a merge settles what it was made from, and nothing that came since`() throws {
        let (network, alice, bob) = try twoHeads(seed: 10)
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run()
        let seen = try alice.volume.conflicts()[0].versions.map(\.id)
        network.disconnectAll()
        // Carol edits what she sees, without knowing of the merge.
        try carol.write("f.bin", "\0carol")
        network.run(seconds: 1)
        let merged = Content.inline(Array("\0merged".utf8))
        _ = try alice.volume.resolve(
            path("f.bin"), with: merged, modified: alice.wallTime(), seen: seen)
        network.run(seconds: 1)
        #expect(try alice.volume.conflicts().isEmpty)
        #expect(try alice.text("f.bin") == "\0merged")
        network.connect(carol, alice)
        network.connect(bob, alice)
        network.run()
        for device in [alice, bob, carol] {
            let conflict = try #require(try device.volume.conflicts().first)
            let texts = try conflict.versions.map { try text($0, on: device) }
            #expect(Set(texts) == ["\0merged", "\0carol"])
        }
        #expect(throws: ResolutionError.noConflict) {
            _ = try alice.volume.resolve(
                path("f.bin"), with: merged, modified: alice.wallTime(), seen: seen)
        }
    }

    @Test func `two devices that settle it differently have a conflict again, and lose nothing`()
        throws
    {
        let (network, alice, bob) = try twoHeads(seed: 11)
        network.disconnectAll()
        try alice.volume.resolve(path("f.bin"), .ours)
        network.run(seconds: 1)
        try bob.volume.resolve(path("f.bin"), .ours)
        network.run(seconds: 1)
        network.connect(bob, alice)
        network.run()
        for device in [alice, bob] {
            let versions = try #require(try device.volume.conflicts().first).versions
            #expect(try versions.map { try text($0, on: device) } == ["\0bob", "\0by alice"])
        }
    }

    @Test func `the mount's kernel hears of all that settling changes`() throws {
        final class Observer: VolumeObserver {
            let changes = Guarded<[ViewChange]>([])
            func volumeChanged(_ changes: [ViewChange]) {
                self.changes.withLock { $0 += changes }
            }
        }
        let (_, alice, _) = try twoHeads(seed: 12)
        let node = try alice.directory("f.bin")
        let observer = Observer()
        alice.volume.setObserver(observer)
        try alice.volume.resolve(path("f.bin"), .ours)
        let changes = observer.changes.withLock { $0 }
        #expect(changes.contains(.content(node)))
        #expect(changes.contains { if case .entry = $0 { true } else { false } })
    }

    // MARK: Explaining

    @Test func `an explanation names the operations behind what shows`() throws {
        let (network, alice, bob) = try twoHeads(seed: 13)
        let first = try alice.volume.explain(path("f.bin"))
        #expect(first.content == .lastWritten)
        #expect(first.heads.map(\.state) == [.shown, .copy])
        #expect(first.heads.map(\.cause.device) == ["bob", "alice"])
        #expect(first.made.device == "alice")
        #expect(first.heads[1].bases == first.heads[0].parents)
        #expect(first.heads.map(\.cause.operation) == first.conflict?.versions.map(\.id))
        let copy = try #require(first.heads[1].shownName)
        #expect(try alice.volume.explain([copy]).content == .conflictCopy)
        try bob.volume.unlink(copy, in: .root)
        network.run()
        let second = try alice.volume.explain(path("f.bin"))
        #expect(second.content == .othersClosed)
        #expect(second.heads.map(\.state) == [.shown, .closed])
        #expect(second.conflict == nil)
        #expect(try alice.volume.explain([]).kind == .directory)
        #expect(throws: VolumeError.notFound) { try alice.volume.explain(path("gone")) }
    }

    @Test func `merged heads are explained by the rules that merged them, others by why not`()
        throws
    {
        let (_, alice, bob) = try meet(
            seed: 17,
            setup: { device in
                for name in ["apart.txt", "same.txt", "HEAD"] {
                    try device.write(name, "a\nb\nc\nd\ne\n")
                }
            },
            {
                try $0.write("apart.txt", "A\nb\nc\nd\ne\n")
                try $0.write("HEAD", "A\nb\nc\nd\ne\n")
                try $0.write("same.txt", "a\nb\nalice\nd\ne\n")
            },
            {
                try $0.write("apart.txt", "a\nb\nc\nd\nE\n")
                try $0.write("HEAD", "a\nb\nc\nd\nE\n")
                try $0.write("same.txt", "a\nb\nbob\nd\ne\n")
            })
        for device in [alice, bob] {
            #expect(try device.text("apart.txt") == "A\nb\nc\nd\nE\n")
            let merged = try device.volume.explain(path("apart.txt"))
            #expect(merged.content == .merged)
            #expect(merged.rulesVersion == 1)
            #expect(merged.heads.map(\.state) == [.shown, .shown])
            // The later head was merged with the earlier, from the version that both come from.
            #expect(merged.heads.map(\.bases) == [merged.heads[1].parents, []])
            #expect(merged.heads[1].parents.count == 1)
            #expect(merged.conflict == nil)
            let apart = try device.volume.explain(path("same.txt"))
            #expect(apart.content == .lastWritten)
            #expect(apart.rulesVersion == nil)
            #expect(apart.merging == "both changed the same words")
            let whole = try device.volume.explain(path("HEAD"))
            #expect(whole.content == .lastWritten)
            #expect(
                whole.merging == "git keeps references in a file of this name: it is never merged")
            #expect(
                try device.volume.conflicts().map(\.path) == [path("HEAD"), path("same.txt")])
            #expect(try device.volume.check(scratch: MemoryShareStorage()).problems == [])
        }
    }

    @Test func `why a large file is not merged is told`() throws {
        let large = String(repeating: "line\n", count: MergeRules.sizeMax / 5 + 1)
        let (_, alice, bob) = try meet(
            seed: 18, setup: { try $0.write("large.txt", large) },
            { try $0.write("large.txt", "alice\n" + large) },
            { try $0.write("large.txt", large + "bob\n") })
        for device in [alice, bob] {
            let explained = try device.volume.explain(path("large.txt"))
            #expect(explained.content == .lastWritten)
            #expect(
                explained.merging == "only UTF-8 of at most 4 MiB and 100,000 lines is merged")
        }
        try bob.volume.setMergeRules(0)
        let off = try bob.volume.explain(path("large.txt"))
        #expect(off.merging == "not merged in this share")
    }

    @Test func `a united folder is told with all that made it`() throws {
        let (_, alice, _) = try meet(
            seed: 14, { try $0.mkdir("d") }, { try $0.mkdir("d") })
        let explanation = try alice.volume.explain(path("d"))
        #expect(explanation.made.device == "alice")
        #expect(explanation.unitedWith.map(\.device) == ["bob"])
    }

    @Test func `facts tell writer, versions and the other side`() throws {
        let (_, alice, _) = try twoHeads("d.bin", seed: 15)
        let conflict = try alice.volume.conflicts()[0]
        let shown = try alice.volume.facts(of: try alice.directory("d.bin"))
        #expect(shown.writer == "bob")
        #expect(shown.versions == conflict.versions.map(\.id))
        let copy = try #require(conflict.versions[1].shownName)
        #expect(shown.others == [copy])
        let other = try alice.volume.facts(of: try alice.volume.lookup(copy, in: .root).node)
        #expect(other.writer == "alice")
        #expect(other.versions == [conflict.versions[1].id])
        #expect(other.others == [Array("d.bin".utf8)])
        try alice.write("plain", "x")
        let plain = try alice.volume.facts(of: try alice.directory("plain"))
        #expect(plain.others == nil)
        #expect(plain.versions.count == 1)
    }
}
