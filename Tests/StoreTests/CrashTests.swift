import Base
import Chunks
import Foundation
import Store
import Testing

/// What the engine does with every save: chunks first, then the rows that refer to them.
private struct Saver {
    let database: ShareDatabase
    let packs: PackStore
    var random: SeededRandom
    private(set) var saves = 0

    init(directory: String, seed: UInt64) throws {
        let packsPath = "\(directory)/packs"
        try FileManager.default.createDirectory(
            atPath: packsPath, withIntermediateDirectories: true)
        database = try ShareDatabase(directory: directory)
        packs = try PackStore(directory: packsPath, packSizeMax: 20_000)
        random = SeededRandom(seed: seed)
    }

    /// - Parameter step: called between any two steps.
    mutating func save(_ step: () throws -> Void) throws {
        var addresses: [UInt8] = []
        for _ in 0..<3 {
            let chunk = TestChunk(size: .random(in: 0...3000, using: &random), using: &random)
            try chunk.add(to: packs)
            addresses += chunk.reference.address.bytes + chunk.bytes.prefix(1)
            try step()
        }
        try packs.sync()
        try step()
        try database.setValue(addresses, of: "save \(saves)")
        try database.setValue(Array("\(saves)".utf8), of: "newest")
        try step()
        try database.commit()
        saves += 1
        try step()
        if random.next() % 4 == 0 { try database.sync() }
    }
}

/// Every chunk that a surviving row names is there and whole.
private func expectAgreement(in directory: String, atLeast saved: Int, _ comment: Comment) throws {
    let database = try ShareDatabase(directory: directory)
    let packs = try PackStore(directory: "\(directory)/packs", packSizeMax: 20_000)
    let newest = try database.value("newest").map { Int(String(decoding: $0, as: UTF8.self)) ?? -1 }
    let count = (newest ?? -1) + 1
    #expect(count >= saved, comment)
    #expect(packs.damages == [], comment)
    for number in 0..<count {
        let row = try #require(try database.value("save \(number)"), comment)
        var rest = row[...]
        while rest.count >= 32 {
            let address = try #require(Bytes32(Array(rest.prefix(32))))
            rest = rest.dropFirst(32)
            let bytes = try #require(try packs.bytes(of: address), comment)
            if !bytes.isEmpty { #expect(bytes.first == rest.popFirst(), comment) }
        }
    }
    #expect(try database.value("save \(count)") == nil, comment)
    let report = try packs.verify { _, _ in true }
    #expect(report.damaged.isEmpty, comment)
}

@Suite struct CrashTests {
    @Test(arguments: [11, 12, 13, 14] as [UInt64])
    func `a killed process leaves rows and chunks that agree`(seed: UInt64) async throws {
        let directory = TemporaryDirectory()
        try directory.write([], to: "progress")
        let path = directory.path
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [path = path as String, seed = seed as UInt64] in
            var saver = try Saver(directory: path, seed: seed)
            var steps = Int.random(in: 5...150, using: &saver.random)
            let progress = open("\(path)/progress", O_WRONLY)
            while true {
                try saver.save {
                    steps -= 1
                    if steps == 0 { raise(SIGKILL) }
                }
                let text = Array("\(saver.saves)".utf8)
                pwrite(progress, text, text.count, 0)
            }
        }
        let progress = String(decoding: try directory.bytes(of: "progress"), as: UTF8.self)
        try expectAgreement(in: path, atLeast: Int(progress) ?? 0, "seed \(seed)")
        withExtendedLifetime(directory) {}
    }

    @Test(arguments: [21, 22] as [UInt64])
    func `a power cut leaves rows and chunks that agree`(seed: UInt64) throws {
        let directory = TemporaryDirectory()
        var saver = try Saver(directory: directory.path, seed: seed)
        var random = SeededRandom(seed: seed)
        // The size of the newest pack when it was last synced, by name.
        var syncedSizes: [String: Int] = [:]
        var syncedWAL = 0
        var syncedSaves = 0
        for _ in 0..<12 {
            var step = 0
            let saves = saver.saves
            try saver.save {
                step += 1
                let packs = try FileManager.default.contentsOfDirectory(
                    atPath: directory.file("packs")
                ).filter { $0.hasSuffix(".pack") }
                if step == 4 {
                    for pack in packs {
                        syncedSizes[pack] = try directory.bytes(of: "packs/\(pack)").count
                    }
                }
                let image = try directory.image()
                // What was not synced is there up to any byte, or its blocks are zeros.
                for pack in packs {
                    let bytes = try image.bytes(of: "packs/\(pack)")
                    // A pack's header is on the disk before anything else of it.
                    let synced = min(syncedSizes[pack] ?? 24, bytes.count)
                    let cut = Int.random(in: synced...bytes.count, using: &random)
                    let zeros = random.next() % 2 == 0 ? bytes.count - cut : 0
                    try image.write(
                        bytes[..<cut] + [UInt8](repeating: 0, count: zeros), to: "packs/\(pack)")
                }
                let wal = try image.bytes(of: "share.sqlite-wal")
                let cut = Int.random(in: min(syncedWAL, wal.count)...wal.count, using: &random)
                try image.write(Array(wal[..<cut]), to: "share.sqlite-wal")
                try expectAgreement(
                    in: image.path, atLeast: syncedSaves,
                    "seed \(seed), save \(saves), step \(step)")
            }
            if random.next() % 3 == 0 {
                try saver.database.sync()
                syncedWAL = try directory.bytes(of: "share.sqlite-wal").count
                syncedSaves = saver.saves
            }
        }
    }
}
