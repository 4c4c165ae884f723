import Base
@testable import FileTree
import Testing

/// Logs of writers who lie about what they have seen and when. What they do may be lost or odd, but
/// it must be the same on every device, whatever order it came in.
@Suite struct HostileHistoryTests {
    @Test(arguments: 0..<(ConvergenceTests.rounds ?? 12))
    func `liars do not make devices differ`(_ round: Int) throws {
        var world = World(seed: UInt64(round))
        for _ in 0..<120 { try world.writeBlock() }
        var digests: Set<Bytes32> = []
        for _ in 0..<6 { digests.insert(try world.replay()) }
        #expect(digests.count == 1, "seed \(round)")
    }

    private struct World {
        struct Entry {
            var writer: Int
            var number: UInt64
            var block: Block
        }
        var rng: SeededRandom
        let writers = WriterTable()
        var slots: [WriterSlot] = []
        var lengths: [UInt64] = [0, 0, 0]
        var times: [UInt64] = [0, 0, 0]
        var clocks = [Clock(), Clock(), Clock()]
        var blocks: [Entry] = []
        var pools: [Pool: [OperationID]] = [.directory: [.root], .any: [.root]]
        enum Pool { case directory, file, entry, version, any }

        init(seed: UInt64) {
            rng = SeededRandom(seed: seed)
            for index in 0..<3 { slots.append(writers.insert(Device.key(named: "\(index)"))!) }
        }

        mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &rng) }

        mutating func writeBlock() throws {
            let writer = below(3)
            // Never back, as the codec sees to, but otherwise anything between nothing and all.
            for (index, slot) in slots.enumerated() where index != writer && below(3) > 0 {
                let known = clocks[writer][slot]
                let newest = lengths[index]
                clocks[writer][slot] =
                    below(4) == 0 ? UInt64.random(in: known...newest, using: &rng) : newest
            }
            clocks[writer][slots[writer]] = lengths[writer]
            let newest = times.max() ?? 0
            times[writer] = max(times[writer] + 1, newest + UInt64(below(12)) - min(newest, 3))
            var block = Block(
                time: HybridTime(rawValue: times[writer]), clock: clocks[writer], operations: [])
            for _ in 0...below(4) {
                func context() -> OperationContext {
                    let id = OperationID(
                        writer: slots[writer], block: lengths[writer],
                        index: block.operations.count)
                    return OperationContext(id: id, time: block.time, clock: block.clock)
                }
                let operation = operation(context())
                block.operations.append(operation)
                let id = context().id
                let made = OperationID(writer: id.writer, block: id.block, index: id.index - 1)
                note(operation, made)
                guard case .make = operation, below(8) > 0 else { continue }
                let parent = pick(.directory, context())
                let place = Operation.place(.init(.new(made), in: parent, named: name()))
                block.operations.append(place)
                note(place, id)
            }
            blocks.append(Entry(writer: writer, number: lengths[writer], block: block))
            lengths[writer] += 1
        }

        private mutating func note(_ operation: Operation, _ id: OperationID) {
            pools[.any, default: []].append(id)
            switch operation {
            case .make(let make):
                pools[make.kind == .file ? .file : .directory, default: []].append(id)
            case .place(let place):
                if case .new = place.subject { pools[.entry, default: []].append(id) }
            case .write: pools[.version, default: []].append(id)
            default: break
            }
        }

        private mutating func name() -> [UInt8] { Array(["a", "b", "c"][below(3)].utf8) }

        /// Something seen, mostly of the kind that fits.
        private mutating func pick(_ pool: Pool, _ context: OperationContext) -> OperationID {
            let candidates = pools[below(15) == 0 ? .any : pool, default: []]
                .filter { context.sees($0) }
            return candidates.isEmpty ? .root : candidates[below(candidates.count)]
        }

        private mutating func operation(_ context: OperationContext) -> Operation {
            switch below(16) {
            case 0..<5:
                let kind: ObjectKind = below(3) == 0 ? .file : .directory
                return .make(.init(kind: kind, mode: 0, uid: 0, gid: 0, created: .epoch))
            case 5:
                let object = pick(.file, context)
                return .place(.init(.new(object), in: pick(.directory, context), named: name()))
            case 6..<10:
                let (entry, from) = (pick(.entry, context), pick(.directory, context))
                return .place(
                    .init(
                        .existing(entry, from: from), in: pick(.directory, context),
                        named: name()))
            case 10..<12:
                return .remove(.init(pick(.entry, context), from: pick(.directory, context)))
            case 12:
                return .remove(
                    .init(
                        pick(.entry, context), from: pick(.directory, context),
                        version: pick(.version, context)))
            default:
                let object = pick(.file, context)
                let parents = Set((0..<below(3)).map { _ in pick(.version, context) })
                return .write(
                    .init(
                        object: object, parents: parents.sorted { $0.rawValue < $1.rawValue },
                        size: 1, modified: .epoch, content: [UInt8(below(3))]))
            }
        }

        /// Applies all blocks to a new tree, in a random order that their clocks allow.
        mutating func replay() throws -> Bytes32 {
            let tree = try FileTree(storage: MemoryTreeStorage(), writers: writers)
            var waiting = blocks.shuffled(using: &rng)
            tree.begin()
            while !waiting.isEmpty {
                var next: [Entry] = []
                for entry in waiting {
                    let slot = slots[entry.writer]
                    let outcome = try tree.apply(entry.block, from: slot, number: entry.number)
                    if outcome == .early { next.append(entry) }
                    if below(10) == 0 {
                        _ = try tree.finish()
                        tree.begin()
                    }
                }
                precondition(next.count < waiting.count, "a block that no order allows")
                waiting = next
            }
            _ = try tree.finish()
            try check(tree)
            return tree.digest
        }

        /// Everything that shows is reached once.
        private func check(_ tree: FileTree) throws {
            var seen: Set<OperationID> = [.root]
            var directories: [ObjectID] = [.root]
            while let directory = directories.popLast() {
                for item in try tree.list(directory) where item.kind == .directory {
                    #expect(seen.insert(item.node).inserted)
                    #expect(try tree.attributes(of: item.node)?.parent == directory)
                    directories.append(item.node)
                }
            }
            #expect(UInt64(seen.count) == tree.totals.directories + 1)
        }
    }
}
