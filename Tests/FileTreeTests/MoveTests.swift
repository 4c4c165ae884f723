import Base
import FileTree
import Testing

/// Every history of three moves among three directories, by three writers who had not seen each
/// other's, one by one and all at once, against running the moves in order.
@Suite struct MoveTests {
    private let writers = WriterTable()
    private let slots: [WriterSlot]

    init() {
        let table = writers
        slots = (0..<4).map { table.insert(Device.key(named: "\($0)"))! }
    }

    private struct Move {
        var directory: Int
        /// A directory, or the root.
        var parent: Int?
    }

    private func object(_ directory: Int?) -> ObjectID {
        directory.map { OperationID(writer: slots[3], block: 0, index: 2 * $0) } ?? .root
    }

    /// Three directories in the root, by a fourth writer.
    private var setup: Block {
        var operations: [Operation?] = []
        for directory in 0..<3 {
            let make = Operation.Make(
                kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)
            let name = Array("\(directory)".utf8)
            operations.append(.make(make))
            operations.append(
                .place(.init(.new(object(directory)), in: .root, named: name)))
        }
        return Block(time: HybridTime(rawValue: 1), clock: Clock(), operations: operations)
    }

    private func block(_ move: Move, time: UInt64) -> Block {
        var clock = Clock()
        clock[slots[3]] = 1
        let id = object(move.directory)
        let entry = EntryID(writer: id.writer, block: 0, index: id.index + 1)
        let place = Operation.Place(
            .existing(entry, from: .root), in: object(move.parent),
            named: Array("\(move.directory)".utf8))
        return Block(time: HybridTime(rawValue: time), clock: clock, operations: [.place(place)])
    }

    /// The parent of each directory once the moves have run, one after the other.
    private func parents(after moves: [Move]) -> [Int?] {
        var parents: [Int?] = [nil, nil, nil]
        for move in moves {
            var current = move.parent
            while let step = current, step != move.directory { current = parents[step] }
            if current == nil { parents[move.directory] = move.parent }
        }
        return parents
    }

    /// The parent of each directory as a tree has it.
    private func parents(in tree: FileTree) throws -> [Int?] {
        try (0..<3).map { directory in
            let parent = try tree.attributes(of: object(directory))?.parent
            return parent == .root ? nil : parent.map { $0.index / 2 }
        }
    }

    @Test func `every three moves give one tree, whatever the order`() throws {
        let choices = (0..<3).flatMap { directory in
            [nil, 0, 1, 2].map { Move(directory: directory, parent: $0) }
        }
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        var count = 0
        for first in choices {
            for second in choices {
                for third in choices {
                    let moves = [first, second, third]
                    let expected = parents(after: moves)
                    // Every order of arrival takes its turn, one by one and at once.
                    count += 1
                    for (order, atOnce) in [(count % 6, false), ((count / 6 + 3) % 6, true)] {
                        let tree = try apply(moves, in: orders[order], atOnce: atOnce)
                        let actual = try parents(in: tree)
                        #expect(actual == expected, "\(moves) in the order \(orders[order])")
                    }
                }
            }
        }
    }

    private func apply(_ moves: [Move], in order: [Int], atOnce: Bool) throws -> FileTree {
        let tree = try FileTree(storage: MemoryTreeStorage(), writers: writers)
        tree.begin()
        _ = try tree.apply(setup, from: slots[3], number: 0)
        for index in order {
            if !atOnce {
                _ = try tree.finish()
                tree.begin()
            }
            let block = block(moves[index], time: UInt64(2 + index))
            _ = try tree.apply(block, from: slots[index], number: 0)
        }
        _ = try tree.finish()
        return tree
    }
}
