import Base
import Hypercore
import Testing

@testable import Share

/// A call may need more operations than the open block still takes.
@Suite struct BlockBoundaryTests {
    @Test(arguments: 0..<2)
    func `a full block may end between any two operations of a call`(odd: Int) throws {
        let network = Network(seed: 5)
        let alice = try network.addDevice("alice")
        network.run(seconds: 2)
        let blocks = alice.volume.engine.withLock { $0.ownLog?.length ?? 0 }
        for _ in 0..<odd {
            _ = try alice.volume.setAttributes(of: .root, to: AttributeChange(mode: 0o700))
        }
        // No time passes, so only what they hold seals blocks.
        let count = Engine.Limits.blockOperations / 2 + 50
        for index in 0..<count { try alice.mkdir("d\(index)") }
        #expect(alice.volume.engine.withLock { $0.ownLog?.length ?? 0 } > blocks)
        network.run(seconds: 2)
        #expect(try alice.names().count == count)
    }
}
