import Base
import Foundation
import Share
import Store
import Testing

@Suite struct StagingDirectoryTests {
    private let directory = TemporaryDirectory()

    private func write(_ bytes: [UInt8], at offset: UInt64, to file: any StagingFile) throws {
        try bytes.withUnsafeBytes { try file.write($0, at: offset) }
    }

    private func read(_ count: Int, at offset: UInt64, from file: any StagingFile) throws -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0xee, count: count)
        let read = try bytes.withUnsafeMutableBytes { buffer -> Int in
            try file.read(at: offset, into: buffer)
        }
        return Array(bytes.prefix(read))
    }

    @Test func `bytes are found at their offsets, after opening anew too`() throws {
        let area = try StagingDirectory(directory: directory.path)
        let file = try area.create()
        try write([1, 2, 3], at: 1 << 33, to: file)
        try file.sync()
        let again = try StagingDirectory(directory: directory.path).open(file.id)
        #expect(again.id == file.id)
        #expect(try read(10, at: 1 << 33 - 1, from: again) == [0, 1, 2, 3])
        #expect(try read(10, at: 1 << 34, from: again) == [])
        #expect(try read(10, at: .max, from: again) == [])
        try again.truncate(to: 2)
        #expect(try read(10, at: 0, from: file) == [0, 0])
        #expect(throws: StorageError.self) { try write([1], at: .max, to: file) }
        #expect(throws: StorageError.self) { try file.truncate(to: .max) }
    }

    @Test func `data is told from holes`() throws {
        let file = try StagingDirectory(directory: directory.path).create()
        #expect(try file.nextData(after: 0) == nil)
        let block = [UInt8](repeating: 7, count: 65536)
        try write(block, at: 1 << 20, to: file)
        try write(block, at: 4 << 20, to: file)
        #expect(try file.nextData(after: 0) == 1 << 20..<1 << 20 + 65536)
        #expect(try file.nextData(after: 1 << 20 + 10)?.upperBound == 1 << 20 + 65536)
        #expect(try file.nextData(after: 2 << 20) == 4 << 20..<4 << 20 + 65536)
        #expect(try file.nextData(after: 5 << 20) == nil)
        #expect(try file.nextData(after: .max) == nil)
    }

    @Test func `a punched range reads as zeros, and the size stays`() throws {
        let file = try StagingDirectory(directory: directory.path).create()
        try write([UInt8](repeating: 7, count: 200_000), at: 0, to: file)
        try file.punchHole(4096..<135_168)
        try file.punchHole(199_000..<300_000)
        try file.punchHole(250_000..<300_000)
        try file.punchHole(5..<5)
        let bytes = try read(300_000, at: 0, from: file)
        #expect(bytes.count == 200_000)
        let expected = (0..<200_000).map { offset -> UInt8 in
            (4096..<135_168).contains(offset) || offset >= 199_000 ? 0 : 7
        }
        #expect(bytes == expected)
        #expect(try file.nextData(after: 4096)?.lowerBound == 135_168)
    }

    @Test func `leftovers go, named files and others stay`() throws {
        let area = try StagingDirectory(directory: directory.path)
        let files = try (0..<4).map { _ in try area.create() }
        files[3].remove()
        try directory.write([1], to: "notes")
        try area.removeAll(except: [files[0].id, files[2].id, 5])
        // The journal is no leftover.
        #expect(try directory.names().count == 4)
        _ = try area.open(files[0].id)
        #expect(throws: StorageError.self) { try area.open(files[1].id) }
        #expect { try area.open(5) } throws: { "\($0)".contains("0000000000000005") }
    }

    @Test func `a link in place of a staging file is not followed`() throws {
        try FileManager.default.createSymbolicLink(
            atPath: directory.file("00000000000000ff"), withDestinationPath: "/etc/hostname")
        let area = try StagingDirectory(directory: directory.path)
        #expect(throws: StorageError.self) { try area.open(255) }
    }
}
