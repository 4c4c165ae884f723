import Base
import Testing

@testable import FileTree

/// What damaged rows may do: be told, and nothing else.
@Suite struct DamageTests {
    @Test func `an operation that names what no log has is told as damage`() throws {
        let device = try Device("a", strangers: 1)
        let id = OperationID(writer: device.slot, block: 0, index: 0)
        for (slot, block) in [(device.slot, 7 as UInt64), (WriterSlot(rawValue: 1), 0)] {
            let unseen = OperationID(writer: slot, block: block, index: 0)
            let operations: [Operation] = [
                .setAttribute(.init(object: unseen, mode: 0o600)),
                .place(.init(.new(id), in: unseen, named: [97])),
                .place(.init(.existing(unseen, from: .root), in: .root, named: [97])),
                .remove(.init(unseen, from: .root)),
                .remove(.init(id, from: .root, version: unseen)),
                .write(
                    .init(
                        object: unseen, parents: [], size: 0, modified: .epoch, content: [])),
                .setXattr(.init(object: unseen, name: [97], value: [])),
                .removeXattr(.init(object: unseen, name: [97])),
            ]
            for operation in operations {
                do {
                    _ = try device.tree.author(
                        operation, id: id, time: HybridTime(milliseconds: 1))
                    Issue.record("\(operation) was taken")
                } catch {
                    guard case .corrupt(let what) = error else { throw error }
                    #expect(what.contains("check --rebuild"))
                }
            }
        }
    }
}
