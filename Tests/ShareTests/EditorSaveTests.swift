import Base
import Chunks
import Foundation
import Testing

@testable import Share

/// Saves keep a file's identity, however a program makes them.
@Suite struct EditorSaveTests {
    /// More saves: `HOLDFAST_ROUNDS=10000 swift test --filter EditorSaveTests`.
    static let saves =
        ProcessInfo.processInfo.environment["HOLDFAST_ROUNDS"].flatMap { Int($0) } ?? 60

    private func pair(_ seed: UInt64) throws -> (Network, Network.Device, Network.Device) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run(seconds: 3)
        return (network, alice, bob)
    }

    @Test(arguments: EditorSave.allCases)
    func `the file that was saved is the same file`(_ pattern: EditorSave) throws {
        let (network, alice, bob) = try pair(1)
        try alice.write("f.txt", "first\n")
        network.run(seconds: 3)
        let node = try alice.directory("f.txt")
        let seen = try bob.directory("f.txt")
        for save in 0..<3 {
            let before = try alice.volume.attributes(of: node).number
            try pattern.save("f.txt", "save \(save)\n", on: alice)
            #expect(try alice.directory("f.txt") == node)
            #expect(try alice.text("f.txt") == "save \(save)\n")
            #expect(try alice.names() == pattern.names("f.txt"))
            // Programs see another file all the same: its number, and the old one's on the backup.
            let after = try alice.volume.attributes(of: node).number
            #expect((after == before) == (pattern == .inPlace))
            if let backup = pattern.names("f.txt").dropFirst().first {
                #expect(try alice.text(backup) == (save == 0 ? "first\n" : "save \(save - 1)\n"))
                let kept = try alice.volume.lookup(Array(backup.utf8), in: .root)
                #expect(kept.number == before)
            }
        }
        network.run(seconds: 3)
        #expect(try bob.directory("f.txt") == seen)
        #expect(try bob.names() == pattern.names("f.txt"))
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    @Test(arguments: EditorSave.allCases)
    func `a save is merged with an edit elsewhere, or is a conflict with it`(
        _ pattern: EditorSave
    ) throws {
        for (theirs, count) in [("one\ntwo\n3\n", 0), ("eins\ntwo\nthree\n", 1)] {
            let (network, alice, bob) = try pair(2)
            try alice.write("f.txt", "one\ntwo\nthree\n")
            network.run(seconds: 3)
            network.disconnectAll()
            try pattern.save("f.txt", "1\ntwo\nthree\n", on: alice)
            try bob.write("f.txt", theirs)
            network.run(seconds: 1)
            network.connect(alice, bob)
            network.run(seconds: 5)
            let names = try alice.names().filter { $0.hasPrefix("f (conflict ") }
            #expect(names.count == count)
            #expect(try bob.names() == alice.names())
            #expect(try alice.names().filter { !names.contains($0) } == pattern.names("f.txt"))
            if count == 0 { #expect(try bob.text("f.txt") == "1\ntwo\n3\n") }
            #expect(alice.volume.status().digest == bob.volume.status().digest)
        }
    }

    @Test(arguments: EditorSave.allCases, [-86_400, 0, 86_400] as [Int64])
    func `one person on two devices never sees a copy`(_ pattern: EditorSave, _ skew: Int64)
        throws
    {
        let (network, alice, bob) = try pair(3)
        bob.clockSkew = skew
        try alice.write("f.txt", "first\n")
        network.run(seconds: 1)
        for save in 0..<Self.saves {
            let device = save.isMultiple(of: 2) ? alice : bob
            try pattern.save("f.txt", "save \(save)\n", on: device)
            network.run(seconds: 0.5)
            let other = device === alice ? bob : alice
            guard try other.names() == pattern.names("f.txt"),
                try other.text("f.txt") == "save \(save)\n"
            else {
                Issue.record("save \(save): \(try other.names())")
                return
            }
        }
        #expect(alice.volume.status().conflicts == 0)
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    /// Bob changes `b` while alice has a file `a` of her own.
    private func two(
        _ seed: UInt64, _ make: (Network.Device, Network) throws -> Void
    ) throws -> (Network, Network.Device, Network.Device) {
        let (network, alice, bob) = try pair(seed)
        try alice.write("b", "old\n")
        network.run(seconds: 3)
        try make(alice, network)
        try bob.write("b", "bob's\n")
        network.run(seconds: 3)
        #expect(try alice.text("b") == "bob's\n")
        return (network, alice, bob)
    }

    @Test func `who moves a file that has been there for a while over another has seen that`()
        throws
    {
        let (network, alice, bob) = try two(6) { alice, network in
            try alice.write("a", "alice's\n")
            network.run(seconds: 60)
        }
        let moved = try alice.directory("a")
        try alice.rename("a", "b")
        network.run(seconds: 3)
        for device in [alice, bob] {
            #expect(try device.names() == ["b"])
            #expect(try device.text("b") == "alice's\n")
            #expect(device.volume.status().conflicts == 0)
        }
        #expect(try alice.directory("b") == moved)
    }

    @Test func `who moves a file made seconds ago over another has seen what came in since`()
        throws
    {
        let (network, alice, bob) = try two(16) { alice, _ in try alice.write("a", "alice's\n") }
        let saved = try alice.directory("b")
        try alice.rename("a", "b")
        network.run(seconds: 3)
        for device in [alice, bob] {
            #expect(try device.names() == ["b"])
            #expect(try device.text("b") == "alice's\n")
            #expect(device.volume.status().conflicts == 0)
        }
        // The file goes on being the same, for edits elsewhere that nobody has seen.
        #expect(try alice.directory("b") == saved)
    }

    @Test func `nor is a file temporary that is edited, and was edited before`() throws {
        let (network, alice, bob) = try two(7) { alice, network in
            try alice.write("a", "alice's\n")
            network.run(seconds: 90)
        }
        try alice.write("a", "alice's own\n")
        try alice.rename("a", "b")
        network.run(seconds: 3)
        #expect(try bob.names() == ["b"])
        #expect(try bob.text("b") == "alice's own\n")
        #expect(bob.volume.status().conflicts == 0)
    }

    @Test func `a temporary file may take its time to write`() throws {
        let (network, alice, bob) = try pair(8)
        try alice.write("b", "old\n")
        network.run(seconds: 3)
        let node = try alice.directory("b")
        let made = try alice.volume.make(
            Array(".b.a7EG".utf8), in: .root, MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0))
        network.run(seconds: 600)
        try bob.write("b", "bob's\n")
        network.run(seconds: 3)
        _ = try alice.volume.publish(
            Save(
                node: made.node, parents: [], content: .inline(Array("alice's\n".utf8)),
                modified: alice.wallTime(), settlesStaging: false))
        try alice.rename(".b.a7EG", "b")
        network.run(seconds: 3)
        // Its program had begun with the old bytes: bob's stand beside, since both changed one line.
        #expect(try alice.directory("b") == node)
        #expect(try alice.text("b") == "alice's\n")
        #expect(alice.volume.status().conflicts == 1)
        #expect(try bob.names() == alice.names())
    }

    @Test(arguments: [EditorSave.keptBackup, .asideAndRename, .linkedBackup])
    func `a backup has the time that was set of the file, on every device`(_ pattern: EditorSave)
        throws
    {
        let (network, alice, bob) = try pair(12)
        try alice.write("f", "old")
        // As a kernel tells it that keeps times itself: after the version was made.
        let time = Timestamp(seconds: 1_500_000_000, nanoseconds: 7)
        _ = try alice.volume.setAttributes(
            of: try alice.directory("f"), to: AttributeChange(modified: time))
        network.run(seconds: 3)
        try pattern.save("f", "new", on: alice)
        network.run(seconds: 3)
        let backup = try #require(pattern.names("f").last)
        for device in [alice, bob] {
            #expect(try device.text(backup) == "old")
            let node = try device.directory(backup)
            #expect(try device.volume.attributes(of: node).modified == time, "\(device.name)")
        }
    }

    @Test func `the temporary file's time is the saved file's`() throws {
        let (network, alice, bob) = try pair(13)
        try alice.write("f", "old")
        network.run(seconds: 3)
        let former = try alice.directory("f")
        try alice.write("tmp", "new")
        let time = Timestamp(seconds: 1_500_000_000, nanoseconds: 7)
        _ = try alice.volume.setAttributes(
            of: try alice.directory("tmp"), to: AttributeChange(modified: time))
        try alice.rename("f", "f~")
        let result = try alice.volume.rename(
            Array("tmp".utf8), in: .root, to: Array("f".utf8), in: .root, .replace,
            succeeding: former)
        guard case .succeeded = result else { throw NoSave() }
        network.run(seconds: 3)
        for device in [alice, bob] {
            let node = try device.directory("f")
            #expect(try device.volume.attributes(of: node).modified == time, "\(device.name)")
        }
    }

    @Test func `a link that was there before keeps the old file`() throws {
        let (network, alice, bob) = try pair(9)
        try alice.write("f", "old")
        let node = try alice.directory("f")
        _ = try alice.volume.link(node, as: Array("link".utf8), in: .root)
        network.run(seconds: 30)
        try alice.write("tmp", "new")
        try alice.rename("tmp", "f")
        network.run(seconds: 3)
        for device in [alice, bob] {
            #expect(try device.text("link") == "old")
            #expect(try device.text("f") == "new")
        }
        #expect(try alice.directory("link") == node)
    }

    @Test func `a file with other links is left alone`() throws {
        let (network, alice, bob) = try pair(4)
        try alice.write("f", "old")
        let node = try alice.directory("f")
        _ = try alice.volume.link(node, as: Array("link".utf8), in: .root)
        #expect(throws: NoSave.self) {
            try EditorSave.unlinkAndCreate.save("f", "new", on: alice)
        }
        #expect(try alice.text("link") == "old")
        #expect(try alice.text("f") == "new")
        #expect(try alice.directory("link") == node)
        network.run(seconds: 3)
        #expect(try bob.text("link") == "old")
        #expect(try bob.text("f") == "new")
    }

    @Test func `a save of a merge succeeds all that was shown`() throws {
        for pattern in EditorSave.allCases {
            let (network, alice, bob) = try pair(5)
            try alice.write("f.txt", "one\ntwo\nthree\n")
            network.run(seconds: 3)
            network.disconnectAll()
            try alice.write("f.txt", "1\ntwo\nthree\n")
            try bob.write("f.txt", "one\ntwo\n3\n")
            network.run(seconds: 1)
            network.connect(alice, bob)
            network.run(seconds: 5)
            #expect(try alice.text("f.txt") == "1\ntwo\n3\n")
            try pattern.save("f.txt", "all new\n", on: alice)
            network.run(seconds: 5)
            #expect(try bob.names() == pattern.names("f.txt"), "\(pattern)")
            #expect(try bob.text("f.txt") == "all new\n", "\(pattern)")
            if let backup = pattern.names("f.txt").dropFirst().first {
                #expect(try bob.text(backup) == "1\ntwo\n3\n")
            }
        }
    }
}
