import Base
import Testing

@testable import Chunks

@Suite struct ZeroScanTests {
    @Test func `runs of every length and place are found`() {
        var random = SeededRandom(seed: 11)
        for round in 0..<300 {
            var bytes = [UInt8](repeating: 1, count: 600)
            let start = Int.random(in: 0..<600, using: &random)
            let end = Int.random(in: start...600, using: &random)
            for index in start..<end { bytes[index] = 0 }
            // Decoys, too short to count.
            if start > 20 { for index in 0..<min(19, start - 1) { bytes[index] = 0 } }
            let found = ZeroScan.firstRun(of: 64, in: bytes.span)
            #expect(found == (end - start >= 64 ? start : nil), "round \(round)")
            #expect(ZeroScan.prefix(bytes.span.extracting(start..<600)) == end - start)
        }
        #expect(ZeroScan.prefix([UInt8]().span) == 0)
    }
}

@Suite struct GearTableTests {
    private let table = GearTable(key: testKeys.boundaryKey)

    private func boundaries(_ bytes: [UInt8], _ table: GearTable) -> [Int] {
        var ends: [Int] = []
        var start = 0
        while start < bytes.count {
            var search = GearTable.Search()
            let rest = bytes.span.extracting(start..<bytes.count)
            start += table.end(in: rest, &search) ?? rest.count
            ends.append(start)
        }
        return ends
    }

    /// The rule as its doc comment words it, one byte at a time.
    private func slowEnd(_ bytes: ArraySlice<UInt8>, words: [UInt64]) -> Int? {
        var hash: UInt64 = 0
        for index in ChunkLimits.chunkSizeMin..<max(bytes.count, ChunkLimits.chunkSizeMin) {
            hash = (hash << 1) &+ words[Int(bytes[bytes.startIndex + index])]
            let bits: UInt64 = index < ChunkLimits.chunkSizeAverage ? 19 : 15
            if hash >> (64 - bits) == 0 || index + 1 == ChunkLimits.chunkSizeMax {
                return index + 1
            }
        }
        return nil
    }

    @Test func `boundaries are pinned`() {
        let bytes = randomBytes(2 << 20, seed: 1)
        // The same ends come from the rule written anew, in another language.
        #expect(
            boundaries(bytes, table) == [
                75327, 154976, 286354, 458851, 591053, 730315, 905949, 991689, 1_049_826, 1_147_278,
                1_308_320, 1_473_113, 1_651_714, 1_757_528, 1_995_420, 2_097_152,
            ])
    }

    @Test func `a search that stops and goes on finds the same end`() {
        var random = SeededRandom(seed: 5)
        for seed in 20..<30 as Range<UInt64> {
            let bytes = randomBytes(ChunkLimits.chunkSizeMax + 9, seed: seed)
            var whole = GearTable.Search()
            let expected = table.end(in: bytes.span, &whole)
            var search = GearTable.Search()
            var count = 0
            var found: Int?
            while found == nil, count < bytes.count {
                count = min(bytes.count, count + Int.random(in: 1...70_000, using: &random))
                found = table.end(in: bytes.span.extracting(0..<count), &search)
            }
            #expect(found == expected && found != nil, "seed \(seed)")
        }
    }

    @Test func `the four-byte steps do what the rule says`() {
        let words = table.words
        for seed in 40..<43 as Range<UInt64> {
            let bytes = randomBytes(ChunkLimits.chunkSizeMax + 5, seed: seed)
            var search = GearTable.Search()
            #expect(table.end(in: bytes.span, &search) == slowEnd(bytes[...], words: words))
        }
        let same = [UInt8](repeating: 3, count: ChunkLimits.chunkSizeMax + 5)
        var search = GearTable.Search()
        #expect(table.end(in: same.span, &search) == slowEnd(same[...], words: words))
    }

    @Test func `chunk sizes keep their limits and their mean`() {
        let bytes = randomBytes(16 << 20, seed: 2)
        let ends = boundaries(bytes, table)
        var start = 0
        for end in ends {
            #expect(end - start <= ChunkLimits.chunkSizeMax)
            #expect(end - start >= ChunkLimits.chunkSizeMin || end == bytes.count)
            start = end
        }
        #expect((100_000...200_000).contains(bytes.count / ends.count))
    }

    @Test func `another key cuts elsewhere`() {
        let other = GearTable(key: Bytes32(repeating: 1))
        let bytes = randomBytes(2 << 20, seed: 1)
        let common = Set(boundaries(bytes, table)).intersection(boundaries(bytes, other))
        #expect(common.count <= 2)
    }
}
