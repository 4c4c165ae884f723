internal import Base
internal import FileTree

/// What the tree costs by itself: rows in memory, one processor's time.
enum TreeFigures {
    struct Figure {
        let what: String
        let milliseconds: Double
        /// The longest time for which nobody else could have used the tree.
        let longestMilliseconds: Double
        let megabytes: Double
    }

    /// A share with directories, all in its root or each in the one before it, and two writers who know them.
    private struct Ground {
        let writers = WriterTable()
        let tree: FileTree
        let slots: [WriterSlot]
        var directories: [(object: ObjectID, entry: EntryID)] = []
        var seen = Clock()

        init(directories count: Int, isDeep: Bool = false) throws(StorageError) {
            var slots: [WriterSlot] = []
            for number in 1...3 {
                guard let slot = writers.insert(Bytes32(repeating: UInt8(number))) else {
                    throw .corrupt(what: "the table of logs is full")
                }
                slots.append(slot)
            }
            self.slots = slots
            tree = try FileTree(storage: MemoryTreeStorage(), writers: writers)
            var number: UInt64 = 0
            tree.begin()
            for start in stride(from: 0, to: count, by: 1000) {
                var operations: [Operation] = []
                for index in start..<min(start + 1000, count) {
                    let object = OperationID(
                        writer: slots[0], block: number, index: operations.count)
                    operations.append(
                        .make(
                            .init(kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)))
                    let entry = OperationID(
                        writer: slots[0], block: number, index: operations.count)
                    let parent = isDeep ? directories.last?.object ?? .root : .root
                    operations.append(
                        .place(
                            .init(.new(object), in: parent, named: Array("d\(index)".utf8))))
                    directories.append((object, entry))
                }
                seen[slots[0]] = number
                let block = Block(
                    time: HybridTime(milliseconds: 1 + number), clock: seen, operations: operations)
                _ = try tree.apply(block, from: slots[0], number: number)
                number += 1
            }
            _ = try tree.finish()
            seen[slots[0]] = number
        }

        /// - Returns: what it costs a new device to take a checkpoint of it.
        func takeCheckpoint(_ what: String) throws(StorageError) -> Figure {
            let states = tree.clock.elements.map { element in
                BlockCodec(
                    number: element.count, time: tree.newestTime, clock: Clock(),
                    writers: [element.writer])
            }
            var writer = try tree.beginCheckpoint(settled: .none, states: states, values: [])
            var pieces: [[UInt8]] = []
            while try writer.write(objects: 1000, { pieces.append($0) }) != .done {}
            writer.end()
            let memory = ProcessMeter.residentBytes
            let start = ProcessMeter.processorTime
            let taken = try FileTree(storage: MemoryTreeStorage(), writers: WriterTable())
            var reader = CheckpointReader(tree: taken)
            let end: Duration
            do throws(CheckpointError) {
                for piece in pieces { try reader.feed(piece) }
                end = ProcessMeter.processorTime
                _ = try reader.finish(tree.digest)
            } catch {
                throw .corrupt(what: "a checkpoint that is not taken: \(error)")
            }
            return Figure(
                what: "a checkpoint of \(what)",
                milliseconds: (ProcessMeter.processorTime - start).inMilliseconds,
                longestMilliseconds: (ProcessMeter.processorTime - end).inMilliseconds,
                megabytes: Double(ProcessMeter.residentBytes - memory) / 1_048_576)
        }

        func history(_ writer: Int) -> TreeHistory {
            TreeHistory(
                slots[writer], directories: directories, seen: seen, seed: UInt64(writer))
        }

        /// Applies blocks, so many in a batch.
        func apply(_ blocks: [Block], of writer: Int, batch: Int, _ what: String)
            throws(StorageError) -> Figure
        {
            let memory = ProcessMeter.residentBytes
            let start = ProcessMeter.processorTime
            var longest = Duration.zero
            var number: UInt64 = 0
            while number < blocks.count {
                let begin = ProcessMeter.processorTime
                tree.begin()
                for _ in 0..<batch where number < blocks.count {
                    _ = try tree.apply(blocks[Int(number)], from: slots[writer], number: number)
                    number += 1
                }
                _ = try tree.finish()
                longest = max(longest, ProcessMeter.processorTime - begin)
            }
            return Figure(
                what: what, milliseconds: (ProcessMeter.processorTime - start).inMilliseconds,
                longestMilliseconds: longest.inMilliseconds,
                megabytes: Double(ProcessMeter.residentBytes - memory) / 1_048_576)
        }
    }

    /// Directory moves, all late or all new, and a returning device against a busy one.
    static func all() throws(StorageError) -> [Figure] {
        var figures: [Figure] = []
        for batch in [10_000, 100] {
            let ground = try Ground(directories: 1000)
            var mine = ground.history(1)
            let moves = mine.blocks(10_000, size: 1, mix: .moves) { 10_000 + 2 * UInt64($0) }
            figures.append(
                try ground.apply(
                    moves, of: 1, batch: batch,
                    "10,000 moves of 1,000 directories, batches of \(batch)"))
        }
        for (count, batch) in [(100_000, 100_000), (100_000, 10), (100_000, 1)] {
            let ground = try Ground(directories: 1000)
            var mine = ground.history(1)
            let local = mine.blocks(count, size: 10, mix: .programs) { 10_000 + 2 * UInt64($0) }
            _ = try ground.apply(local, of: 1, batch: 100, "")
            var theirs = ground.history(2)
            let remote = theirs.blocks(count, size: 10, mix: .programs) {
                10_001 + 2 * UInt64($0)
            }
            figures.append(
                try ground.apply(
                    remote, of: 2, batch: batch,
                    "\(count) late operations against as many, batches of \(batch) blocks"))
        }
        return figures
    }

    /// A new device takes a checkpoint: of a large share, and of one in which moves are as dear as they can be.
    /// The longest batch is the end, when all is looked over.
    static func checkpoints() throws(StorageError) -> [Figure] {
        var figures: [Figure] = []
        let large = try Ground(directories: 1_000_000)
        var history = TreeHistory(
            large.slots[1], directories: Array(large.directories.prefix(2000)), seen: large.seen,
            seed: 1)
        let moves = history.blocks(100_000, size: 100, mix: .moves) { 10_000 + 2 * UInt64($0) }
        _ = try large.apply(moves, of: 1, batch: 1000, "")
        figures.append(
            try large.takeCheckpoint("1,000,000 directories, 100,000 moves of 2,000 of them"))
        let deep = try Ground(directories: 8192, isDeep: true)
        let last = deep.directories[8191].entry
        var operations: [Operation] = []
        for number in 0..<8192 {
            let parent = deep.directories[8190 - number % 2].object
            operations.append(
                .place(.init(.existing(last, from: .root), in: parent, named: [97])))
        }
        let block = Block(
            time: HybridTime(milliseconds: 10_000), clock: deep.seen, operations: operations)
        _ = try deep.apply([block], of: 1, batch: 1, "")
        figures.append(try deep.takeCheckpoint("8,192 directories in each other, 8,192 moves"))
        return figures
    }

    static func write(_ write: (String) -> Void) -> Int32 {
        do throws(StorageError) {
            for figure in try all() + checkpoints() {
                write(
                    "\(figure.what): \(Int(figure.milliseconds)) ms, the longest batch"
                        + " \(Int(figure.longestMilliseconds)) ms, \(Int(figure.megabytes)) MiB\n")
            }
            return 0
        } catch {
            write("\(error)\n")
            return 1
        }
    }
}

extension Duration {
    fileprivate var inMilliseconds: Double { Double(nanosecondsClamped) / 1_000_000 }
}
