package import Base
internal import FileTree

/// Every small history of directory moves, and every order in which it can arrive.
///
/// Directories lie in the root at first; each move takes one of them into the root or another one, or
/// renames nothing. The order of the moves' times is fixed; who wrote them does not matter to the tree, so
/// each has a log of its own and may arrive whenever it likes.
///
/// Orders are covered by induction. What the tree keeps after a set of moves (places, and for each move
/// what it takes to undo it) is compared with a function of the set, written down separately. Whatever way
/// a set came together, its state is the same one; so it is enough to add each move to each set once. A
/// history of n moves needs the n sets that lack one of its moves, those were checked as histories of n - 1
/// moves. Beyond that every way to cut a history into two batches is tried, the later batch arriving first
/// included.
///
/// Directories are alike: of histories that differ in their names alone the first is checked.
package struct MoveExploration {
    package struct Result: Equatable, Sendable {
        package var histories = 0
        /// Batches applied and compared.
        package var arrivals = 0
        /// In words; the first few.
        package var failures: [String] = []
    }

    struct Move: Equatable {
        let directory: Int
        /// `root` for the root.
        let parent: Int
    }

    private static let failuresMax = 5
    private let directories: Int
    private let movesMax: Int
    private let everyBatch: Bool
    private var result = Result()
    private var moves: [Move] = []
    private let base: MoveWorld

    /// Checks histories of up to `moves` moves of up to `directories` directories.
    ///
    /// - Parameter everyBatch: whether to try every cut into two batches, not only the last move.
    package static func run(directories: Int, moves: Int, everyBatch: Bool) throws(StorageError)
        -> Result
    {
        var exploration = MoveExploration(
            directories: directories, movesMax: moves, everyBatch: everyBatch,
            base: try MoveWorld(directories: directories, moves: moves))
        try exploration.extend(used: 0)
        return exploration.result
    }

    private init(directories: Int, movesMax: Int, everyBatch: Bool, base: MoveWorld) {
        self.directories = directories
        self.movesMax = movesMax
        self.everyBatch = everyBatch
        self.base = base
    }

    /// Tries every next move.
    ///
    /// - Parameter used: how many directories were named so far: another one is the next.
    private mutating func extend(used: Int) throws(StorageError) {
        guard moves.count < movesMax, result.failures.count < Self.failuresMax else { return }
        for directory in 0..<min(used + 1, directories) {
            let known = max(used, directory + 1)
            for parent in -1..<min(known + 1, directories) where parent != directory {
                moves.append(Move(directory: directory, parent: parent))
                try check()
                try extend(used: max(known, parent + 1))
                moves.removeLast()
            }
        }
    }

    private mutating func check() throws(StorageError) {
        result.histories += 1
        let all = 1 << moves.count
        let expected = MoveModel(moves, directories: directories)
        var known: MemoryTreeStorage?
        for first in 0..<all {
            let isAllButOne = (all - 1 - first).nonzeroBitCount == 1
            guard isAllButOne || everyBatch else { continue }
            result.arrivals += 1
            let (rows, tree) = try base.rows(of: moves, arriving: [first, all - 1 - first])
            // Every row must be what it was after the first order, which was looked at as a program would.
            if let known, rows.hasEqualRows(known) { continue }
            let found = try base.read(rows, tree, moves.count)
            if known == nil, found == expected {
                known = rows
                continue
            }
            result.failures.append(
                "\(moves), first \(String(first, radix: 2)): \(found), not \(expected)")
            return
        }
    }
}

/// What moves amount to, one after the other in the order of their times.
struct MoveModel: Equatable {
    /// By directory: its parent (-1 is the root), and the move that put it there (-1: none).
    var places: [[Int]]
    /// By move: the place before it; nil if it has no effect.
    var undo: [[Int]?]

    init(places: [[Int]], undo: [[Int]?]) {
        self.places = places
        self.undo = undo
    }

    init(_ moves: [MoveExploration.Move], directories: Int) {
        places = Array(repeating: [-1, -1], count: directories)
        undo = []
        for (number, move) in moves.enumerated() {
            var above = move.parent
            while above != -1, above != move.directory { above = places[above][0] }
            if above == move.directory {
                undo.append(nil)
            } else {
                undo.append(places[move.directory])
                places[move.directory] = [move.parent, number]
            }
        }
    }
}

/// The product's tree with some directories in the root, and logs for moves of them.
private struct MoveWorld {
    private let writers = WriterTable()
    private let rows = MemoryTreeStorage()
    private let founder: WriterSlot
    private let authors: [WriterSlot]
    private let directories: Int

    init(directories: Int, moves: Int) throws(StorageError) {
        self.directories = directories
        founder = try Self.slot(1, writers)
        var authors: [WriterSlot] = []
        for number in 0..<moves { authors.append(try Self.slot(UInt8(10 + number), writers)) }
        self.authors = authors
        var operations: [Operation] = []
        for directory in 0..<directories {
            operations.append(
                .make(
                    .init(kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)))
            operations.append(
                .place(
                    .init(
                        .new(Self.object(directory, founder)), in: .root,
                        named: Self.name(directory))))
        }
        let tree = try FileTree(storage: rows, writers: writers)
        tree.begin()
        _ = try tree.apply(
            Block(time: HybridTime(milliseconds: 1000), clock: Clock(), operations: operations),
            from: founder, number: 0)
        _ = try tree.finish()
        try tree.save()
    }

    private static func slot(_ number: UInt8, _ writers: WriterTable) throws(StorageError)
        -> WriterSlot
    {
        guard let slot = writers.insert(Bytes32(repeating: number)) else {
            throw .corrupt(what: "the table of logs is full")
        }
        return slot
    }

    private static func object(_ directory: Int, _ founder: WriterSlot) -> ObjectID {
        ObjectID(writer: founder, block: 0, index: 2 * directory)
    }
    private static func name(_ directory: Int) -> [UInt8] { [UInt8(97 + directory)] }

    private func object(_ directory: Int) -> ObjectID {
        directory < 0 ? .root : Self.object(directory, founder)
    }
    private func entry(_ directory: Int) -> EntryID {
        EntryID(writer: founder, block: 0, index: 2 * directory + 1)
    }

    /// - Parameter batches: sets of moves, as bits.
    /// - Returns: what the tree keeps in the end.
    func rows(of moves: [MoveExploration.Move], arriving batches: [Int]) throws(StorageError)
        -> (MemoryTreeStorage, FileTree)
    {
        let storage = rows.copy()
        let tree = try FileTree(storage: storage, writers: writers)
        var clock = Clock()
        clock[founder] = 1
        for batch in batches where batch != 0 {
            tree.begin()
            for (number, move) in moves.enumerated() where batch >> number & 1 == 1 {
                let place = Operation.Place(
                    .existing(entry(move.directory), from: .root), in: object(move.parent),
                    named: Self.name(move.directory))
                let block = Block(
                    time: HybridTime(milliseconds: 2000 + UInt64(number)), clock: clock,
                    operations: [.place(place)])
                _ = try tree.apply(block, from: authors[number], number: 0)
            }
            _ = try tree.finish()
        }
        return (storage, tree)
    }

    /// - Returns: where the directories are, by the rows; and whether a program finds them.
    func read(_ storage: MemoryTreeStorage, _ tree: FileTree, _ count: Int)
        throws(StorageError) -> MoveModel
    {
        func directory(_ id: ObjectID) -> Int { id == .root ? -1 : id.index / 2 }
        func number(_ id: OperationID) -> Int { authors.firstIndex(of: id.writer) ?? -1 }
        var places: [[Int]] = []
        for index in 0..<directories {
            guard let row = try storage.entry(entry(index)) else { continue }
            places.append(
                [directory(row.placement.parent), number(row.placement.stamp.operation)])
        }
        var undo: [[Int]?] = Array(repeating: nil, count: count)
        for row in try storage.moves(from: .zero) {
            undo[number(row.id)] = row.previous.map {
                [directory($0.parent), number($0.stamp.operation)]
            }
        }
        // All of it can be reached from the root, each once.
        var seen: Set<ObjectID> = []
        var waiting: [ObjectID] = [.root]
        while let next = waiting.popLast() {
            for listed in try tree.list(next) where seen.insert(listed.node).inserted {
                waiting.append(listed.node)
            }
        }
        if seen.count != directories { places.append([seen.count]) }
        return MoveModel(places: places, undo: undo)
    }
}
