internal import Base
internal import FileTree

/// A writer of long histories: operations like those of people who are offline for long, encoded as
/// blocks are applied.
struct TreeHistory {
    enum Mix {
        /// Files made, written, renamed and removed; directories made and moved now and then.
        case programs
        /// Directories moved into each other at random.
        case moves
    }

    private let slot: WriterSlot
    private let directories: [(object: ObjectID, entry: EntryID)]
    private let seen: Clock
    private var random: SeededRandom
    private(set) var number: UInt64

    /// - Parameters:
    ///   - directories: that all writers know.
    ///   - seen: what the writer had seen when it went offline.
    init(
        _ slot: WriterSlot, directories: [(object: ObjectID, entry: EntryID)], seen: Clock,
        seed: UInt64
    ) {
        self.slot = slot
        self.directories = directories
        self.seen = seen
        random = SeededRandom(seed: seed)
        number = seen[slot]
    }

    /// So many operations, in blocks of `size`.
    ///
    /// - Parameter time: gives each block its milliseconds.
    mutating func blocks(
        _ count: Int, size: Int, mix: Mix, time: (Int) -> UInt64
    ) -> [Block] {
        var blocks: [Block] = []
        var made: [(object: ObjectID, entry: EntryID, version: VersionID)] = []
        while blocks.count * size < count {
            var clock = seen
            clock[slot] = number
            var operations: [Operation] = []
            while operations.count < size {
                switch mix {
                case .moves: operations.append(move(named: nil))
                case .programs: program(into: &operations, &made)
                }
            }
            let moment = HybridTime(milliseconds: time(blocks.count))
            blocks.append(Block(time: moment, clock: clock, operations: operations))
            number += 1
        }
        return blocks
    }

    private mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    private mutating func move(named name: [UInt8]?) -> Operation {
        let moved = below(directories.count)
        let parent = below(directories.count + 1)
        let target = parent == directories.count ? .root : directories[parent].object
        return .place(
            .init(
                .existing(directories[moved].entry, from: .root), in: target,
                named: name ?? Array("d\(moved)".utf8)))
    }

    private mutating func program(
        into operations: inout [Operation],
        _ made: inout [(object: ObjectID, entry: EntryID, version: VersionID)]
    ) {
        func next() -> OperationID {
            OperationID(writer: slot, block: number, index: operations.count)
        }
        let directory = directories[below(directories.count)].object
        switch below(20) {
        case 0: operations.append(move(named: nil))
        case 1..<4 where !made.isEmpty:
            let file = made[below(made.count)]
            let name = Array("r\(number)-\(operations.count)".utf8)
            operations.append(
                .place(.init(.existing(file.entry, from: directory), in: directory, named: name)))
        case 4..<6 where !made.isEmpty:
            let file = made.remove(at: below(made.count))
            operations.append(.remove(.init(file.entry, from: directory)))
        case 6..<9 where !made.isEmpty:
            let place = below(made.count)
            let version = next()
            operations.append(write(made[place].object, [made[place].version]))
            made[place].version = version
        default:
            let object = next()
            operations.append(
                .make(.init(kind: .file, mode: 0o644, uid: 0, gid: 0, created: .epoch)))
            let entry = next()
            let name = Array("f\(slot.rawValue)-\(number)-\(operations.count)".utf8)
            operations.append(.place(.init(.new(object), in: directory, named: name)))
            let version = next()
            operations.append(write(object, []))
            made.append((object, entry, version))
        }
    }

    private mutating func write(_ object: ObjectID, _ parents: [VersionID]) -> Operation {
        .write(
            .init(
                object: object, parents: parents, size: 40, modified: .epoch,
                content: random.bytes(40)))
    }
}
