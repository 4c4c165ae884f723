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

    /// Others must not see a list of who may do what without the mode that goes with it.
    @Test(arguments: 0..<4)
    func `attributes and values that belong together come in one block`(left: Int) throws {
        let network = Network(seed: 6)
        let alice = try network.addDevice("alice")
        network.run(seconds: 2)
        let value = ExtendedValue(name: Array("user.list".utf8), value: [1, 2, 3])
        func operations() -> (block: UInt64, count: Int) {
            alice.volume.engine.withLock { engine in
                (
                    engine.open?.number ?? engine.ownLog?.length ?? 0,
                    engine.open?.operations.count ?? 0
                )
            }
        }
        while operations().count < Engine.Limits.blockOperations - left - 1 {
            _ = try alice.volume.setAttributes(of: .root, to: AttributeChange(mode: 0o700))
        }
        let before = operations()
        let made = try alice.volume.make(
            Array("f".utf8), in: .root,
            MakeRequest(kind: .file, mode: 0o640, uid: 0, gid: 0, extended: [value]))
        let after = operations()
        #expect(after.block == before.block ? after.count == before.count + 3 : after.count == 3)
        while operations().count < Engine.Limits.blockOperations - left - 1 {
            _ = try alice.volume.setAttributes(of: .root, to: AttributeChange(mode: 0o700))
        }
        let other = operations()
        _ = try alice.volume.setAttributes(
            of: made.node,
            to: AttributeChange(mode: 0o600, extended: [.init(name: value.name, value: [4])]))
        let last = operations()
        #expect(last.block == other.block ? last.count == other.count + 2 : last.count == 2)
        #expect(try alice.volume.extendedAttribute(value.name, of: made.node) == [4])
        _ = try alice.volume.setAttributes(
            of: made.node, to: AttributeChange(extended: [.init(name: value.name, value: nil)]))
        #expect(try alice.volume.extendedAttributeNames(of: made.node) == [])
    }
}
