import Base
import Hypercore
import Testing

@testable import Share

/// A call may need more operations than the open block still takes.
@Suite struct BlockBoundaryTests {
    /// Where the next operation will stand.
    private struct Place {
        let block: UInt64
        let count: Int

        init(in device: Network.Device) {
            (block, count) = device.volume.engine.withLock { engine in
                (
                    engine.open?.number ?? engine.ownLog?.length ?? 0,
                    engine.open?.operations.count ?? 0
                )
            }
        }

        /// Whether a call with so many operations, if that is known, stands in one block: it ends that at most.
        func isInBlock(of before: Place, _ operations: Int?) -> Bool {
            if block == before.block + 1 { return count == 0 || count == operations }
            return block == before.block
                && count == before.count + (operations ?? count - before.count)
        }
    }

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

    /// A crash, or a peer that has one block and not the next, would show half of it.
    @Test(arguments: 1...4)
    func `a call that fills a block ends in it`(left: Int) throws {
        let network = Network(seed: 7)
        let alice = try network.addDevice("alice")
        for name in ["old", "new"] { try alice.write(name, name) }
        // By now the one is no temporary file that another program is about to rename.
        network.run(seconds: 90)
        func operations() -> Place { Place(in: alice) }
        while operations().count < Engine.Limits.blockOperations - left {
            _ = try alice.volume.setAttributes(of: .root, to: AttributeChange(mode: 0o700))
        }
        let before = operations()
        _ = try alice.volume.rename(
            Array("new".utf8), in: .root, to: Array("old".utf8), in: .root, .replace)
        let after = operations()
        #expect(after.isInBlock(of: before, nil))
        #expect(try alice.text("old") == "new")
    }

    /// Others must not see a list of who may do what without the mode that goes with it.
    @Test(arguments: 0..<4)
    func `attributes and values that belong together come in one block`(left: Int) throws {
        let network = Network(seed: 6)
        let alice = try network.addDevice("alice")
        network.run(seconds: 2)
        let value = ExtendedValue(name: Array("user.list".utf8), value: [1, 2, 3])
        func operations() -> Place { Place(in: alice) }
        while operations().count < Engine.Limits.blockOperations - left - 1 {
            _ = try alice.volume.setAttributes(of: .root, to: AttributeChange(mode: 0o700))
        }
        let before = operations()
        let made = try alice.volume.make(
            Array("f".utf8), in: .root,
            MakeRequest(kind: .file, mode: 0o640, uid: 0, gid: 0, extended: [value]))
        let after = operations()
        #expect(after.isInBlock(of: before, 3))
        while operations().count < Engine.Limits.blockOperations - left - 1 {
            _ = try alice.volume.setAttributes(of: .root, to: AttributeChange(mode: 0o700))
        }
        let other = operations()
        _ = try alice.volume.setAttributes(
            of: made.node,
            to: AttributeChange(mode: 0o600, extended: [.init(name: value.name, value: [4])]))
        let last = operations()
        #expect(last.isInBlock(of: other, 2))
        #expect(try alice.volume.extendedAttribute(value.name, of: made.node) == [4])
        _ = try alice.volume.setAttributes(
            of: made.node, to: AttributeChange(extended: [.init(name: value.name, value: nil)]))
        #expect(try alice.volume.extendedAttributeNames(of: made.node) == [])
    }
}
