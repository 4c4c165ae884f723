import Base
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
}
