import Base
import Chunks
import FileTree
import Testing

@testable import Share

/// Files that another device removes while a program writes to them here.
@Suite struct RemovedElsewhereTests {
    /// Alice and bob have `d/f`; bob removes it, and she hears of that.
    private func removed(seed: UInt64, withFolder: Bool = false) throws -> (
        network: Network, alice: Network.Device, bob: Network.Device, save: Save
    ) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.mkdir("d")
        try alice.write("d/f", "known to both")
        network.run()
        let node = try alice.directory("d/f")
        let save = Save(
            node: node, parents: try alice.volume.openContent(of: node).versions,
            content: .inline(Array("written meanwhile".utf8)), modified: alice.wallTime(),
            settlesStaging: true, bringsBack: true)
        try bob.unlink("d/f")
        if withFolder { try bob.rmdir("d") }
        network.run()
        return (network, alice, bob, save)
    }

    private func expectOne(_ network: Network, _ alice: Network.Device, _ bob: Network.Device)
        throws
    {
        network.run()
        #expect(alice.volume.status().digest == bob.volume.status().digest, "\(network.log)")
        for device in [alice, bob] {
            #expect(try device.volume.check(scratch: MemoryShareStorage()).problems.isEmpty)
        }
    }

    @Test(arguments: [false, true])
    func `what was written before one could know of it brings a file back`(withFolder: Bool) throws
    {
        let (network, alice, bob, save) = try removed(seed: 1, withFolder: withFolder)
        #expect(throws: VolumeError.self) { try alice.directory("d/f") }
        let published = try alice.volume.publish(save)
        #expect(published.node == save.node)
        try expectOne(network, alice, bob)
        for device in [alice, bob] {
            #expect(try device.text("d/f") == "written meanwhile")
        }
        #expect(try alice.volume.stagedFiles().isEmpty)
    }

    @Test func `who watches hears that it is back`() throws {
        let (network, alice, _, save) = try removed(seed: 2)
        defer { withExtendedLifetime(network) {} }
        let directory = try alice.directory("d")
        final class Observer: VolumeObserver {
            let changes = Guarded<[ViewChange]>([])
            func volumeChanged(_ new: [ViewChange]) { changes.withLock { $0 += new } }
        }
        let observer = Observer()
        alice.volume.setObserver(observer)
        _ = try alice.volume.publish(save)
        let name = ViewChange.entry(directory: directory, name: Array("f".utf8), before: nil)
        #expect(observer.changes.withLock { $0 }.contains(name))
    }

    @Test func `what is written to it later, or was removed here, does not`() throws {
        var (network, alice, bob, save) = try removed(seed: 3)
        save.bringsBack = false
        _ = try alice.volume.publish(save)
        try alice.write("d/g", "hers")
        let node = try alice.directory("d/g")
        try alice.unlink("d/g")
        _ = try alice.volume.publish(
            Save(
                node: node, parents: [], content: .inline([1]), modified: alice.wallTime(),
                settlesStaging: true, bringsBack: true))
        try expectOne(network, alice, bob)
        #expect(try alice.names("d").isEmpty)
    }

    /// As git makes files, and editors their backups.
    @Test func `it comes back under the name that was removed elsewhere`() throws {
        let network = Network(seed: 8)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        for (name, kept) in [("a", "f"), ("z", "g")] {
            try alice.write(name, "text")
            _ = try alice.volume.link(
                try alice.directory(name), as: Array(kept.utf8), in: .root)
            try alice.unlink(name)
        }
        network.run()
        for name in ["f", "g"] {
            let node = try alice.directory(name)
            let save = Save(
                node: node, parents: try alice.volume.openContent(of: node).versions,
                content: .inline(Array("more".utf8)), modified: alice.wallTime(),
                settlesStaging: true, bringsBack: true)
            try bob.unlink(name)
            network.run()
            #expect(try !alice.names().contains(name))
            _ = try alice.volume.publish(save)
            network.run()
        }
        try expectOne(network, alice, bob)
        #expect(try bob.names() == ["f", "g"])
        #expect(try bob.text("f") == "more")
    }

    @Test func `the same bytes again are not an edit`() throws {
        var (network, alice, bob, save) = try removed(seed: 4)
        save.content = .inline(Array("known to both".utf8))
        _ = try alice.volume.publish(save)
        try expectOne(network, alice, bob)
        #expect(try alice.names("d").isEmpty)
    }

    @Test func `it comes back beside what has its name by then`() throws {
        let (network, alice, bob, save) = try removed(seed: 5)
        try bob.write("d/f", "another one")
        network.run()
        _ = try alice.volume.publish(save)
        try expectOne(network, alice, bob)
        let texts = try bob.names("d").map { try bob.text("d/" + $0) }
        #expect(Set(texts) == ["another one", "written meanwhile"])
        #expect(texts.count == 2)
    }

    /// Others may have forgotten it once they know that she knows.
    @Test(arguments: [false, true])
    func `after all have heard of the removal it is a new file`(withFolder: Bool) throws {
        let (network, alice, bob, save) = try removed(seed: 6, withFolder: withFolder)
        try alice.write("other", "tells that she has seen it")
        network.run()
        let published = try alice.volume.publish(save)
        #expect(published.node != save.node)
        try expectOne(network, alice, bob)
        #expect(try bob.text(withFolder ? "f" : "d/f") == "written meanwhile")
        // Who has it open goes on with the new one.
        let more = Save(
            node: published.node, parents: [published.version], content: .inline([2]),
            modified: alice.wallTime(), settlesStaging: true, bringsBack: true)
        #expect(try alice.volume.publish(more).node == published.node)
        try expectOne(network, alice, bob)
        #expect(try bob.read(withFolder ? "f" : "d/f") == [2])
    }

    @Test func `what was written to a conflict copy that is removed elsewhere is a file`() throws {
        let network = Network(seed: 7)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.write("f.bin", "base")
        network.run()
        network.disconnectAll()
        for device in [alice, bob] { try device.write("f.bin", "\(device.name)'s") }
        network.connect(bob, alice)
        network.run()
        let copy = try #require(try alice.names().first { $0 != "f.bin" })
        let node = try alice.directory(copy)
        let save = Save(
            node: node, parents: try alice.volume.openContent(of: node).versions,
            content: .inline(Array("written meanwhile".utf8)), modified: alice.wallTime(),
            settlesStaging: true, bringsBack: true)
        try bob.unlink(copy)
        network.run()
        #expect(try alice.names() == ["f.bin"])
        let published = try alice.volume.publish(save)
        #expect(published.node != node)
        try expectOne(network, alice, bob)
        let texts = try bob.names().filter { $0 != "f.bin" }.map { try bob.text($0) }
        #expect(texts == ["written meanwhile"])
    }
}
