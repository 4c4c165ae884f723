import Base
import Chunks
import Foundation
import Store
import Testing

/// A filesystem of a few mebibytes; needs the right to mount.
private final class SmallDisk {
    let path: String
    private let directory = TemporaryDirectory()

    init?(mebibytes: Int) {
        path = directory.path
        guard Self.run("/bin/mount", "-t", "tmpfs", "-o", "size=\(mebibytes)m", "tmpfs", path)
        else { return nil }
    }

    deinit { _ = Self.run("/bin/umount", "-l", path) }

    static let isAllowed = SmallDisk(mebibytes: 1) != nil

    private static func run(_ program: String, _ arguments: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        do { try process.run() } catch { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

@Suite(.enabled(if: SmallDisk.isAllowed, "no right to mount a small filesystem"))
struct FullDiskTests {
    @Test func `a commit on a full disk loses nothing and succeeds when there is space`() throws {
        let disk = try #require(SmallDisk(mebibytes: 32))
        let ballast = "\(disk.path)/ballast"
        var database: ShareDatabase? = try ShareDatabase(directory: disk.path)
        try database?.setValue([1], of: "before")
        try database?.commit()
        try fill(ballast)

        var written = 0
        var failure: StorageError?
        while failure == nil, written < 4000 {
            try database?.setValue([UInt8](repeating: 7, count: 1000), of: "row \(written)")
            written += 1
            if written % 20 == 0 {
                do throws(StorageError) { try database?.commit() } catch { failure = error }
            }
        }
        #expect(failure == .full)
        // The transaction is still open: what it wrote is seen, more can be written.
        #expect(try database?.value("row \(written - 1)")?.count == 1000)
        try database?.setValue([2], of: "after")

        try FileManager.default.removeItem(atPath: ballast)
        try database?.sync()
        database = nil
        let found = try ShareDatabase(directory: disk.path)
        for number in 0..<written { #expect(try found.value("row \(number)")?.count == 1000) }
        #expect(try found.value("before") == [1])
        #expect(try found.value("after") == [2])
    }

    @Test func `the first changes on a full disk find room: files can be removed`() throws {
        let disk = try #require(SmallDisk(mebibytes: 32))
        let database = try ShareDatabase(directory: disk.path)
        for number in 0..<2000 {
            try database.setValue([UInt8](repeating: 3, count: 2000), of: "row \(number)")
            if number % 100 == 0 { try database.commit() }
        }
        try database.commit()
        try fill("\(disk.path)/ballast")
        for number in 0..<100 {
            try database.setValue(nil, of: "row \(number)")
            if number % 5 == 0 { try database.sync() }
        }
        try database.sync()
    }

    @Test func `an append to a full disk fails whole, and later ones succeed`() throws {
        let disk = try #require(SmallDisk(mebibytes: 4))
        let store = try PackStore(directory: disk.path)
        var random = SeededRandom(seed: 1)
        var kept: [TestChunk] = []
        var failed: TestChunk?
        while failed == nil, kept.count < 100 {
            let chunk = TestChunk(size: 200_000, using: &random)
            do throws(StorageError) {
                try chunk.add(to: store)
                kept.append(chunk)
            } catch {
                #expect(error == .full)
                failed = chunk
            }
        }
        let lost = try #require(failed)
        #expect(!store.contains(lost.reference.address))
        // A shorter one fits into what is left, and nothing of the failed one stands behind it.
        let small = TestChunk(size: 900, using: &random)
        try small.add(to: store)
        try store.sync()
        kept.append(small)
        let found = try PackStore(directory: disk.path)
        #expect(found.statistics.chunks == kept.count)
        for chunk in kept { #expect(try chunk.isIn(found)) }
        #expect(found.damages == [])
    }

    private func fill(_ path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        let bytes = [UInt8](repeating: 1, count: 4096)
        while write(descriptor, bytes, bytes.count) > 0 {}
    }
}
