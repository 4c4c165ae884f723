import Base
import FileTree
import Store
import Testing

@Suite struct TreeStorageTests {
    @Test(arguments: [1, 2, 3] as [UInt64])
    func `rows in a database are as rows in memory`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let directory = TemporaryDirectory()
        var database = try ShareDatabase(directory: directory.path)
        let memory = MemoryTreeStorage()
        for step in 0..<1500 {
            try put(randomly: &random, into: [database, memory])
            if random.next() % 3 == 0 { try forget(randomly: &random, in: memory, and: database) }
            if step % 50 == 0 { try expectSame(database, memory, seed: seed) }
            if step % 500 == 499 {
                try database.commit()
                database = try reopened(&database, in: directory)
            }
        }
        try expectSame(database, memory, seed: seed)
    }

    @Test func `more rows than are kept in memory are all there, moved ones under their new names`()
        throws
    {
        let directory = TemporaryDirectory()
        let database = try ShareDatabase(directory: directory.path)
        func id(_ index: Int) -> OperationID {
            OperationID(
                writer: WriterSlot(rawValue: 1), block: UInt64(index / 100), index: index % 100)
        }
        func entry(_ index: Int, in parent: OperationID) -> EntryRow {
            var row = EntryRow(
                id: id(index), object: id(index), kind: .file,
                placement: Placement(
                    parent: parent, name: Array("\(index)".utf8),
                    stamp: Stamp(time: .zero, operation: id(index))))
            row.shownParent = parent
            row.holdsName = true
            return row
        }
        let (old, new) = (id(90_001), id(90_002))
        for index in 0..<9000 {
            try database.put(entry(index, in: old))
            if index % 2000 == 0 { try database.commit() }
        }
        // By now the first ones are known to the database alone.
        for index in stride(from: 0, to: 9000, by: 3) { try database.put(entry(index, in: new)) }
        for index in 0..<9000 {
            let (here, elsewhere) = index % 3 == 0 ? (new, old) : (old, new)
            let name = Array("\(index)".utf8)
            let found = try database.entries(shownIn: here, named: name)
            #expect(found == [entry(index, in: here)], "\(index)")
            let none = try database.entries(shownIn: elsewhere, named: name)
            #expect(none == [], "\(index)")
        }
        #expect(try database.entries(of: id(3)) == [entry(3, in: new)])
        #expect(try database.holders(in: new, after: nil, limit: .max).count == 3000)
        #expect(try database.holders(in: old, after: nil, limit: .max).count == 6000)
    }

    // A small world, so that rows meet.
    private func identity(_ random: inout SeededRandom, from first: Int) -> OperationID {
        OperationID(
            writer: WriterSlot(rawValue: .random(in: 1...2, using: &random)), block: 7,
            index: first + .random(in: 0..<12, using: &random))
    }

    private func name(_ random: inout SeededRandom) -> [UInt8] {
        let names: [[UInt8]] = [[97], [97, 97], [98], [0xff], [255, 255], Array("readme".utf8)]
        return names[.random(in: 0..<names.count, using: &random)]
    }

    private func stamp(_ random: inout SeededRandom, _ operation: OperationID) -> Stamp {
        Stamp(time: HybridTime(rawValue: random.next()), operation: operation)
    }

    private func put(randomly random: inout SeededRandom, into storages: [any TreeStorage]) throws {
        switch random.next() % 8 {
        case 0:
            let id = identity(&random, from: 0)
            var row = ObjectRow(
                id: id, kind: .directory, made: stamp(&random, id), created: .epoch, device: 0,
                target: [], mode: 0o755, uid: 1, gid: 2)
            row.visibleChildren = random.next() >> 20
            for storage in storages { try storage.put(row) }
        case 1, 2, 3:
            let id = identity(&random, from: 100)
            // An entry keeps its object.
            let object = OperationID(writer: id.writer, block: 7, index: id.index % 5)
            var row = EntryRow(
                id: id, object: object, kind: .file,
                placement: Placement(
                    parent: identity(&random, from: 200), name: name(&random),
                    stamp: stamp(&random, id)))
            if random.next() % 4 > 0 {
                row.shownParent = OperationID(
                    writer: id.writer, block: 7, index: 200 + Int(random.next() % 2))
            }
            row.holdsName = random.next() % 2 == 0
            for storage in storages { try storage.put(row) }
        case 4:
            let id = identity(&random, from: 300)
            var row = VersionRow(
                id: id, object: OperationID(writer: id.writer, block: 7, index: id.index % 3),
                time: .zero, parents: [id], size: 5, modified: .epoch,
                content: random.bytes(Int(random.next() % 50)))
            row.isHead = random.next() % 2 == 0
            for storage in storages { try storage.put(row) }
        case 5:
            let row = XattrRow(
                object: identity(&random, from: 0), name: name(&random),
                value: random.next() % 3 == 0 ? nil : random.bytes(9),
                stamp: stamp(&random, identity(&random, from: 0)))
            for storage in storages { try storage.put(row) }
        case 6:
            let id = identity(&random, from: 400)
            // A move keeps its time; some are past half of what 64 bits hold.
            let time = HybridTime(rawValue: UInt64(id.index) &* 0x0a00_0000_0000_0000)
            let row = MoveRow(
                id: id, time: time, entry: id, parent: id, name: name(&random), previous: nil)
            for storage in storages { try storage.put(row) }
        default:
            let version = random.next() % 2 == 0 ? nil : identity(&random, from: 300)
            let row = ConflictRow(
                parent: OperationID(writer: .none, block: 7, index: Int(random.next() % 2)),
                name: name(&random), entry: identity(&random, from: 100), version: version,
                shownName: Array("copy \(random.next() % 1000)".utf8),
                node: identity(&random, from: 0), kind: .file)
            if random.next() % 4 == 0 {
                for storage in storages { try storage.remove(row) }
            } else {
                for storage in storages { try storage.put(row) }
            }
        }
        let state = random.bytes(3)
        for storage in storages { try storage.setTreeState(state) }
    }

    private func forget(
        randomly random: inout SeededRandom, in memory: MemoryTreeStorage,
        and database: ShareDatabase
    ) throws {
        switch random.next() % 8 {
        case 0, 1:
            guard let row = try memory.object(identity(&random, from: 0)) else { return }
            for xattr in try memory.xattrs(of: row.id).prefix(1) {
                try memory.remove(xattr)
                try database.remove(xattr)
            }
            try memory.remove(row)
            try database.remove(row)
        case 2, 3, 4:
            guard let row = try memory.entry(identity(&random, from: 100)) else { return }
            try memory.remove(row)
            try database.remove(row)
        case 5, 6:
            guard let row = try memory.version(identity(&random, from: 300)) else { return }
            try memory.remove(row)
            try database.remove(row)
        default:
            let time = HybridTime(rawValue: random.next() / 4)
            let expected = try memory.removeMoves(upTo: time, limit: .max)
            #expect(try database.removeMoves(upTo: time, limit: 1000) == expected)
        }
    }

    private func expectSame(_ left: ShareDatabase, _ right: MemoryTreeStorage, seed: UInt64) throws
    {
        let comment: Comment = "seed \(seed)"
        #expect(try left.treeState() == right.treeState(), comment)
        for time in [0, 1 << 62, 1 << 63, UInt64.max].map(HybridTime.init(rawValue:)) {
            let moves = try left.moves(from: time)
            #expect(Set(moves) == Set(try right.moves(from: time)), comment)
            #expect(moves.map(\.time) == moves.map(\.time).sorted(), comment)
        }
        for slot: UInt16 in 0...2 {
            for index in 0..<450 {
                let id = OperationID(
                    writer: WriterSlot(rawValue: slot), block: 7, index: index)
                try expectSame(left, right, at: id, comment)
            }
        }
        #expect(
            try left.conflicts(after: nil, limit: 1000) == right.conflicts(after: nil, limit: 1000))
        let some = try left.conflicts(after: nil, limit: 5)
        #expect(
            try left.conflicts(after: some.last, limit: 7)
                == right.conflicts(after: some.last, limit: 7), comment)
    }

    private func expectSame(
        _ left: ShareDatabase, _ right: MemoryTreeStorage, at id: OperationID, _ comment: Comment
    ) throws {
        #expect(try left.object(id) == right.object(id), comment)
        #expect(try left.entry(id) == right.entry(id), comment)
        #expect(try left.version(id) == right.version(id), comment)
        if id.index < 20 {
            #expect(try left.entries(of: id) == right.entries(of: id), comment)
            #expect(try left.versions(of: id) == right.versions(of: id), comment)
            #expect(try left.heads(of: id) == right.heads(of: id), comment)
            let heads = try left.objectsOfHeads(after: id, limit: 5)
            #expect(try heads == right.objectsOfHeads(after: id, limit: 5), comment)
            #expect(try left.xattrs(of: id) == right.xattrs(of: id), comment)
            #expect(try left.xattr([97], of: id) == right.xattr([97], of: id), comment)
            #expect(try left.conflicts(in: id) == right.conflicts(in: id), comment)
            #expect(
                try left.conflicts(in: id, named: [97]) == right.conflicts(in: id, named: [97]),
                comment)
        }
        guard (200..<202).contains(id.index) else { return }
        for name: [UInt8]? in [nil, [97], [97, 0], [98], [255]] {
            #expect(
                try left.holders(in: id, after: name, limit: 4)
                    == Array(right.holders(in: id, after: name, limit: 4).prefix(4)), comment)
            if let name {
                #expect(
                    try left.entries(shownIn: id, named: name)
                        == right.entries(shownIn: id, named: name), comment)
            }
        }
        var cursor: EntryCursor?
        repeat {
            let rows = try left.entries(shownIn: id, after: cursor, limit: 3)
            #expect(
                try rows == right.entries(shownIn: id, after: cursor, limit: 3), comment)
            cursor = rows.last.map { EntryCursor(name: $0.placement.name, entry: $0.id) }
        } while cursor != nil
    }
}
