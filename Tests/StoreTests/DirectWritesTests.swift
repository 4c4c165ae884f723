import Base
import Foundation
import Share
import Testing

@testable import Store

@Suite struct DirectWritesTests {
    private let directory = TemporaryDirectory()

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `large, small and odd writes of a staging file give what was written last`(seed: UInt64)
        throws
    {
        var random = SeededRandom(seed: seed)
        let file = try StagingDirectory(directory: directory.path).create()
        let page = 4096
        var expected = [UInt8](repeating: 0, count: 4 << 20)
        var end = 0
        for step in 0..<30 {
            let isAligned = Bool.random(using: &random)
            var offset = Int.random(in: 0..<expected.count / 2, using: &random)
            var count = Int.random(in: 1...(1 << 20), using: &random)
            if isAligned {
                offset = offset / page * page
                count = max(page, count / page * page)
            }
            let bytes = random.bytes(count)
            // From memory that is aligned, and that is not.
            let memory = UnsafeMutableRawBufferPointer.allocate(
                byteCount: count + page, alignment: page)
            defer { memory.deallocate() }
            let start = Bool.random(using: &random) ? 0 : 80
            memory[start...].copyBytes(from: bytes)
            try file.write(
                UnsafeRawBufferPointer(rebasing: memory[start..<start + count]), at: UInt64(offset))
            expected.replaceSubrange(offset..<offset + count, with: bytes)
            end = max(end, offset + count)
            if step % 7 == 0 { file.beginWriting() }
            if step % 5 == 0 {
                let hole = offset..<offset + count / 2
                try file.punchHole(UInt64(hole.lowerBound)..<UInt64(hole.upperBound))
                for index in hole { expected[index] = 0 }
            }
            var found = [UInt8](repeating: 1, count: end)
            let read = try found.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
            #expect(read == end, "seed \(seed) step \(step)")
            #expect(found == Array(expected[..<end]), "seed \(seed) step \(step)")
        }
        try file.sync()
        let again = try StagingDirectory(directory: directory.path).open(file.id)
        var found = [UInt8](repeating: 1, count: end)
        _ = try found.withUnsafeMutableBytes { try again.read(at: 0, into: $0) }
        #expect(found == Array(expected[..<end]), "seed \(seed)")
    }

    @Test func `large reads of what was written directly are right, also at the end of the file`()
        throws
    {
        let file = try StagingDirectory(directory: directory.path).create()
        var random = SeededRandom(seed: 5)
        let count = (1 << 20) + 5000
        let bytes = random.bytes(count)
        try bytes.withUnsafeBytes { all in
            try file.write(UnsafeRawBufferPointer(rebasing: all[..<(1 << 20)]), at: 0)
            // Into the page cache, not synced.
            try file.write(UnsafeRawBufferPointer(rebasing: all[(1 << 20)...]), at: 1 << 20)
        }
        for offset in [0, 4096, 1 << 19, (1 << 20) - 4096, 1 << 20, 2 << 20] {
            for size in [128 << 10, 256 << 10, 2 << 20] {
                var found = [UInt8](repeating: 9, count: size)
                let read = try found.withUnsafeMutableBytes {
                    try file.read(at: UInt64(offset), into: $0)
                }
                let expected = bytes[min(offset, count)..<min(offset + size, count)]
                #expect(read == expected.count, "at \(offset), \(size)")
                #expect(found[..<read] == expected[...], "at \(offset), \(size)")
            }
        }
    }

    @Test func `small and odd writes go to the page cache`() {
        let direct = DirectWrites()
        let large = DirectWrites.Limits.bytesMin
        #expect(direct.wants(large, at: 0) && direct.wants(large + 4096, at: 1 << 20))
        #expect(!direct.wants(large - 4096, at: 0))
        #expect(!direct.wants(large + 512, at: 0))
        #expect(!direct.wants(large, at: 512))
    }

    @Test func `a slow disk is left alone for a while, a slow moment is not one`() {
        let direct = DirectWrites()
        direct.note(1 << 20, .milliseconds(10))
        #expect(direct.wants(1 << 20, at: 0))
        for _ in 0..<20 { direct.note(1 << 20, .milliseconds(10)) }
        for _ in 0..<DirectWrites.Limits.restBytes >> 20 { #expect(!direct.wants(1 << 20, at: 0)) }
        #expect(direct.wants(1 << 20, at: 0))
        for _ in 0..<100 { direct.note(256 << 10, .microseconds(500)) }
        #expect(direct.wants(1 << 20, at: 0))
    }

    @Test func `a page cache that is slower than the disk is left at once`() {
        let direct = DirectWrites()
        for _ in 0..<20 { direct.note(1 << 20, .milliseconds(4)) }
        #expect(!direct.wants(1 << 20, at: 0))
        for _ in 0..<20 { direct.noteCached(1 << 20, .milliseconds(3)) }
        #expect(!direct.wants(1 << 20, at: 0), "it is faster")
        for _ in 0..<20 { direct.noteCached(1 << 20, .milliseconds(6)) }
        #expect(direct.wants(1 << 20, at: 0))
        direct.note(1 << 20, .milliseconds(4))
        #expect(direct.wants(1 << 20, at: 0))
        // Not for ever: how long the page cache took is looked at again.
        for _ in 0..<60 { direct.note(1 << 20, .milliseconds(4)) }
        #expect(!direct.wants(1 << 20, at: 0))
    }

    @Test func `a write that cannot be direct is made in the other way`() throws {
        let area = try StagingDirectory(directory: directory.path)
        let file = try area.create()
        // Its name is gone, so it cannot be opened once more.
        file.remove()
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        try bytes.withUnsafeBytes { try file.write($0, at: 1 << 20) }
        var found = [UInt8](repeating: 1, count: 2 << 20)
        #expect(try found.withUnsafeMutableBytes { try file.read(at: 0, into: $0) } == 2 << 20)
        #expect(found == [UInt8](repeating: 0, count: 1 << 20) + bytes)
    }
}
