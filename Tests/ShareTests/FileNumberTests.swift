import Base
import Testing

@testable import Share

/// The numbers that `stat` shows, which follow POSIX where identities do not.
@Suite struct FileNumberTests {
    private func number(_ path: String, on device: Network.Device) throws -> NodeID {
        try device.volume.attributes(of: try device.directory(path)).number
    }

    @Test func `after a save by rename the file has the temporary's number, and keeps it`() throws {
        let network = Network(seed: 1)
        let alice = try network.addDevice("alice")
        try alice.write("f", "one")
        let (identity, old) = (try alice.directory("f"), try number("f", on: alice))
        #expect(identity == old)
        var numbers = [old]
        for round in 0..<3 {
            try alice.write("tmp", "\(round)")
            let new = try number("tmp", on: alice)
            #expect(!numbers.contains(new))
            try alice.rename("tmp", "f")
            #expect(try alice.directory("f") == identity)
            #expect(try number("f", on: alice) == new)
            #expect(try alice.volume.node(showing: new) == identity)
            // Nobody else shows what it showed before.
            for number in numbers {
                #expect(throws: VolumeError.stale) { try alice.volume.node(showing: number) }
            }
            numbers.append(new)
        }
        let listed = try alice.volume.list(.root)
        #expect(listed.map(\.number) == [numbers[3]])
        network.run()
        try network.restart(alice)
        #expect(try number("f", on: alice) == numbers[3])
        // Every name of a file shows one number.
        _ = try alice.volume.link(identity, as: Array("g".utf8), in: .root)
        #expect(try alice.volume.list(.root).map(\.number) == [numbers[3], numbers[3]])
    }

    @Test func `no two files show one number when a removed one comes back`() throws {
        let network = Network(seed: 2)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.write("f", "one")
        try alice.write("tmp", "two")
        network.run(seconds: 3)
        network.disconnectAll()
        try alice.rename("tmp", "f")
        // Bob's edit of the temporary file outlives its removal.
        try bob.write("tmp", "three")
        network.connect(alice, bob)
        network.run()
        #expect(try alice.names() == ["f", "tmp"])
        #expect(try number("f", on: alice) != number("tmp", on: alice))
        let listed = try alice.volume.list(.root)
        for item in listed {
            #expect(try alice.volume.attributes(of: item.node).number == item.number)
            #expect(try alice.volume.node(showing: item.number) == item.node)
        }
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    @Test func `a file that was never written to can take another's place`() throws {
        let network = Network(seed: 3)
        let alice = try network.addDevice("alice")
        try alice.write("f", "one")
        let request = MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
        _ = try alice.volume.make(Array("empty".utf8), in: .root, request)
        try alice.rename("empty", "f")
        #expect(try alice.text("f") == "")
        let report = try alice.volume.check(scratch: MemoryShareStorage())
        #expect(report.problems == [])
    }

    @Test func `a save into another directory changes that directory's times`() throws {
        let network = Network(seed: 5)
        let alice = try network.addDevice("alice")
        try alice.mkdir("d")
        try alice.write("d/f", "one")
        try alice.write("tmp", "two")
        let before = try alice.volume.attributes(of: try alice.directory("d"))
        network.run(seconds: 2)
        try alice.rename("tmp", "d/f")
        let after = try alice.volume.attributes(of: try alice.directory("d"))
        #expect(before.modified < after.modified)
        #expect(before.changed < after.changed)
    }

    @Test func `the kernel hears that a save changed the times of its backup's directory`() throws {
        final class Observer: VolumeObserver {
            let changes = Guarded<[ViewChange]>([])
            func volumeChanged(_ changes: [ViewChange]) {
                self.changes.withLock { $0 += changes }
            }
        }
        let network = Network(seed: 6)
        let alice = try network.addDevice("alice")
        try alice.mkdir("d")
        let directory = try alice.directory("d")
        let observer = Observer()
        alice.volume.setObserver(observer)
        func told() -> [ViewChange] {
            observer.changes.withLock { changes in
                defer { changes = [] }
                return changes
            }
        }
        let request = MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
        for name in ["anew", "renamed"] {
            try alice.write(name, "one")
            try alice.write("tmp", "two")
            let former = try alice.directory(name)
            try alice.rename(name, "d/" + name)
            // That rename the kernel made itself.
            #expect(!told().contains(.derived(directory)))
            let before = try alice.volume.attributes(of: directory)
            network.run(seconds: 1)
            if name == "anew" {
                let made = try alice.volume.makeAnew(
                    Array(name.utf8), in: .root, request, succeeding: former)
                #expect(made?.backup != nil)
            } else {
                let result = try alice.volume.rename(
                    Array("tmp".utf8), in: .root, to: Array(name.utf8), in: .root, .replace,
                    succeeding: former)
                guard case .succeeded = result else { throw VolumeError.stale }
            }
            let after = try alice.volume.attributes(of: directory)
            #expect(before.modified < after.modified)
            #expect(told().contains(.derived(directory)))
        }
    }

    @Test func `what is refused takes nothing else with it`() throws {
        let network = Network(seed: 4)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.write("f", "one")
        // No fifo has a device number: the tree refuses it.
        let request = MakeRequest(kind: .fifo, mode: 0o644, uid: 0, gid: 0, device: 5)
        #expect(throws: VolumeError.notPermitted) {
            try alice.volume.make(Array("p".utf8), in: .root, request)
        }
        try alice.write("g", "two")
        network.run()
        #expect(try bob.names() == ["f", "g"])
        #expect(alice.volume.status().digest == bob.volume.status().digest)
        let report = try alice.volume.check(scratch: MemoryShareStorage())
        #expect(report.problems == [])
    }
}
