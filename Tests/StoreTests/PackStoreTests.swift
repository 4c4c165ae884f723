import Base
import Chunks
import Foundation
import Store
import Testing

@Suite struct PackStoreTests {
    private let directory = TemporaryDirectory()

    private func open(packSize: Int = 1 << 20) throws -> PackStore {
        try PackStore(directory: directory.path, packSizeMax: packSize)
    }

    private func chunks(_ count: Int, size: ClosedRange<Int> = 0...5000, seed: UInt64 = 1)
        -> [TestChunk]
    {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { _ in
            TestChunk(size: .random(in: size, using: &random), using: &random)
        }
    }

    @Test func `what is appended is read back, whole and in parts`() throws {
        let store = try open()
        let chunk = chunks(1, size: 3000...3000)[0]
        let address = chunk.reference.address
        #expect(try store.bytes(of: address) == nil)
        #expect(try store.reference(of: address) == nil)
        try chunk.add(to: store)
        #expect(try chunk.isIn(store))
        #expect(try store.bytes(of: address, from: 10, count: 20) == Array(chunk.bytes[10..<30]))
        #expect(try store.bytes(of: address, from: 2990) == Array(chunk.bytes[2990...]))
        #expect(try store.bytes(of: address, from: 3000) == [])
        #expect(try store.bytes(of: address, from: 5000) == [])
        #expect(try store.bytes(of: address, from: -1) == [])
    }

    @Test func `a chunk is stored once`() throws {
        let store = try open()
        let chunk = chunks(1)[0]
        for _ in 0..<3 { try chunk.add(to: store) }
        let expected = ChunkStatistics(chunks: 1, bytes: UInt64(chunk.bytes.count), packs: 1)
        #expect(store.statistics == expected)
        let size = try directory.bytes(of: "000001.pack").count
        #expect(size == 24 + 88 + chunk.bytes.count)
    }

    @Test func `what is appended is durable after a sync, and not before`() throws {
        let chunks = chunks(7, size: 1000...1000)
        let addresses = chunks.map(\.reference.address)
        do {
            let store = try open(packSize: 4096)
            #expect(!store.isDurable(addresses[0]))
            for chunk in chunks.prefix(6) { try chunk.add(to: store) }
            #expect(addresses.prefix(6).allSatisfy { !store.isDurable($0) })
            try store.sync()
            #expect(addresses.prefix(6).allSatisfy { store.isDurable($0) })
            try chunks[6].add(to: store)
            #expect(!store.isDurable(addresses[6]) && store.isDurable(addresses[0]))
        }
        // The process ended: what it wrote is here, and may not be on the disk.
        let store = try open(packSize: 4096)
        #expect(store.contains(addresses[6]) && !store.isDurable(addresses[6]))
        #expect(store.isDurable(addresses[0]))
        try store.sync()
        #expect(store.isDurable(addresses[6]))
    }

    @Test func `full packs are sealed by a sync, and all is found again`() throws {
        let all = chunks(200)
        do {
            let store = try open(packSize: 100_000)
            for (number, chunk) in all.enumerated() {
                try chunk.add(to: store)
                if number % 50 == 10 { try store.sync() }
            }
            try store.sync()
            #expect(store.statistics.packs > 4)
        }
        for _ in 0..<2 {
            let store = try open(packSize: 100_000)
            #expect(store.damages == [])
            #expect(store.statistics.chunks == 200)
            for chunk in all { #expect(try chunk.isIn(store)) }
            // The last pack goes on.
            let packs = store.statistics.packs
            for chunk in all { try chunk.add(to: store) }
            #expect(store.statistics.packs == packs)
        }
        let store = try open(packSize: 100_000)
        let packs = store.statistics.packs
        try chunks(1, size: 1...1, seed: 77)[0].add(to: store)
        #expect(store.statistics.packs == packs)
    }

    @Test func `bulk without a sync seals packs as it goes`() throws {
        let store = try open(packSize: 20_000)
        let all = chunks(150)
        for chunk in all { try chunk.add(to: store) }
        let image = try directory.image()
        let found = try PackStore(directory: image.path, packSizeMax: 20_000)
        for chunk in all { #expect(try chunk.isIn(found)) }
        #expect(found.damages == [])
    }

    @Test func `more packs than may be open are read all the same`() throws {
        let store = try open(packSize: 300)
        let all = chunks(600, size: 150...160)
        for chunk in all { try chunk.add(to: store) }
        try store.sync()
        #expect(store.statistics.packs == 600)
        for chunk in all { #expect(try chunk.isIn(store)) }
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter {
            let target = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/self/fd/\($0)")
            return target?.hasPrefix(directory.path) ?? false
        }
        #expect(open.count < 280)
    }

    // MARK: Crashes

    @Test func `a record torn at any byte is cut off, and those before it stay`() throws {
        let all = chunks(3, size: 200...200)
        let store = try open()
        for chunk in all[..<2] { try chunk.add(to: store) }
        try store.sync()
        let whole = try directory.bytes(of: "000001.pack").count
        try all[2].add(to: store)
        let image = try directory.image()
        let bytes = try image.bytes(of: "000001.pack")
        #expect(bytes.count == whole + 88 + 200)

        for cut in whole...bytes.count {
            // The tail is gone, or was never written: the file had grown already.
            for tail in [0, bytes.count - cut] {
                try image.write(
                    bytes[..<cut] + [UInt8](repeating: 0, count: tail), to: "000001.pack")
                let found = try PackStore(directory: image.path)
                #expect(found.damages == [], "cut at \(cut)")
                #expect(try all[0].isIn(found), "cut at \(cut)")
                #expect(try all[1].isIn(found), "cut at \(cut)")
                let last = try all[2].isIn(found)
                // A payload that happens to end in a zero is whole without its end.
                let isWhole = bytes[cut...].allSatisfy { $0 == 0 } && cut + tail == bytes.count
                #expect(last == isWhole, "cut at \(cut)")
                #expect(found.statistics.chunks == (last ? 3 : 2))
                let size = try image.bytes(of: "000001.pack").count
                #expect(size == (last ? bytes.count : whole), "cut at \(cut)")
            }
        }

        // The store goes on behind the cut.
        try image.write(Array(bytes[..<(whole + 100)]), to: "000001.pack")
        for round in 0..<2 {
            let found = try PackStore(directory: image.path)
            if round == 0 { try all[2].add(to: found) }
            #expect(found.damages == [])
            for chunk in all { #expect(try chunk.isIn(found)) }
        }
    }

    @Test func `a flipped bit in an unsynced record cuts it off`() throws {
        let all = chunks(2, size: 100...100)
        let store = try open()
        try all[0].add(to: store)
        try store.sync()
        let whole = try directory.bytes(of: "000001.pack").count
        try all[1].add(to: store)
        let image = try directory.image()
        let bytes = try image.bytes(of: "000001.pack")
        for place in whole..<bytes.count {
            var broken = bytes
            broken[place] ^= 1 << UInt8(place % 8)
            try image.write(broken, to: "000001.pack")
            let found = try PackStore(directory: image.path)
            #expect(try all[0].isIn(found))
            #expect(!found.contains(all[1].reference.address), "byte \(place)")
            #expect(found.damages == [])
        }
    }

    @Test func `rot in what was synced is reported, and nothing is cut off`() throws {
        let all = chunks(3, size: 100...100)
        let store = try open()
        for chunk in all { try chunk.add(to: store) }
        try store.sync()
        let image = try directory.image()
        var bytes = try image.bytes(of: "000001.pack")
        // In the header of the second record.
        bytes[24 + 188 + 20] ^= 4
        try image.write(bytes, to: "000001.pack")
        let found = try PackStore(directory: image.path)
        #expect(found.damages.count == 1)
        #expect(found.damages[0].contains("000001.pack") && found.damages[0].contains("byte 212"))
        #expect(try all[0].isIn(found))
        #expect(!found.contains(all[1].reference.address))
        #expect(try image.bytes(of: "000001.pack") == bytes)
        // What was lost can be brought again, into another pack.
        for chunk in all { try chunk.add(to: found) }
        for chunk in all { #expect(try chunk.isIn(found)) }
        #expect(try image.bytes(of: "000001.pack") == bytes)
    }

    @Test func `a sealed pack whose seal rots keeps its chunks and is reported`() throws {
        let all = chunks(30, size: 900...1100)
        let store = try open(packSize: 20_000)
        for chunk in all { try chunk.add(to: store) }
        try store.sync()
        let image = try directory.image()
        let bytes = try image.bytes(of: "000001.pack")
        let seal = bytes.count - 40 - 17 * 40
        for place in stride(from: seal, to: bytes.count, by: 7) {
            var broken = bytes
            broken[place] ^= 0x10
            try image.write(broken, to: "000001.pack")
            let found = try PackStore(directory: image.path, packSizeMax: 20_000)
            for chunk in all { #expect(try chunk.isIn(found), "byte \(place)") }
            #expect(found.damages.count == 1, "byte \(place)")
            #expect(try image.bytes(of: "000001.pack") == broken)
        }
    }

    @Test func `packs that rotted are set aside with what cannot be read of them`() throws {
        let all = chunks(30, size: 900...1100)
        let store = try open(packSize: 20_000)
        for chunk in all { try chunk.add(to: store) }
        try store.sync()
        let image = try directory.image()
        let bytes = try image.bytes(of: "000001.pack")
        // The header, a record in the middle, a payload there, the seal.
        for (place, leastKept) in [(3, 10), (8000, 15), (bytes.count - 30, 30)] {
            var broken = bytes
            broken[place] ^= 0x10
            // Without its seal the end of a record is known from the one before only.
            try image.write(Array(broken.dropLast(5)), to: "000001.pack")
            do {
                let found = try PackStore(directory: image.path, packSizeMax: 20_000)
                #expect(found.damages.count == 1, "byte \(place)")
                #expect(try found.setDamagedAside() == ["000001.pack.damaged"])
                #expect(found.damages == [])
                #expect(try found.setDamagedAside() == [])
            }
            let again = try PackStore(directory: image.path, packSizeMax: 20_000)
            #expect(again.damages == [], "byte \(place)")
            let kept = try all.filter { try $0.isIn(again) }
            #expect(kept.count >= leastKept, "byte \(place): \(kept.count)")
            #expect(try again.verify { _, _ in true }.problems == [])
            for chunk in all { try chunk.add(to: again) }
            for chunk in all { #expect(try chunk.isIn(again)) }
            #expect(try image.bytes(of: "000001.pack.damaged") == broken.dropLast(5))
            for name in try image.names() where name != "000001.pack.damaged" {
                try FileManager.default.removeItem(atPath: image.file(name))
            }
            for name in try directory.names() {
                try image.write(try directory.bytes(of: name), to: name)
            }
        }
    }

    @Test func `a pack of a later version is refused`() throws {
        let store = try open()
        let chunk = chunks(1)[0]
        try chunk.add(to: store)
        let image = try directory.image()
        var bytes = try image.bytes(of: "000001.pack")
        bytes[8] = 9
        try image.write(bytes, to: "000001.pack")
        #expect { _ = try PackStore(directory: image.path) } throws: {
            "\($0)".contains("version 9")
        }
    }

    @Test func `a pack file without a header was made in a crash and goes`() throws {
        try directory.write([], to: "000004.pack")
        try directory.write(Array("holdp".utf8), to: "000005.pack")
        try directory.write([1, 2, 3], to: "notes.txt")
        let store = try open()
        #expect(store.damages == [])
        #expect(try directory.names() == ["notes.txt", "synced"])
        let chunk = chunks(1)[0]
        try chunk.add(to: store)
        #expect(try directory.names().contains("000006.pack"))
    }

    @Test func `a pack whose mark a crash kept from being made goes, too`() throws {
        let all = chunks(2)
        do {
            let store = try open()
            try all[0].add(to: store)
            try store.sync()
        }
        try directory.write(PackFormat.encodeHeader(number: 7), to: "000002.pack")
        let store = try open()
        #expect(store.damages == [])
        #expect(try directory.names() == ["000001.pack", "synced"])
        try all[1].add(to: store)
        for chunk in all { #expect(try chunk.isIn(store)) }
    }

    @Test func `a pack that is missing is reported when it is read`() throws {
        let chunk = chunks(1, size: 500...500)[0]
        let more = chunks(1, size: 500...500, seed: 2)[0]
        do {
            let store = try open(packSize: 700)
            try chunk.add(to: store)
            try more.add(to: store)
            try store.sync()
        }
        let store = try open(packSize: 700)
        try FileManager.default.removeItem(atPath: directory.file("000001.pack"))
        #expect { _ = try store.bytes(of: chunk.reference.address) } throws: {
            "\($0)".contains("000001.pack is missing")
        }
        #expect(try more.isIn(store))
    }

    // MARK: Threads

    @Test func `many threads append, read and sync at once`() async throws {
        let store = try open(packSize: 200_000)
        let all = chunks(800, size: 0...4000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    // Each chunk comes from two workers.
                    for (number, chunk) in all.enumerated() where number % 4 == worker % 4 {
                        try chunk.add(to: store)
                        #expect(try chunk.isIn(store))
                        if number % 40 == worker { try store.sync() }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(store.statistics.chunks == 800)
        #expect(store.statistics.bytes == all.reduce(0) { $0 + UInt64($1.bytes.count) })
        try store.sync()
        let image = try directory.image()
        let found = try PackStore(directory: image.path)
        for chunk in all { #expect(try chunk.isIn(found)) }
    }

    // MARK: Checking

    @Test func `checking finds what rotted, and it can be brought again`() throws {
        let all = chunks(60, size: 900...1100)
        do {
            let store = try open(packSize: 20_000)
            for chunk in all { try chunk.add(to: store) }
            try store.sync()
            let report = try store.verify { reference, bytes in
                all.contains { $0.reference == reference && $0.bytes == bytes.bytes }
            }
            #expect(report.chunks == 60 && report.damaged.isEmpty && report.problems.isEmpty)
            let wrong = all[7].reference
            let disbelieved = try store.verify { reference, _ in reference != wrong }
            #expect(disbelieved.damaged == [wrong.address])
        }
        // The payload of the third chunk.
        var bytes = try directory.bytes(of: "000001.pack")
        bytes[24 + 3 * 88 + all[0].bytes.count + all[1].bytes.count + 5] ^= 1
        try directory.write(bytes, to: "000001.pack")

        let store = try open(packSize: 20_000)
        #expect(store.damages == [])
        let report = try store.verify { _, _ in true }
        #expect(report.damaged == [all[2].reference.address])
        #expect(report.chunks == 59)
        #expect(report.problems.count == 1 && report.problems[0].contains("000001.pack"))
        try store.discard(report.damaged)
        #expect(!store.contains(all[2].reference.address))
        try all[2].add(to: store)
        #expect(try store.verify { _, _ in true }.damaged.isEmpty)
        let image = try directory.image()
        let found = try PackStore(directory: image.path)
        for chunk in all { #expect(try chunk.isIn(found)) }
    }
}

extension Span<UInt8> {
    fileprivate var bytes: [UInt8] { indices.map { self[$0] } }
}
