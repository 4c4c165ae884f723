import Base
import Testing

@testable import Chunks

@Suite struct ContentBuilderTests {
    private func build(_ bytes: [UInt8], _ storage: MemoryChunkStorage) throws -> Content {
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        return try builder.build(from: TestFile(bytes))
    }

    @Test(arguments: [0, 1, 4096, 4097, 32_768, 600_000, 3 << 20])
    func `what was built reads back`(size: Int) throws {
        let storage = MemoryChunkStorage()
        let bytes = randomBytes(size, seed: UInt64(size))
        let content = try build(bytes, storage)
        #expect(content.size == UInt64(size))
        #expect(try readAll(content, storage) == bytes)
        if case .inline = content { #expect(size <= 4096) } else { #expect(size > 4096) }
        #expect(try Content(decoding: content.encode()) == content)
        // Building it again adds nothing.
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        #expect(try builder.build(from: TestFile(bytes)) == content)
        #expect(builder.statistics.bytesAppended == 0)
    }

    @Test func `contents are pinned`() throws {
        var bytes = randomBytes(400_000, seed: 1)
        for index in 150_000..<250_000 { bytes[index] = 0 }
        let content = try build(bytes, MemoryChunkStorage())
        #expect(content.pieces.map(\.size) == [75_327, 74_673, 100_000, 150_000])
        #expect(
            content.pieces.compactMap { $0.reference?.address.hex.prefix(16) } == [
                "581d64be3484daed", "8a962d43837225ec", "e559326bedc4f305",
            ])
    }

    @Test func `long zeros are holes of their exact size and short ones are data`() throws {
        let storage = MemoryChunkStorage()
        var bytes = randomBytes(1 << 20, seed: 3).map { $0 | 1 }
        for index in 100_001..<165_536 { bytes[index] = 0 }
        for index in 400_001..<465_537 { bytes[index] = 0 }
        let content = try build(bytes, storage)
        let holes = content.pieces.filter(\.hasHoles)
        #expect(holes == [.hole(65_536)])
        #expect(try readAll(content, storage) == bytes)
        let reader = ContentReader(content, storage: storage)
        #expect(try reader.seekHole(from: 0) == .offset(400_001))
        #expect(try reader.seekData(from: 400_002) == .offset(465_537))
    }

    @Test func `all zeros are one hole whatever the size`() throws {
        let storage = MemoryChunkStorage()
        for size in [65_536, 100_000, 5 << 20] {
            let content = try build([UInt8](repeating: 0, count: size), storage)
            #expect(content == .pieces([.hole(UInt64(size))]))
        }
        #expect(storage.statistics.chunks == 0)
        let small = try build([UInt8](repeating: 0, count: 65_535), storage)
        #expect(small.pieces.count == 1 && !small.pieces[0].hasHoles)
    }

    @Test func `known zeros are not read`() throws {
        struct Sparse: ContentSource {
            let size: UInt64 = 1 << 50
            func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
                buffer.initializeMemory(as: UInt8.self, repeating: 7)
                return min(buffer.count, 4096 - Int(offset % 4096))
            }
            func zeros(from offset: UInt64) -> UInt64 {
                // Data in one block each 256 TiB.
                let start = offset % (1 << 48)
                return start < 4096 ? offset : offset - start + (1 << 48)
            }
        }
        var builder = ContentBuilder(keys: testKeys, storage: MemoryChunkStorage())
        let content = try builder.build(from: Sparse())
        let sizes: [UInt64] = [4096, (1 << 48) - 4096]
        #expect(content.pieces.map(\.size) == sizes + sizes + sizes + sizes)
    }

    @Test func `a source that ends early is an error`() throws {
        let short = FunctionSource(size: 1 << 20) { offset, buffer in
            min(buffer.count, max(0, 300_000 - Int(offset)))
        }
        var builder = ContentBuilder(keys: testKeys, storage: MemoryChunkStorage())
        #expect(throws: ContentError.self) { try builder.build(from: short) }
        let tiny = FunctionSource(size: 100) { _, _ in 0 }
        #expect(throws: ContentError.self) { try builder.build(from: tiny) }
        let failing = FunctionSource(size: 1 << 20) { _, _ throws(StorageError) in throw .full }
        #expect(throws: ContentError.storage(.full)) { try builder.build(from: failing) }
        let huge = FunctionSource(size: 1 << 60) { _, _ in 0 }
        #expect(throws: ContentError.self) { try builder.build(from: huge) }
        // And the builder goes on afterwards.
        #expect(try builder.build(from: TestFile([1])) == .inline([1]))
    }

    @Test func `a disk that fills up is reported`() throws {
        final class FullStorage: ChunkStorage {
            func contains(_ address: Bytes32) -> Bool { false }
            func reference(of address: Bytes32) -> ChunkReference? { nil }
            func read(_ address: Bytes32, at: Int, into: UnsafeMutableRawBufferPointer) -> Int? {
                nil
            }
            func append(_ reference: ChunkReference, plaintext: Span<UInt8>) throws(StorageError) {
                throw .full
            }
            func sync() {}
            func collect(keeping: (Bytes32) -> Bool) -> UInt64 { 0 }
            var statistics: ChunkStatistics { ChunkStatistics() }
        }
        var builder = ContentBuilder(keys: testKeys, storage: FullStorage())
        #expect(throws: ContentError.storage(.full)) {
            try builder.build(from: TestFile(randomBytes(5000, seed: 1)))
        }
    }

    @Test func `an insertion moves bytes and changes few chunks`() throws {
        let storage = MemoryChunkStorage()
        var bytes = randomBytes(8 << 20, seed: 4)
        _ = try build(bytes, storage)
        bytes.insert(contentsOf: [1, 2, 3], at: 3_000_000)
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        let content = try builder.build(from: TestFile(bytes))
        #expect(builder.statistics.bytesAppended < 1 << 20)
        #expect(try readAll(content, storage) == bytes)
    }

    @Test func `reading reports what is missing`() throws {
        let storage = MemoryChunkStorage()
        let bytes = randomBytes(2 << 20, seed: 5)
        let content = try build(bytes, storage)
        let lost = [content.pieces[2].reference!, content.pieces[5].reference!]
        _ = storage.collect { address in !lost.contains { $0.address == address } }
        let reader = ContentReader(content, storage: storage)
        var buffer = [UInt8](repeating: 0, count: bytes.count + 10)
        let outcome = try buffer.withUnsafeMutableBytes { try reader.read(at: 0, into: $0) }
        #expect(outcome == .missing(lost))
        #expect(try reader.missing(in: 0..<reader.size) == lost)
        #expect(try reader.missing(in: 0..<reader.size, limit: 1) == [lost[0]])
        let start = content.pieces[..<2].reduce(0) { $0 + $1.size }
        let first = try buffer.withUnsafeMutableBytes {
            try reader.read(
                at: 0, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<Int(start)]))
        }
        #expect(first == .bytes(Int(start)))
        #expect(buffer[..<Int(start)] == bytes[..<Int(start)])
    }

    @Test func `reads at the end are short`() throws {
        let storage = MemoryChunkStorage()
        for bytes in [randomBytes(3000, seed: 1), randomBytes(300_000, seed: 1)] {
            let reader = ContentReader(try build(bytes, storage), storage: storage)
            var buffer = [UInt8](repeating: 0, count: 1000)
            let outcome = try buffer.withUnsafeMutableBytes {
                try reader.read(at: reader.size - 10, into: $0)
            }
            #expect(outcome == .bytes(10))
            #expect(buffer[..<10] == bytes.suffix(10))
            for offset in [reader.size, reader.size + 1, .max] {
                let outcome = try buffer.withUnsafeMutableBytes {
                    try reader.read(at: offset, into: $0)
                }
                #expect(outcome == .bytes(0))
            }
        }
    }
}

@Suite struct RebuildTests {
    /// One edit of a file in memory and the range it makes dirty.
    private func edit(_ bytes: inout [UInt8], _ random: inout SeededRandom) -> Range<UInt64>? {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let length = Int.random(
            in: 0...([10, 5000, 200_000].randomElement(using: &random)!), using: &random)
        let end = min(bytes.count, place + length)
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
            bytes.removeLast(bytes.count - place)
            return nil
        case 1:
            let more = Int.random(in: 0...400_000, using: &random)
            if Bool.random(using: &random) {
                bytes += [UInt8](repeating: 0, count: more)
            } else {
                bytes += randomBytes(more, seed: random.next())
            }
            return nil
        case 2, 3:
            for index in place..<end { bytes[index] = 0 }
        default:
            bytes.replaceSubrange(place..<end, with: randomBytes(end - place, seed: random.next()))
        }
        return UInt64(place)..<UInt64(end)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func `rebuilding gives what building gives`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var bytes = randomBytes(Int.random(in: 0...3_000_000, using: &random), seed: seed)
        // Zeros of all sizes around the threshold of holes.
        for _ in 0..<6 where bytes.count > 200_000 {
            let place = Int.random(in: 0..<bytes.count - 150_000, using: &random)
            for index in place..<place + Int.random(in: 30_000...150_000, using: &random) {
                bytes[index] = 0
            }
        }
        let storage = MemoryChunkStorage()
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        var content = try builder.build(from: TestFile(bytes))
        for round in 0..<4 {
            // Bytes cut off and grown again are dirty, though the size may be as before.
            var dirty: [Range<UInt64>] = []
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let before = UInt64(bytes.count)
                if let range = edit(&bytes, &random) {
                    dirty.append(range)
                } else {
                    dirty.append(
                        min(before, UInt64(bytes.count))..<max(before, UInt64(bytes.count)))
                }
            }
            let file = TestFile(bytes)
            content = try builder.rebuild(base: content, dirty: dirty, from: file)
            var fresh = ContentBuilder(keys: testKeys, storage: MemoryChunkStorage())
            let expected = try fresh.build(from: TestFile(bytes))
            #expect(content == expected, "seed \(seed), round \(round)")
            #expect(try readAll(content, storage) == bytes, "seed \(seed), round \(round)")
        }
    }

    @Test func `a small edit of a large file costs little`() throws {
        let storage = MemoryChunkStorage()
        var bytes = randomBytes(64 << 20, seed: 1)
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        let content = try builder.build(from: TestFile(bytes))
        guard case .tree = content else {
            Issue.record("64 MiB should make a tree")
            return
        }
        for place in [0, 20_000_000, bytes.count - 4096] {
            bytes.replaceSubrange(place..<place + 4096, with: randomBytes(4096, seed: 2))
        }
        for place in [0, 20_000_000, bytes.count - 4096] {
            let file = TestFile(bytes)
            let range = UInt64(place)..<UInt64(place + 4096)
            // Only this edit: the others are not in the base, but not in what is read either.
            _ = try builder.rebuild(base: content, dirty: [range], from: file)
            #expect(builder.statistics.bytesAppended < 1 << 20)
            #expect(builder.statistics.bytesHashed < 1 << 20)
            #expect(file.bytesRead < 2 << 20)
        }
        let file = TestFile(bytes)
        let all = [0, 20_000_000, bytes.count - 4096].map { UInt64($0)..<UInt64($0 + 4096) }
        let rebuilt = try builder.rebuild(base: content, dirty: all.reversed(), from: file)
        var fresh = ContentBuilder(keys: testKeys, storage: MemoryChunkStorage())
        #expect(try rebuilt == fresh.build(from: TestFile(bytes)))
    }

    @Test func `nothing changed costs nothing`() throws {
        let storage = MemoryChunkStorage()
        let bytes = randomBytes(11 << 20, seed: 1)
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        let content = try builder.build(from: TestFile(bytes))
        let file = TestFile(bytes)
        #expect(try builder.rebuild(base: content, dirty: [], from: file) == content)
        #expect(try builder.rebuild(base: content, dirty: [5..<5], from: file) == content)
        #expect(file.bytesRead == 0)
        #expect(builder.statistics == BuildStatistics())
    }

    @Test func `an append reads the tail`() throws {
        let storage = MemoryChunkStorage()
        var bytes = randomBytes(11 << 20, seed: 1)
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        let content = try builder.build(from: TestFile(bytes))
        bytes += randomBytes(100, seed: 9)
        let file = TestFile(bytes)
        let longer = try builder.rebuild(base: content, dirty: [], from: file)
        #expect(file.bytesRead < 1 << 20)
        #expect(try readAll(longer, storage) == bytes)
        bytes.removeLast(5 << 20)
        let shortened = TestFile(bytes)
        let shorter = try builder.rebuild(base: longer, dirty: [], from: shortened)
        #expect(shortened.bytesRead < 1 << 20)
        #expect(try readAll(shorter, storage) == bytes)
    }

    @Test func `trees deep enough to have lists of lists are edited in place`() throws {
        // Chunks that are nowhere, but for one between two holes in the middle.
        let storage = MemoryChunkStorage()
        var sink = ChunkSink(testKeys, storage)
        let byte = try sink.put([1].span)
        let fives = try sink.put([UInt8](repeating: 5, count: 5000).span)
        let before = ListTests.pieces(20_000, seed: 1, holes: false)
        let after = ListTests.pieces(20_000, seed: 2, holes: true)
        let hole = Piece.hole(1 << 20)
        let base = try ListTests.write(before + [hole, .chunk(byte), hole] + after, storage)
        guard case .tree(2, _, let size) = base else {
            Issue.record("\(base.pieces.count) pieces in the root")
            return
        }
        struct Fives: StagedBytes {
            func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
                buffer.initializeMemory(as: UInt8.self, repeating: 5)
                return buffer.count
            }
        }
        let start = before.reduce(0) { $0 + $1.size } + 400_000
        let range = start..<start + 5000
        let source = StagedSource(
            base: ContentReader(base, storage: storage), size: size, dirty: [range],
            staged: Fives())
        let lists = storage.statistics.chunks
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        let rebuilt = try builder.rebuild(base: base, dirty: [range], from: source)
        #expect(storage.statistics.chunks - lists <= 2)
        #expect(builder.statistics.bytesAppended < 200_000)
        let split = [Piece.hole(400_000), .chunk(fives), .hole((1 << 20) - 405_000)]
        #expect(
            try ListTests.write(before + split + [.chunk(byte), hole] + after, storage) == rebuilt)
    }

    @Test func `what a rebuild needs and is not here is named`() throws {
        let storage = MemoryChunkStorage()
        let bytes = randomBytes(4 << 20, seed: 1)
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        let content = try builder.build(from: TestFile(bytes))
        let lost = try #require(content.pieces[9].reference)
        _ = storage.collect { $0 != lost.address }
        let start = content.pieces[..<9].reduce(0) { $0 + $1.size }
        struct Edit: StagedBytes {
            func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
                buffer.initializeMemory(as: UInt8.self, repeating: 9)
                return buffer.count
            }
        }
        let reader = ContentReader(content, storage: storage)
        let near = start + 5..<start + 10
        let far = UInt64(100)..<200
        for (range, expected) in [(near, ContentError?.some(.missing([lost]))), (far, nil)] {
            let source = StagedSource(
                base: reader, size: content.size, dirty: [range], staged: Edit())
            if let expected {
                #expect(throws: expected) {
                    try builder.rebuild(base: content, dirty: [range], from: source)
                }
            } else {
                let result = try builder.rebuild(base: content, dirty: [range], from: source)
                #expect(result.pieces.contains(.chunk(lost)))
            }
        }
    }
}

@Suite struct StagedSourceTests {
    private struct Staged: StagedBytes {
        var bytes: [UInt8]
        func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
            let end = min(bytes.count, Int(offset) + min(buffer.count, 777))
            buffer.copyBytes(from: bytes[Int(offset)..<end])
            return end - Int(offset)
        }
        func nextData(from offset: UInt64) -> UInt64? {
            bytes[Int(offset)...].firstIndex { $0 != 0 }.map(UInt64.init)
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `dirty ranges cover the base, and zeros lie beyond`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let storage = MemoryChunkStorage()
        var builder = ContentBuilder(keys: testKeys, storage: storage)
        var old = randomBytes(Int.random(in: 0...400_000, using: &random), seed: seed)
        if old.count > 200_000 { for index in 50_000..<150_000 { old[index] = 0 } }
        let base = try builder.build(from: TestFile(old))
        let size = Int.random(in: 0...500_000, using: &random)
        var expected =
            Array(old.prefix(size)) + [UInt8](repeating: 0, count: max(0, size - old.count))
        var staged = [UInt8](repeating: 0, count: 600_000)
        var dirty: [Range<UInt64>] = []
        var offset = Int.random(in: 0...100_000, using: &random)
        while offset < size {
            let end = offset + Int.random(in: 1...90_000, using: &random)
            dirty.append(UInt64(offset)..<UInt64(end))
            let new =
                Bool.random(using: &random)
                ? randomBytes(end - offset, seed: random.next())
                : [UInt8](repeating: 0, count: end - offset)
            staged.replaceSubrange(offset..<end, with: new)
            for index in offset..<min(end, size) { expected[index] = staged[index] }
            offset = end + Int.random(in: 1...90_000, using: &random)
        }
        let source = StagedSource(
            base: ContentReader(base, storage: storage), size: UInt64(size), dirty: dirty,
            staged: Staged(bytes: staged))
        let content = try builder.rebuild(base: base, dirty: dirty, from: source)
        #expect(try readAll(content, storage) == expected, "seed \(seed)")
        var fresh = ContentBuilder(keys: testKeys, storage: MemoryChunkStorage())
        #expect(try fresh.build(from: TestFile(expected)) == content, "seed \(seed)")
        var position: UInt64 = 0
        while position < UInt64(size) {
            let zeros = source.zeros(from: position)
            #expect(expected[Int(position)..<Int(zeros)].allSatisfy { $0 == 0 })
            position = max(zeros, position) + UInt64.random(in: 1...20_000, using: &random)
        }
    }
}
