import Base
import Hypercore
import Store
import Testing

@Suite struct LogStorageTests {
    @Test(arguments: [1, 2, 3] as [UInt64])
    func `logs in a database are as logs in memory`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let directory = TemporaryDirectory()
        var database = try ShareDatabase(directory: directory.path)
        let memory = MemoryLogStorage()
        let slots = (1...3).map { WriterSlot(rawValue: $0) }

        for step in 0..<400 {
            let slot = slots[Int.random(in: 0..<3, using: &random)]
            let change = try randomChange(after: memory.header(slot), using: &random)
            try database.write(change, to: slot)
            try memory.write(change, to: slot)
            if step % 7 == 0 { try database.commit() }
            if step % 100 == 99 {
                try database.commit()
                database = try reopened(&database, in: directory)
            }
        }

        #expect(try database.logs() == memory.logs(), "seed \(seed)")
        for slot in slots {
            #expect(try database.header(slot) == memory.header(slot), "seed \(seed)")
            for start: UInt64 in [0, 5, 50] {
                #expect(
                    try database.storedRuns(slot, from: start)
                        == memory.storedRuns(slot, from: start), "seed \(seed)")
            }
            for index: UInt64 in 0..<150 {
                #expect(try database.node(slot, at: index) == memory.node(slot, at: index))
                #expect(try database.block(slot, at: index) == memory.block(slot, at: index))
            }
        }
    }

    @Test func `indexes up to the format's end are kept`() throws {
        let directory = TemporaryDirectory()
        let database = try ShareDatabase(directory: directory.path)
        let slot = WriterSlot(rawValue: WriterSlot.max)
        let last: UInt64 = (1 << 53) - 1
        var change = LogChange(header: LogHeader(key: .zero, length: last, byteLength: last))
        change.nodes = [TreeNode(index: last, size: last, hash: Bytes32(repeating: 1))]
        change.blocks = [StoredBlock(index: last, bytes: [])]
        try database.write(change, to: slot)

        #expect(try database.header(slot)?.length == last)
        #expect(try database.node(slot, at: last)?.size == last)
        #expect(try database.block(slot, at: last) == [])
        #expect(try database.block(slot, at: last - 1) == nil)
        #expect(try database.storedRuns(slot, from: 0) == [last..<last + 1])
    }

    private func randomChange(
        after header: LogHeader?, using random: inout SeededRandom
    ) -> LogChange {
        var header =
            header ?? LogHeader(key: Bytes32(random.bytes(32)) ?? .zero, manifest: random.bytes(90))
        header.length += 1
        header.byteLength += 10
        header.signature = random.bytes(64)
        var change = LogChange(header: header)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            change.nodes.append(
                TreeNode(
                    index: .random(in: 0..<150, using: &random), size: random.next() >> 12,
                    hash: Bytes32(random.bytes(32)) ?? .zero))
            change.blocks.append(
                StoredBlock(
                    index: .random(in: 0..<100, using: &random),
                    bytes: random.bytes(Int.random(in: 0...3000, using: &random))))
        }
        switch random.next() % 20 {
        case 0:
            let length = UInt64.random(in: 0..<100, using: &random)
            change.truncation = LogChange.Truncation(
                length: length,
                spanningNodes: [.random(in: 0..<150, using: &random)])
            change.header?.length = length
        case 1:
            let start = UInt64.random(in: 0..<90, using: &random)
            change.cleared = start..<start + 10
        case 2...8: change.header = header.length == 1 ? header : nil
        default: break
        }
        return change
    }
}

/// Closes a database (two connections to one file exclude each other) and opens it anew.
func reopened(_ database: inout ShareDatabase, in directory: TemporaryDirectory) throws
    -> ShareDatabase
{
    let other = TemporaryDirectory()
    defer { withExtendedLifetime(other) {} }
    database = try ShareDatabase(directory: other.path)
    return try ShareDatabase(directory: directory.path)
}
