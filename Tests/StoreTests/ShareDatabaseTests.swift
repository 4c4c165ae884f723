import Base
import Chunks
import FileTree
import Foundation
import Hypercore
import Share
import Store
import Synchronization
import Testing

@Suite struct ShareDatabaseTests {
    private let directory = TemporaryDirectory()

    private func open() throws -> ShareDatabase { try ShareDatabase(directory: directory.path) }

    @Test func `small values are put, replaced and removed`() throws {
        let database = try open()
        #expect(try database.value("a") == nil)
        try database.setValue([1, 2], of: "a")
        try database.setValue([], of: "b")
        try database.setValue([3], of: "a")
        #expect(try database.value("a") == [3])
        #expect(try database.value("b") == [])
        try database.setValue(nil, of: "a")
        #expect(try database.value("a") == nil)
    }

    @Test func `what forgotten rows leave free is given back to the disk`() throws {
        var database = try open()
        var random = SeededRandom(seed: 1)
        let slot = WriterSlot(rawValue: 1)
        for index in 0..<400 as Range<UInt64> {
            var change = LogChange(header: nil)
            change.blocks = [StoredBlock(index: index, bytes: random.bytes(20_000))]
            try database.write(change, to: slot)
            // What stays lies between what goes.
            try database.setValue(random.bytes(3000), of: "\(index)")
        }
        try database.sync()
        database = try reopened(&database, in: directory)
        func size() throws -> Int { try directory.bytes(of: "share.sqlite").count }
        let before = try size()
        #expect(before > 8_000_000)
        var change = LogChange(header: nil)
        change.cleared = 0..<400
        try database.write(change, to: slot)
        try database.commit()
        var steps = 0
        while try database.releaseSpace() { steps += 1 }
        #expect(steps > 10)
        #expect(try size() < before / 4)
        database = try reopened(&database, in: directory)
        #expect(try database.value("399")?.count == 3000)
        #expect(try database.storedRuns(slot, from: 0).isEmpty)
    }

    @Test func `writers get slots in order, and keep them`() throws {
        var database = try open()
        let keys = (1...3).map { Bytes32(repeating: $0) }
        for key in keys { try database.addWriter(key) }
        try database.commit()
        database = try reopened(&database, in: directory)
        #expect(try database.writers() == keys)
        #expect(try database.appliedLog(WriterSlot(rawValue: 2)) == nil)
        let applied = AppliedLog(blocks: 7, codecState: [1, 2, 3])
        try database.setAppliedLog(applied, of: WriterSlot(rawValue: 2))
        #expect(try database.appliedLog(WriterSlot(rawValue: 2)) == applied)
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `staging records come back as they were`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var database = try open()
        var expected: [StagedFile] = []
        for node in 1...20 as ClosedRange<UInt64> {
            var dirty: [Range<UInt64>] = []
            var end: UInt64 = 0
            for _ in 0..<Int.random(in: 0...100, using: &random) {
                let start = end + .random(in: 1...1 << 30, using: &random)
                end = start + .random(in: 1...1 << 20, using: &random)
                dirty.append(start..<end)
            }
            let reference = ChunkReference(
                address: Bytes32(random.bytes(32)) ?? .zero,
                key: Bytes32(random.bytes(32)) ?? .zero, length: 70_000)
            let bases: [Content] = [
                .empty, .inline(random.bytes(100)),
                .pieces([.chunk(reference), .hole(1 << 40), .chunk(reference)]),
            ]
            expected.append(
                StagedFile(
                    node: NodeID(rawValue: node << 50), parents: [random.next() >> 1],
                    base: bases[Int(node) % 3], size: end,
                    modified: Timestamp(seconds: -5, nanoseconds: 7), dirty: dirty,
                    file: random.next()))
        }
        for staged in expected { try database.putStaged(staged) }
        try database.putStaged(expected[0])
        let removed = expected.remove(at: 4)
        try database.removeStaged(removed.node)
        try database.commit()
        database = try reopened(&database, in: directory)
        #expect(try database.stagedFiles() == expected, "seed \(seed)")
        for staged in expected { #expect(try database.staged(staged.node) == staged) }
        #expect(try database.staged(removed.node) == nil)
    }

    @Test func `wanted chunks keep their order and are wanted once`() throws {
        let database = try open()
        let chunks = (0..<5).map { number in
            WantedChunk(
                reference: ChunkReference(
                    address: Bytes32(repeating: UInt8(9 - number)), key: .zero,
                    length: UInt32(number)), isList: number == 2)
        }
        for chunk in chunks { try database.putWanted(chunk) }
        try database.putWanted(chunks[0])
        try database.removeWanted(chunks[3].reference.address)
        try database.removeWanted(Bytes32(repeating: 200))
        #expect(try database.wantedChunks() == [0, 1, 2, 4].map { chunks[$0] })
    }

    @Test func `every version is walked, also while the storage is used`() throws {
        let database = try open()
        let slot = WriterSlot(rawValue: 1)
        for block in 0..<1500 as Range<UInt64> {
            let id = OperationID(writer: slot, block: block, index: 0)
            try database.put(
                VersionRow(
                    id: id, object: .root, time: .zero, parents: [], size: block,
                    modified: .epoch, content: []))
        }
        var sizes: [UInt64] = []
        try database.forEachVersion { row throws(StorageError) in
            sizes.append(row.size)
            try database.setValue([1], of: "\(row.id)")
            _ = try database.version(row.id)
        }
        #expect(sizes == Array(0..<1500))
    }

    @Test func `staged bytes that were not synced count until the machine goes down`() throws {
        func staged(_ node: UInt64, isSynced: Bool, synced: StagedFile.Synced? = nil) -> StagedFile
        {
            StagedFile(
                node: NodeID(rawValue: node), parents: [7], base: .inline([1, 2]), size: 900,
                modified: Timestamp(seconds: 5), dirty: [0..<900], file: node, isSynced: isSynced,
                synced: synced)
        }
        let before = StagedFile.Synced(
            size: 100, modified: Timestamp(seconds: 4), dirty: [0..<50, 60..<100], file: 30)
        let files = [
            staged(1, isSynced: true), staged(2, isSynced: false),
            staged(3, isSynced: false, synced: before),
        ]
        do {
            let database = try ShareDatabase(directory: directory.path, boot: 1)
            for file in files { try database.putStaged(file) }
            try database.sync()
        }
        do {
            // A killed program: the system has what it was given.
            let database = try ShareDatabase(directory: directory.path, boot: 1)
            #expect(try database.stagedFiles() == files)
        }
        var spared = staged(3, isSynced: true)
        (spared.size, spared.modified) = (before.size, before.modified)
        (spared.dirty, spared.file) = (before.dirty, before.file)
        let database = try ShareDatabase(directory: directory.path, boot: 2)
        #expect(try database.stagedFiles() == [files[0], spared])
        try database.sync()
    }

    @Test func `removing the view leaves logs, writers, values and staged files`() throws {
        let database = try open()
        let slot = WriterSlot(rawValue: 1)
        try database.addWriter(.zero)
        try database.write(LogChange(header: LogHeader(key: .zero)), to: slot)
        try database.setValue([1], of: "kept")
        try database.setAppliedLog(AppliedLog(blocks: 1, codecState: []), of: slot)
        try database.setTreeState([1])
        let staged = StagedFile(
            node: .root, parents: [], base: .empty, size: 0, modified: .epoch, dirty: [], file: 1)
        try database.putStaged(staged)
        try database.removeView()
        #expect(try database.treeState() == nil)
        #expect(try database.appliedLog(slot) == nil)
        #expect(try database.writers() == [.zero])
        #expect(try database.logs() == [slot])
        #expect(try database.value("kept") == [1])
        #expect(try database.stagedFiles() == [staged])
    }

    // MARK: Crashes

    @Test func `after a crash all of a transaction is there or nothing`() throws {
        let database = try open()
        var images: [(committed: UInt8, image: TemporaryDirectory)] = []
        for number in 1...20 as ClosedRange<UInt8> {
            try database.setValue([number], of: "first")
            try database.setTreeState([UInt8](repeating: number, count: 9000))
            images.append((number - 1, try directory.image()))
            try database.setValue([number], of: "last")
            try database.commit()
            images.append((number, try directory.image()))
        }
        for (committed, image) in images {
            let found = try ShareDatabase(directory: image.path)
            let expected: [UInt8]? = committed == 0 ? nil : [committed]
            #expect(try found.value("first") == expected)
            #expect(try found.value("last") == expected)
            #expect(try found.treeState()?.first == expected?.first)
        }
    }

    @Test func `a WAL cut off anywhere loses the newest transactions only`() throws {
        let database = try open()
        var sizes: [Int] = []
        for number in 1...12 as ClosedRange<UInt8> {
            try database.setValue([number], of: "first")
            try database.setTreeState([UInt8](repeating: number, count: 5000))
            try database.setValue([number], of: "last")
            try database.commit()
            sizes.append(try directory.bytes(of: "share.sqlite-wal").count)
        }
        let image = try directory.image()
        let wal = try image.bytes(of: "share.sqlite-wal")
        var random = SeededRandom(seed: 5)
        let cuts =
            sizes + sizes.map { $0 - 1 }
            + (0..<40).map { _ in
                Int.random(in: sizes[0]..<wal.count, using: &random)
            }
        for cut in cuts {
            let broken = try image.image()
            // What was not synced may also be zeros, or never written.
            let tail = [UInt8](repeating: 0, count: cut % 2 == 0 ? wal.count - cut : 0)
            try broken.write(wal[..<cut] + tail, to: "share.sqlite-wal")
            let found = try ShareDatabase(directory: broken.path)
            let whole = sizes.count { $0 <= cut }
            let expected: [UInt8]? = whole == 0 ? nil : [UInt8(whole)]
            #expect(try found.value("first") == expected, "cut at \(cut)")
            #expect(try found.value("last") == expected, "cut at \(cut)")
            #expect(try found.treeState()?.first == expected?.first, "cut at \(cut)")
        }
    }

    @Test func `the WAL is moved to the database before it grows large`() throws {
        let database = try open()
        var random = SeededRandom(seed: 1)
        var largest = 0
        for number in 0..<300 {
            for part in 0..<10 {
                try database.setValue(random.bytes(30_000), of: "\(number % 40) \(part)")
            }
            try database.commit()
            if number % 10 == 0 {
                largest = max(largest, try directory.bytes(of: "share.sqlite-wal").count)
            }
        }
        try database.sync()
        #expect(largest < 60 << 20)
        #expect(try directory.bytes(of: "share.sqlite").count > 8 << 20)
    }

    @Test func `pages are moved on another thread while commits go on`() throws {
        let thread = DispatchQueue(label: "elsewhere")
        let passes = Mutex(0)
        var database: ShareDatabase? = try ShareDatabase(directory: directory.path) { work in
            passes.withLock { $0 += 1 }
            thread.async(execute: work)
            return true
        }
        var random = SeededRandom(seed: 3)
        var expected: [String: [UInt8]] = [:]
        var largest = 0
        for number in 0..<600 {
            for part in 0..<10 {
                let name = "\(number % 40) \(part)"
                let value = random.bytes(30_000)
                expected[name] = value
                try database?.setValue(value, of: name)
            }
            try database?.commit()
            // Reads go on, too.
            let name = "\(number % 40) \(number % 10)"
            #expect(try database?.value(name) == expected[name])
            largest = max(largest, try directory.size(of: "share.sqlite-wal"))
        }
        #expect(passes.withLock { $0 } > 1)
        #expect(largest < 4 * 12_000 * 4120)
        database = nil
        #expect(!FileManager.default.fileExists(atPath: directory.file("share.sqlite-wal")))
        let found = try open()
        for (name, value) in expected { #expect(try found.value(name) == value) }
    }

    @Test(arguments: [true, false])
    func `pages are moved by a commit when no thread does`(isPromised: Bool) throws {
        let database = try ShareDatabase(directory: directory.path) { _ in isPromised }
        var random = SeededRandom(seed: 4)
        var largest = 0
        for number in 0..<800 {
            for part in 0..<10 {
                try database.setValue(random.bytes(30_000), of: "\(number % 40) \(part)")
            }
            try database.commit()
            largest = max(largest, try directory.size(of: "share.sqlite-wal"))
        }
        #expect(largest < (isPromised ? 4 : 1) * 13_000 * 4120)
        #expect(try directory.bytes(of: "share.sqlite").count > 8 << 20)
    }

    @Test func `many threads share few syncs`() async throws {
        let database = try open()
        try database.setValue([1], of: "a")
        try database.commit()
        let barrier = database.barrier
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<16 { group.addTask { try barrier.wait() } }
            try await group.waitForAll()
        }
    }

    // MARK: Refusals

    @Test func `a database of a later version is refused and left alone`() throws {
        do {
            let database = try open()
            try database.setValue([1], of: "a")
            try database.sync()
        }
        // The user version is at byte 60 of the file, big-endian.
        var bytes = try directory.bytes(of: "share.sqlite")
        bytes[63] = 99
        try directory.write(bytes, to: "share.sqlite")
        #expect {
            _ = try open()
        } throws: { error in
            "\(error)".contains("later Holdfast (version 99")
        }
        #expect(try directory.bytes(of: "share.sqlite") == bytes)
    }

    @Test func `a file that is no database is named, with what to do`() throws {
        try directory.write([UInt8](repeating: 65, count: 8192), to: "share.sqlite")
        #expect {
            _ = try open()
        } throws: { error in
            guard case StorageError.corrupt(let what) = error else { return false }
            return what.contains("share.sqlite") && what.contains("holdfast check --rebuild")
        }
    }

    @Test func `a link in place of the database is not followed`() throws {
        let elsewhere = TemporaryDirectory()
        try FileManager.default.createSymbolicLink(
            atPath: directory.file("share.sqlite"),
            withDestinationPath: elsewhere.file("target"))
        #expect(throws: StorageError.self) { try open() }
        #expect(try elsewhere.names() == [])
    }

    @Test func `a second connection is refused`() throws {
        let first = try open()
        try first.setValue([1], of: "a")
        try first.commit()
        #expect {
            _ = try open()
        } throws: { error in
            error as? StorageError
                == .io(code: EBUSY, action: "using \(directory.path)/share.sqlite")
        }
        #expect(try first.value("a") == [1])
    }

    @Test func `a row that cannot be right is reported, not trusted`() throws {
        var database = try open()
        try database.setAppliedLog(
            AppliedLog(blocks: 3, codecState: []), of: WriterSlot(rawValue: 4))
        try database.addWriter(Bytes32(repeating: 0xab))
        try database.sync()
        database = try reopened(&database, in: directory)
        withExtendedLifetime(database) {}
        let other = TemporaryDirectory()
        database = try ShareDatabase(directory: other.path)
        var bytes = try directory.bytes(of: "share.sqlite")
        // One byte of the key's serial type: 32 bytes of blob become 31.
        let key = [UInt8](repeating: 0xab, count: 32)
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: key) })
        bytes[place - 1] -= 2
        try directory.write(bytes, to: "share.sqlite")
        let damaged = try open()
        #expect(throws: StorageError.self) { try damaged.writers() }
    }
}
