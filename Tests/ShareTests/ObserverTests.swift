import Base
import Chunks
import Testing

@testable import Share

/// What the mount's kernel is told of.
@Suite struct ObserverTests {
    private final class Observer: VolumeObserver {
        let changes = Guarded<[ViewChange]>([])
        func volumeChanged(_ changes: [ViewChange]) {
            self.changes.withLock { $0 += changes }
        }
    }

    @Test func `a call that fails loses nothing of what another device did just before`() throws {
        let network = Network(seed: 1)
        let alice = try network.addDevice("alice")
        try alice.write("f", "one")
        let observer = Observer()
        alice.volume.setObserver(observer)
        let remote = ViewChange.entry(directory: .root, name: Array("new".utf8), before: nil)
        let calls: [() throws -> Void] = [
            { try alice.unlink("missing") }, { try alice.mkdir("f") },
            { try alice.rename("missing", "f") },
        ]
        for call in calls {
            // Blocks are applied in one go, and told of in the next: callers come in between.
            alice.volume.engine.withLock { $0.changes = [remote] }
            #expect(throws: VolumeError.self) { try call() }
            let told = observer.changes.withLock { changes in
                defer { changes = [] }
                return changes
            }
            #expect(told == [remote])
        }
    }

    @Test func `settling a conflict and restoring lose nothing of it either`() throws {
        let network = Network(seed: 2)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.write("f", "one")
        network.run()
        network.disconnectAll()
        try alice.mkdir("both")
        network.run(seconds: 1)
        try bob.write("both", "a file")
        network.run(seconds: 1)
        network.connect(bob, alice)
        network.run()
        let history = try alice.volume.history(of: [Array("f".utf8)], limit: 10)
        let version = try #require(history.first { $0.operation == "write" }).id
        let observer = Observer()
        alice.volume.setObserver(observer)
        let remote = ViewChange.entry(directory: .root, name: Array("new".utf8), before: nil)
        let calls: [() throws -> Void] = [
            // A folder is not settled away.
            { try alice.volume.resolve([Array("both".utf8)], .theirs) },
            // A file is no folder.
            {
                var missing: [ChunkReference] = []
                _ = try alice.volume.restore(
                    [Array("f".utf8)], version: version,
                    to: [Array("f".utf8), Array("below".utf8)], missing: &missing)
            },
        ]
        for call in calls {
            alice.volume.engine.withLock { $0.changes = [remote] }
            #expect(throws: (any Error).self) { try call() }
            let told = observer.changes.withLock { changes in
                defer { changes = [] }
                return changes
            }
            #expect(told == [remote])
        }
    }
}
