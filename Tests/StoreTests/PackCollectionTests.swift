import Base
import Chunks
import Foundation
import Store
import Testing

@Suite struct PackCollectionTests {
    private let directory = TemporaryDirectory()

    private func chunks(_ count: Int, seed: UInt64) -> [TestChunk] {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { _ in
            TestChunk(size: .random(in: 100...3000, using: &random), using: &random)
        }
    }

    private var diskBytes: UInt64 {
        get throws {
            try directory.names().reduce(0) { try $0 + UInt64(directory.bytes(of: $1).count) }
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `what is kept stays, what is refused goes`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var store = try PackStore(directory: directory.path, packSizeMax: 30_000)
        var kept: [Bytes32: TestChunk] = [:]
        for round in 0..<5 {
            for chunk in chunks(60, seed: seed * 100 + UInt64(round)) {
                try chunk.add(to: store)
                kept[chunk.reference.address] = chunk
            }
            let share = [0, 3, 10, 1, 2][round]
            let refused = Set(
                kept.keys.sorted().filter { _ in Int(random.next() % 10) < share })
            let before = try diskBytes
            let freed = try store.collect { !refused.contains($0) }
            // The marks and a new pack's header besides.
            #expect(try diskBytes + freed <= before + 20_000, "seed \(seed)")
            for address in refused {
                kept[address] = nil
                #expect(!store.contains(address), "seed \(seed)")
            }
            for chunk in kept.values { #expect(try chunk.isIn(store), "seed \(seed)") }
            #expect(store.statistics.chunks == kept.count)
            #expect(
                store.statistics.bytes == kept.values.reduce(0) { $0 + UInt64($1.bytes.count) })
            if round % 2 == 1 {
                store = try PackStore(directory: directory.path, packSizeMax: 30_000)
                for chunk in kept.values { #expect(try chunk.isIn(store), "seed \(seed)") }
                // What was dropped in packs not worth rewriting came back.
                _ = try store.collect { kept[$0] != nil }
                #expect(store.statistics.chunks == kept.count)
            }
        }
    }

    @Test func `a store without anything wanted gives all its space back`() throws {
        let store = try PackStore(directory: directory.path, packSizeMax: 30_000)
        for chunk in chunks(100, seed: 1) {
            try chunk.add(to: store)
        }
        let freed = try store.collect { _ in false }
        #expect(freed > 100_000)
        #expect(store.statistics == ChunkStatistics())
        #expect(try directory.names() == ["synced"])
    }

    @Test func `a chunk appended or asked for during the run stays, though it was refused`() throws
    {
        let store = try PackStore(directory: directory.path, packSizeMax: 30_000)
        let all = chunks(100, seed: 1)
        for chunk in all { try chunk.add(to: store) }
        var refusals = 0
        var saved: Set<Int> = []
        _ = try store.collect { _ in
            refusals += 1
            // Now and then someone comes to rely on a chunk that was refused before.
            if refusals % 10 == 0 {
                let number = refusals / 10 * 7 % 100
                try? all[number].add(to: store)
                saved.insert(number)
                if store.contains(all[(number + 1) % 100].reference.address) {
                    saved.insert((number + 1) % 100)
                }
            }
            return false
        }
        #expect(saved.count > 5)
        for number in saved { #expect(try all[number].isIn(store), "chunk \(number)") }
        let image = try directory.image()
        let found = try PackStore(directory: image.path)
        for number in saved { #expect(try all[number].isIn(found), "chunk \(number)") }
    }

    @Test func `readers and writers go on during collections`() async throws {
        let store = try PackStore(directory: directory.path, packSizeMax: 30_000)
        let lasting = chunks(100, seed: 1)
        let passing = chunks(400, seed: 2)
        for (number, chunk) in passing.enumerated() {
            try chunk.add(to: store)
            if number % 4 == 0 {
                let kept = lasting[number / 4]
                try kept.add(to: store)
            }
        }
        let wanted = Set(lasting.map(\.reference.address))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for round in 0..<10 {
                    _ = try store.collect { address in
                        wanted.contains(address) || Int(address[0]) % 10 > round
                    }
                }
            }
            for _ in 0..<3 {
                group.addTask { () throws in
                    for _ in 0..<10 {
                        for chunk in lasting { #expect(try chunk.isIn(store)) }
                    }
                }
            }
            group.addTask {
                for chunk in self.chunks(100, seed: 3) {
                    try chunk.add(to: store)
                    try store.sync()
                }
            }
            try await group.waitForAll()
        }
        for chunk in lasting { #expect(try chunk.isIn(store)) }
        _ = try store.collect { wanted.contains($0) }
        #expect(store.statistics.chunks == 100)
    }

    @Test func `a crash at any point of a collection loses nothing that is kept`() throws {
        let store = try PackStore(directory: directory.path, packSizeMax: 10_000)
        let all = chunks(40, seed: 1)
        for chunk in all { try chunk.add(to: store) }
        try store.sync()
        let kept = Set(
            all.enumerated().filter { $0.offset % 3 == 0 }.map(\.element.reference.address))
        var images: [TemporaryDirectory] = []
        var calls = 0
        _ = try store.collect { address in
            calls += 1
            if calls % 5 == 0, let image = try? directory.image() { images.append(image) }
            return kept.contains(address)
        }
        images.append(try directory.image())
        for image in images {
            let found = try PackStore(directory: image.path, packSizeMax: 10_000)
            #expect(found.damages == [])
            for chunk in all where kept.contains(chunk.reference.address) {
                #expect(try chunk.isIn(found))
            }
        }
    }

    @Test func `a pack with a wanted chunk that rotted is not removed`() throws {
        let all = chunks(20, seed: 1)
        do {
            let store = try PackStore(directory: directory.path, packSizeMax: 1 << 20)
            for chunk in all { try chunk.add(to: store) }
            _ = try store.collect {
                $0 != all[19].reference.address && $0 != all[18].reference.address
            }
        }
        var bytes = try directory.bytes(of: "000001.pack")
        bytes[24 + 88 + 5] ^= 1
        try directory.write(bytes, to: "000001.pack")
        let store = try PackStore(directory: directory.path, packSizeMax: 1 << 20)
        let kept = Set(all[..<5].map(\.reference.address))
        #expect(try store.collect { kept.contains($0) } == 0)
        #expect(store.damages.count == 1)
        #expect(try directory.names().contains("000001.pack"))
        for chunk in all[1..<5] { #expect(try chunk.isIn(store)) }
    }
}
