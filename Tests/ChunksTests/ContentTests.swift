import Base
import Testing
import Wire

@testable import Chunks

@Suite struct ContentCodingTests {
    static func reference(_ number: Int, length: UInt32 = 100_000) -> ChunkReference {
        var random = SeededRandom(seed: UInt64(number))
        return ChunkReference(
            address: Bytes32(random.bytes(32))!, key: Bytes32(random.bytes(32))!, length: length)
    }

    static let samples: [Content] = [
        .empty, .inline([1, 2, 3]), .inline([UInt8](repeating: 1, count: 4096)), .pieces([]),
        .pieces([.chunk(reference(1))]),
        .pieces([.chunk(reference(1)), .hole(1 << 52), .chunk(reference(2, length: 1))]),
        .tree(
            depth: 1,
            root: [
                .list(reference(1), size: 1 << 30, hasHoles: false),
                .list(reference(2), size: 5, hasHoles: true),
            ], size: (1 << 30) + 5),
    ]

    @Test(arguments: samples) func `contents are read back`(content: Content) throws {
        #expect(try Content(decoding: content.encode()) == content)
    }

    @Test(arguments: samples) func `cut and lengthened encodings are refused`(content: Content) {
        let bytes = content.encode()
        for count in 0..<bytes.count {
            #expect(throws: WireError.self) {
                try Content(decoding: Array(bytes.prefix(count)))
            }
        }
        #expect(throws: WireError.self) { try Content(decoding: bytes + [0]) }
    }

    @Test func `the encoding is pinned`() {
        #expect(Content.inline([1, 2]).encode().hex == "00020102")
        let content = Content.pieces([.hole(300), .chunk(Self.reference(1, length: 5))])
        #expect(
            content.encode().hex
                == "010201fd2c010005" + Self.reference(1).address.hex + Self.reference(1).key.hex)
        let tree = Content.tree(
            depth: 2, root: [.list(Self.reference(1, length: 6), size: 70_000, hasHoles: true)],
            size: 70_000)
        #expect(
            tree.encode().hex
                == "0202fe70110100" + "01" + "03fe7011010006" + Self.reference(1).address.hex
                + Self.reference(1).key.hex)
    }

    @Test func `hostile contents are refused`() {
        let chunk = Piece.chunk(Self.reference(1))
        let list = Piece.list(Self.reference(1), size: 100, hasHoles: false)
        let hostile: [Content] = [
            .inline([UInt8](repeating: 0, count: 4097)),
            .pieces([Piece](repeating: chunk, count: 65)),
            .pieces([.hole(0)]),
            .pieces([.chunk(Self.reference(1, length: 0))]),
            .pieces([.chunk(Self.reference(1, length: (512 << 10) + 1))]),
            .pieces([list]),
            .pieces([.hole(1 << 52), .hole(1 << 52)]),
            .pieces([Piece](repeating: .chunk(Self.reference(1, length: 1)), count: 3)),
            .tree(depth: 0, root: [list], size: 100),
            .tree(depth: 7, root: [list], size: 100),
            .tree(depth: 1, root: [chunk], size: 100_000),
            .tree(depth: 1, root: [list], size: 99),
            .tree(depth: 1, root: [], size: 1),
            .tree(
                depth: 1, root: [.list(Self.reference(1), size: 0, hasHoles: false)], size: 0),
        ]
        for content in hostile {
            #expect(throws: WireError.self, "\(content)") {
                try Content(decoding: content.encode())
            }
        }
        // A count that no bytes follow.
        #expect(throws: WireError.self) { try Content(decoding: [1, 64]) }
    }

    @Test func `random bytes never trap`() {
        var random = SeededRandom(seed: 9)
        for sample in Self.samples.map({ $0.encode() }) {
            for _ in 0..<300 {
                var bytes = sample
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                        in: 0...255, using: &random)
                }
                if let content = try? Content(decoding: bytes) {
                    #expect(content.size <= ChunkLimits.fileSizeMax)
                }
            }
        }
    }
}

/// Trees of pieces without the chunks: only lists are stored.
@Suite struct ListTests {
    /// - Returns: pieces as a builder would make them, holes among them if asked for.
    static func pieces(_ count: Int, seed: UInt64, holes: Bool) -> [Piece] {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { index in
            if holes, index % 7 == 3 {
                return .hole(UInt64.random(in: 1...9, using: &random) << 16)
            }
            func word() -> [UInt8] {
                withUnsafeBytes(of: random.next()) { Array($0) }
            }
            let address = Bytes32(word() + word() + word() + word())!
            return .chunk(
                ChunkReference(
                    address: address, key: address,
                    length: .random(in: 32_768...524_288, using: &random)))
        }
    }

    static func write(_ pieces: [Piece], _ storage: any ChunkStorage) throws -> Content {
        var sink = ChunkSink(testKeys, storage)
        var writer = ListWriter()
        for piece in pieces { try writer.append(piece, into: &sink) }
        return try writer.finish(into: &sink)
    }

    @Test(arguments: [0, 1, 64, 65, 66, 5_000, 100_000])
    func `lists of any length are read back`(count: Int) throws {
        let storage = MemoryChunkStorage()
        let expected = Self.pieces(count, seed: UInt64(count), holes: false)
        let content = try Self.write(expected, storage)
        #expect(try Content(decoding: content.encode()) == content)
        switch content {
        case .pieces(let root): #expect(root.count <= 64 && count <= 64)
        case .tree(let depth, let root, _):
            #expect(root.count <= 64 && count > 64)
            #expect(depth == (count > 64 * 1024 ? 2 : 1))
        case .inline: Issue.record("a list is never inline")
        }
        let reader = ContentReader(content, storage: storage)
        #expect(reader.size == expected.reduce(0) { $0 + $1.size })
        var found: [Piece] = []
        var offset: UInt64 = 0
        var inOrder = true
        try reader.forEachPart(of: 0..<reader.size) { (piece, start) throws(StorageError) in
            inOrder = inOrder && start == offset
            offset += piece.size
            found.append(piece)
            return true
        }
        #expect(found == expected && inOrder)
        // Reading anywhere names the chunk that is missing there.
        var random = SeededRandom(seed: 1)
        offset = 0
        for piece in expected {
            if Int.random(in: 0..<expected.count, using: &random) < 50 {
                let at = offset + UInt64.random(in: 0..<piece.size, using: &random)
                var byte: [UInt8] = [1]
                let outcome = try byte.withUnsafeMutableBytes { try reader.read(at: at, into: $0) }
                #expect(outcome == .missing([piece.reference!]))
            }
            offset += piece.size
        }
    }

    @Test func `seeking passes over whole lists`() throws {
        let storage = MemoryChunkStorage()
        var all = Self.pieces(3000, seed: 4, holes: false)
        all[2500] = .hole(1 << 20)
        let content = try Self.write(all, storage)
        let reader = ContentReader(content, storage: storage)
        let hole = all[..<2500].reduce(0) { $0 + $1.size }
        #expect(try reader.seekHole(from: 0) == .offset(hole))
        #expect(try reader.seekHole(from: hole + 5) == .offset(hole + 5))
        #expect(try reader.seekHole(from: hole + (1 << 20)) == .offset(reader.size))
        #expect(try reader.seekData(from: 77) == .offset(77))
        #expect(try reader.seekData(from: hole + 1) == .offset(hole + (1 << 20)))
        #expect(try reader.seekData(from: reader.size) == .none)
        #expect(try reader.seekHole(from: reader.size) == .none)
        #expect(try reader.seekData(from: .max) == .none)
    }

    @Test func `a missing list is named and stands for its part`() throws {
        let storage = MemoryChunkStorage()
        let content = try Self.write(Self.pieces(2000, seed: 5, holes: true), storage)
        let list = try #require(content.pieces[1].reference)
        let first = content.pieces[0].size
        _ = storage.collect { $0 != list.address }
        let reader = ContentReader(content, storage: storage)
        var byte: [UInt8] = [1]
        let outcome = try byte.withUnsafeMutableBytes { try reader.read(at: first, into: $0) }
        #expect(outcome == .missing([list]))
        #expect(try reader.seekHole(from: first) == .missing(list))
        #expect(try reader.seekData(from: first) == .missing(list))
        #expect(try reader.missing(in: first..<first + 1) == [list])
        #expect(try reader.missing(in: 0..<reader.size, limit: 10).count == 10)
        var walk = ReferenceWalk(storage)
        var count = 0
        try walk.forEachReference(in: content) { (_) throws(StorageError) in count += 1 }
        #expect(walk.missingLists == [list])
        #expect(count < 2000)
    }

    @Test func `damaged lists are refused`() throws {
        let good = MemoryChunkStorage()
        let content = try Self.write(Self.pieces(500, seed: 6, holes: false), good)
        let list = try #require(content.pieces[0].reference)
        var bytes: [UInt8] = []
        #expect(try good.readAll(list, into: &bytes))
        for index in [0, 1, 2, 5, 40, bytes.count - 1] {
            var changed = bytes
            changed[index] ^= 0x41
            let bad = MemoryChunkStorage()
            bad.append(list, plaintext: changed.span)
            let reader = ContentReader(content, storage: bad)
            var byte: [UInt8] = [1]
            // Bytes of addresses and keys cannot be told: those are checked before chunks are stored.
            if index < 3 {
                #expect(throws: StorageError.self) {
                    try byte.withUnsafeMutableBytes { try reader.read(at: 0, into: $0) }
                }
                var walk = ReferenceWalk(bad)
                #expect(throws: StorageError.self) {
                    try walk.forEachReference(in: content) { (_) throws(StorageError) in }
                }
            } else {
                _ = try? byte.withUnsafeMutableBytes { try reader.read(at: 0, into: $0) }
            }
        }
    }

    @Test func `a hostile writer's list neither stops collection nor is believed`() throws {
        let storage = MemoryChunkStorage()
        var sink = ChunkSink(testKeys, storage)
        let text = try sink.put(randomBytes(3000, seed: 1).span)
        let leaf = ListChunk.encode(Self.pieces(3, seed: 1, holes: false), level: 0)
        let wrongLevel = try sink.put(leaf.span)
        for reference in [text, wrongLevel] {
            let content = Content.tree(
                depth: 2, root: [.list(reference, size: 1 << 20, hasHoles: false)], size: 1 << 20)
            let reader = ContentReader(content, storage: storage)
            #expect(throws: StorageError.self) { try reader.missing(in: 0..<10) }
            var walk = ReferenceWalk(storage)
            var seen: [Bytes32] = []
            try walk.forEachReference(in: content) { (reference) throws(StorageError) in
                seen.append(reference.address)
            }
            #expect(seen == [reference.address])
        }
    }

    @Test func `a tree that names one list again and again is walked once`() throws {
        let storage = MemoryChunkStorage()
        var sink = ChunkSink(testKeys, storage)
        var below = Self.pieces(64, seed: 2, holes: false)
        for level in 0..<6 {
            let bytes = ListChunk.encode(below, level: level)
            let reference = try sink.put(bytes.span)
            let size = below.reduce(0) { $0 + $1.size }
            below = [Piece](
                repeating: .list(reference, size: size, hasHoles: false), count: level < 4 ? 64 : 1)
        }
        let content = Content.tree(depth: 6, root: below, size: below.reduce(0) { $0 + $1.size })
        #expect(content.size < ChunkLimits.fileSizeMax)
        var walk = ReferenceWalk(storage)
        var count = 0
        try walk.forEachReference(in: content) { (_) throws(StorageError) in count += 1 }
        #expect(count < 1000)
        // And asking what is missing ends, too.
        let reader = ContentReader(content, storage: storage)
        #expect(try reader.missing(in: 0..<reader.size, limit: 1000).count == 64)
    }

    @Test func `one changed piece changes one list of each level`() throws {
        let storage = MemoryChunkStorage()
        var all = Self.pieces(30_000, seed: 7, holes: true)
        _ = try Self.write(all, storage)
        let before = storage.statistics
        all[15_000] = .chunk(ContentCodingTests.reference(1))
        _ = try Self.write(all, storage)
        #expect(storage.statistics.chunks - before.chunks <= 4)
    }

    @Test func `references name every chunk and every list`() throws {
        let storage = MemoryChunkStorage()
        let all = Self.pieces(3000, seed: 8, holes: true)
        let content = try Self.write(all, storage)
        var seen: Set<Bytes32> = []
        var walk = ReferenceWalk(storage)
        try walk.forEachReference(in: content) { (reference) throws(StorageError) in
            seen.insert(reference.address)
        }
        #expect(seen == Set(all.compactMap { $0.reference?.address } + storage.addresses))
        #expect(walk.missingLists.isEmpty)
        #expect(storage.collect { seen.contains($0) } == 0)
    }
}
