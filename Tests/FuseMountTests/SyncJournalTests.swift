import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// What fsync leaves in the journal and in records.
struct SyncJournalTests {
    private let chunks = FakeChunks()
    private let staging = FakeStaging()
    private let volume: FakeVolume
    private let journal: FakeJournal

    init() {
        volume = FakeVolume(chunks: chunks)
        journal = FakeJournal(entriesMax: 12)
        let journal = journal
        staging.journalUsed.withLock { $0 = journal }
    }

    private func syncedFile(_ mount: TestMount, _ bytes: [UInt8]) throws -> Int32 {
        let file = try check(open(mount.at("a"), O_CREAT | O_RDWR, 0o644))
        try pwriteAll(file, bytes, at: 0)
        try check(fsync(file))
        return file
    }

    @Test
    func `a sync of a few bytes makes an entry and no record`() throws {
        let mount = try TestMount(volume: volume, staging: staging)
        defer { mount.end() }
        let file = try syncedFile(mount, randomBytes(200_000, seed: 1))
        let record = try #require(volume.staged.first)
        #expect(journal.entries().isEmpty)
        try pwriteAll(file, [7, 8, 9], at: 1000)
        try pwriteAll(file, [1], at: 200_000)
        try check(fsync(file))
        let entry = try #require(journal.entries().last)
        #expect(entry.writes.file == record.file)
        #expect(entry.writes.size == 200_001)
        #expect(entry.writes.ranges.contains { $0.contains(1002) })
        #expect(entry.writes.ranges.last?.upperBound == 200_001)
        #expect(volume.staged == [record])
        close(file)
        mount.settle()
        #expect(volume.staged.isEmpty)
    }

    @Test
    func `what no entry can tell is recorded, and entries go on from there`() throws {
        let mount = try TestMount(volume: volume, staging: staging)
        defer { mount.end() }
        let file = try syncedFile(mount, randomBytes(200_000, seed: 1))
        defer { close(file) }
        try check(ftruncate(file, 150_000))
        try check(fsync(file))
        #expect(journal.entries().isEmpty)
        #expect(volume.staged.first?.size == 150_000)
        // Zeros come in between.
        try pwriteAll(file, [1], at: 160_000)
        try check(fsync(file))
        #expect(journal.entries().isEmpty)
        #expect(volume.staged.first?.size == 160_001)
        try pwriteAll(file, [1], at: 5)
        try check(fsync(file))
        #expect(journal.entries().count == 1)
    }

    @Test
    func `a full journal makes way for records of all that it has`() throws {
        let mount = try TestMount(volume: volume, staging: staging)
        defer { mount.end() }
        let file = try syncedFile(mount, randomBytes(200_000, seed: 1))
        defer { close(file) }
        let other = try check(open(mount.at("b"), O_CREAT | O_RDWR, 0o644))
        defer { close(other) }
        try pwriteAll(other, randomBytes(200_000, seed: 2), at: 0)
        try check(fsync(other))
        for step in 0..<12 {
            try pwriteAll(step == 3 ? other : file, [1], at: step * 10_000)
            try check(fsync(step == 3 ? other : file))
        }
        #expect(journal.entries().count == 12)
        let before = volume.staged
        try pwriteAll(file, [1], at: 199_000)
        try check(fsync(file))
        #expect(journal.entries().isEmpty)
        #expect(!journal.isClosed)
        #expect(volume.staged.map(\.journal) == [12, 12])
        #expect(before.map(\.journal) == [0, 0])
        try pwriteAll(file, [1], at: 0)
        try check(fsync(file))
        #expect(journal.entries().map(\.number) == [13])
    }

    @Test
    func `a journal that cannot be synced is not relied on`() throws {
        let mount = try TestMount(volume: volume, staging: staging)
        defer { mount.end() }
        let file = try syncedFile(mount, randomBytes(200_000, seed: 1))
        defer { close(file) }
        journal.isBroken.withLock { $0 = true }
        try pwriteAll(file, [1], at: 200_000)
        try check(fsync(file))
        #expect(volume.staged.first?.size == 200_001)
        #expect(volume.staged.first?.isSynced == true)
    }

    @Test
    func `after a crash the journal's entries lie over the record, those it lacks only`() throws {
        let base = randomBytes(100_000, seed: 3)
        var expected = base
        let content = try {
            var builder = ContentBuilder(keys: testKeys, storage: chunks)
            let content = try builder.build(
                from: FunctionSource(size: UInt64(base.count)) { offset, buffer in
                    let part = base[Int(offset)...].prefix(buffer.count)
                    buffer.copyBytes(from: part)
                    return part.count
                })
            try chunks.sync()
            return content
        }()
        try volume.makeRemotely("a", content)
        let left = try staging.create()
        try [9, 9].withUnsafeBytes { try left.write($0, at: 500) }
        expected.replaceSubrange(500..<502, with: [9, 9])
        func write(_ file: UInt64, _ ranges: [Range<UInt64>], size: UInt64, byte: UInt8) {
            let count = ranges.reduce(0) { $0 + $1.count }
            _ = journal.write(
                StagedWrites(
                    file: file, size: size, modified: Timestamp(seconds: 70 + Int64(byte)),
                    ranges: ranges, bytes: Array(repeating: byte, count: count)))
        }
        // The record has it, or something newer.
        write(left.id, [500..<501], size: 100_000, byte: 1)
        try volume.recordStaged(
            StagedFile(
                node: try #require(volume.node("a")), parents: [7], base: content, size: 100_000,
                modified: Timestamp(seconds: 50), dirty: [500..<502], file: left.id,
                journal: journal.last))
        write(left.id, [501..<503, 99_999..<100_004], size: 100_004, byte: 2)
        write(left.id &+ 1, [0..<10], size: 10, byte: 3)
        write(left.id, [502..<504], size: 100_004, byte: 4)
        expected.replaceSubrange(501..<504, with: [2, 4, 4])
        expected.removeLast()
        expected += [2, 2, 2, 2, 2]

        let mount = try TestMount(volume: volume, staging: staging)
        defer { mount.end() }
        #expect(try readFile(mount.at("a")) == expected)
        try mount.eventually("it is published") { try volume.bytes("a") == expected }
        #expect(volume.saves.last?.modified == Timestamp(seconds: 74))
        #expect(journal.entries().isEmpty)
        #expect(journal.last == 4)
    }
}
