import Base
import Chunks
import Foundation
import Share
import Testing

@testable import Store

/// Staging files whose bytes become a pack store's where they are.
@Suite struct AdoptionTests {
    private let directory = TemporaryDirectory()
    private let stagingDirectory = TemporaryDirectory()

    private func open() throws -> PackStore { try PackStore(directory: directory.path) }

    /// A staging file with chunks at offsets of their own, `gap` bytes apart.
    private func stage(_ count: Int, size: Int = 40_000, gap: Int = 0, start: Int = 0, seed: UInt64)
        throws -> (file: any StagingFile, chunks: [InPlaceChunk], all: [TestChunk])
    {
        var random = SeededRandom(seed: seed)
        let file = try StagingDirectory(directory: stagingDirectory.path).create()
        var offset = start
        var chunks: [InPlaceChunk] = []
        var all: [TestChunk] = []
        for _ in 0..<count {
            let chunk = TestChunk(size: size, using: &random)
            try chunk.bytes.withUnsafeBytes { try file.write($0, at: UInt64(offset)) }
            chunks.append(
                InPlaceChunk(
                    reference: chunk.reference, checksum: PackFormat.checksum(chunk.bytes.span),
                    offset: UInt64(offset)))
            all.append(chunk)
            offset += size + gap
        }
        return (file, chunks, all)
    }

    private func write(_ bytes: [UInt8], at offset: UInt64, to file: any StagingFile) throws {
        try bytes.withUnsafeBytes { try file.write($0, at: offset) }
    }

    @Test func `adopted chunks are read where they were staged, after opening anew too`() throws {
        var (file, chunks, all) = try stage(20, gap: 13, seed: 1)
        var store = try open()
        #expect(try store.adopt(chunks, of: file))
        file.remove()
        #expect(try stagingDirectory.names().allSatisfy { $0.count < 16 })
        for _ in 0..<2 {
            for chunk in all { #expect(try chunk.isIn(store)) }
            let first = all[3]
            #expect(
                try store.bytes(of: first.reference.address, from: 100, count: 50)
                    == Array(first.bytes[100..<150]))
            let bytes = UInt64(all.reduce(0) { $0 + $1.bytes.count })
            #expect(store.statistics == ChunkStatistics(chunks: 20, bytes: bytes, packs: 1))
            let report = try store.verify { _, _ in true }
            #expect(report.chunks == 20 && report.problems.isEmpty && report.damaged.isEmpty)
            store = try open()
        }
        #expect(try directory.names().filter { $0.hasSuffix(".data") } == ["000001.data"])
        // What comes next has a name of its own.
        var random = SeededRandom(seed: 9)
        let next = TestChunk(size: 5000, using: &random)
        try next.add(to: store)
        try store.sync()
        all.append(next)
        store = try open()
        for chunk in all { #expect(try chunk.isIn(store)) }
    }

    @Test func `chunks far apart in a file are in packs of their own`() throws {
        let (file, chunks, all) = try stage(3, gap: 1 << 33, start: 1 << 20, seed: 2)
        let store = try open()
        #expect(try store.adopt(chunks, of: file))
        #expect(store.statistics.packs == 3)
        for chunk in all { #expect(try chunk.isIn(try open())) }
        let spans = AdoptedPack.spans(of: chunks, spanMax: 1 << 40)
        #expect(spans.map(\.count) == [3])
    }

    @Test func `what is here already is not adopted again`() throws {
        let (file, chunks, all) = try stage(4, seed: 3)
        let store = try open()
        for chunk in all { try chunk.add(to: store) }
        try store.sync()
        #expect(try store.adopt(chunks, of: file))
        #expect(try !directory.names().contains { $0.hasSuffix(".data") })
        #expect(store.statistics.chunks == 4)
    }

    @Test func `a file goes on after a part of it was adopted, and another part is adopted`() throws
    {
        let (file, chunks, all) = try stage(20, seed: 4)
        var store = try open()
        #expect(try store.adopt(Array(chunks[..<10]), of: file))
        #expect(try store.adopt(Array(chunks[10...]), of: file))
        #expect(try directory.names().filter { $0.hasSuffix(".data") }.count == 1)
        // With its staging name still there, what no pack names is left alone.
        try write([UInt8](repeating: 7, count: 3 << 20), at: 1 << 30, to: file)
        try file.sync()
        store = try open()
        for chunk in all { #expect(try chunk.isIn(store)) }
        let again = try StagingDirectory(directory: stagingDirectory.path).open(file.id)
        var byte: [UInt8] = [0]
        _ = try byte.withUnsafeMutableBytes { try again.read(at: 1 << 30 + 3 << 20 - 1, into: $0) }
        #expect(byte == [7])
    }

    @Test func `a staging file that is opened anew is no longer the store's`() throws {
        let (file, chunks, all) = try stage(10, seed: 5)
        let store = try open()
        #expect(try store.adopt(chunks, of: file))
        let area = try StagingDirectory(directory: stagingDirectory.path)
        let again = try area.open(file.id)
        try write([UInt8](repeating: 0, count: 400_000), at: 0, to: again)
        try again.truncate(to: 0)
        for chunk in all { #expect(try chunk.isIn(store)) }
        again.remove()
        for chunk in all { #expect(try chunk.isIn(try open())) }
    }

    @Test func `what is dropped gives its space back, all and in part`() throws {
        let (file, chunks, all) = try stage(60, size: 60_000, seed: 6)
        var store = try open()
        #expect(try store.adopt(chunks, of: file))
        file.remove()
        let blocks = { () -> Int in
            try directory.names().reduce(0) { sum, name in
                var status = stat()
                guard stat(directory.file(name), &status) == 0 else { return sum }
                return sum + Int(status.st_blocks) * 512
            }
        }
        let before = try blocks()
        let kept = Set(all[..<20].map(\.reference.address))
        _ = try store.collect { kept.contains($0) }
        for (index, chunk) in all.enumerated() { #expect(try chunk.isIn(store) == (index < 20)) }
        #expect(try blocks() < before / 2)
        store = try open()
        for (index, chunk) in all.enumerated() { #expect(try chunk.isIn(store) == (index < 20)) }
        _ = try store.collect { _ in false }
        #expect(try !directory.names().contains { $0.hasSuffix(".data") })
        #expect(store.statistics.chunks == 0)
    }

    @Test
    func `what a crash leaves without a pack is removed, and holes are made where none is named`()
        throws
    {
        let (file, chunks, all) = try stage(60, size: 60_000, seed: 7)
        let store = try open()
        #expect(try store.adopt(Array(chunks[..<20]), of: file))
        file.remove()
        try directory.write([1, 2, 3], to: "000009.data")
        try directory.write([1, 2, 3], to: "000008.pack.new")
        let again = try open()
        for (index, chunk) in all.enumerated() { #expect(try chunk.isIn(again) == (index < 20)) }
        #expect(try directory.names().filter { $0.hasSuffix(".data") } == ["000001.data"])
        #expect(try !directory.names().contains("000008.pack.new"))
        var status = stat()
        #expect(stat(directory.file("000001.data"), &status) == 0)
        #expect(Int(status.st_blocks) * 512 < 25 * 60_000)
    }

    @Test func `a damaged pack or a missing file is told, and never gives wrong bytes`() throws {
        let (file, chunks, all) = try stage(6, size: 3000, seed: 8)
        #expect(try open().adopt(chunks, of: file))
        file.remove()
        let pack = try directory.bytes(of: "000002.pack")
        for position in stride(from: 0, to: pack.count, by: 7) {
            let image = try directory.image()
            var broken = pack
            broken[position] ^= 0x10
            try image.write(broken, to: "000002.pack")
            guard let store = try? PackStore(directory: image.path) else { continue }
            for chunk in all {
                let bytes = try? store.bytes(of: chunk.reference.address)
                #expect(bytes == nil || bytes == chunk.bytes, "byte \(position)")
            }
            let report = try store.verify { _, _ in true }
            #expect(!report.problems.isEmpty, "byte \(position)")
            #expect(try image.names().contains("000001.data"))
        }
        let image = try directory.image()
        try FileManager.default.removeItem(atPath: image.file("000001.data"))
        let store = try PackStore(directory: image.path)
        #expect(store.damages.count == 1 && store.statistics.chunks == 0)

        var data = try directory.bytes(of: "000001.data")
        data[4000] ^= 1
        try directory.write(data, to: "000001.data")
        let damaged = try open().verify { _, _ in true }
        #expect(damaged.damaged == [all[1].reference.address])
        let repaired = try open()
        try repaired.discard(damaged.damaged)
        for (index, chunk) in all.enumerated() { #expect(try chunk.isIn(repaired) == (index != 1)) }
    }
}
