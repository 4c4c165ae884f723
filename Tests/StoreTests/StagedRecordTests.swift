import Base
import Chunks
import Foundation
import Share
import Testing

@testable import Store

@Suite struct StagedRecordTests {
    private let directory = TemporaryDirectory()
    private let boot = BootID(high: 1, low: 2)

    private func staged(_ node: UInt64, file: UInt64 = 5, isSynced: Bool = true) -> StagedFile {
        StagedFile(
            node: NodeID(rawValue: node), parents: [7], base: .inline([1, 2]), size: 900,
            modified: Timestamp(seconds: 5), dirty: [0..<90, 200..<900], file: file,
            isSynced: isSynced, synced: nil, journal: 8)
    }

    private func decode(_ bytes: [UInt8], as node: UInt64) -> StagedFile? {
        switch StagedRecord.decode(bytes.span, node: NodeID(rawValue: node), boot: boot) {
        case .file(let file): file
        case .lost, nil: nil
        }
    }

    @Test(arguments: [true, false])
    func `a record with any bit turned, or under another key, is no record`(isSynced: Bool) {
        let record = staged(9, isSynced: isSynced)
        let bytes = StagedRecord.encode(record, boot: boot)
        #expect(decode(bytes, as: 9) == record)
        #expect(decode(bytes, as: 8) == nil)
        for bit in 0..<bytes.count * 8 {
            var turned = bytes
            turned[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(decode(turned, as: 9) == nil, "bit \(bit)")
        }
    }

    @Test func `a record of the version before is read`() {
        let record = staged(9)
        let now = StagedRecord.encode(record, boot: boot)
        // It did not name its node.
        var before = [3] + now[9..<now.count - 8]
        let checksum = PackFormat.checksum(before.span)
        before += (0..<8).map { UInt8(truncatingIfNeeded: checksum >> (8 * $0)) }
        #expect(decode(before, as: 9) == record)
        before[20] ^= 1
        #expect(decode(before, as: 9) == nil)
    }

    @Test func `a damaged record is told, and its bytes are put aside before it is forgotten`()
        throws
    {
        let state = try StateFolder(path: directory.path + "/state")
        let folder = try state.makeShare("aa", key: .zero, settings: ShareSettings(name: "a"))
        let staging = try folder.openStaging()
        let files = try (0..<3).map { number in
            let file = try staging.create()
            let bytes = [UInt8](repeating: UInt8(number), count: number * 100)
            try bytes.withUnsafeBytes { try file.write($0, at: 0) }
            return file
        }
        let database = try folder.openDatabase()
        try database.putStaged(staged(1, file: files[1].id))
        try database.putStaged(staged(2, file: files[2].id))
        try database.commit()
        #expect(try database.damages() == [])
        #expect(try folder.setStagingAside(database) == [])

        try database.connection.prepare(
            "UPDATE staged SET node = 3 WHERE node = 2"
        ).run()
        try database.commit()
        #expect(try database.damages().count == 1)
        #expect(throws: StorageError.self) { try database.stagedFiles() }
        let aside = try folder.setStagingAside(database)
        #expect(aside.count == 1)
        #expect(aside.allSatisfy { $0.hasPrefix("staging/") && $0.hasSuffix(".damaged") })
        #expect(try database.removeDamagedStaged() == 1)
        let kept = try database.stagedFiles()
        #expect(kept.map(\.file) == [files[1].id])
        try staging.removeAll(except: [files[1].id])
        let bytes = try Data(
            contentsOf: URL(fileURLWithPath: "\(folder.path)/\(try #require(aside.first))"))
        #expect(bytes == Data(repeating: 2, count: 200))
    }
}
