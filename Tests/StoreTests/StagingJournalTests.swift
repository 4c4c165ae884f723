import Base
import Share
import Testing

@testable import Store

final class StagingJournalTests {
    private let directory = TemporaryDirectory()
    private let boot = BootID(high: 1, low: 2)

    private func open(boot: BootID? = nil) throws -> StagingJournalFile {
        try StagingJournalFile(
            in: try Directory(path: directory.path), boot: boot ?? self.boot)
    }

    private func writes(_ file: UInt64, bytes count: Int = 700, seed: UInt64 = 1) -> StagedWrites {
        var random = SeededRandom(seed: seed)
        let split = UInt64(count / 3)
        return StagedWrites(
            file: file, size: 200_000, modified: Timestamp(seconds: -4, nanoseconds: 5),
            ranges: [10..<10 + split, 50_000..<50_000 + UInt64(count) - split],
            bytes: (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
    }

    @Test func `what was written comes back in order, and tells of the machine's run`() throws {
        do {
            let journal = try open()
            #expect(try journal.entries().isEmpty)
            for file in 1...5 as ClosedRange<UInt64> {
                #expect(journal.write(writes(file, bytes: Int(file) * 300)))
            }
            try journal.sync()
            #expect(journal.last == 5)
        }
        let expected = (1...5 as ClosedRange<UInt64>).map { number in
            StagingJournalEntry(
                number: number, writes: writes(number, bytes: Int(number) * 300), isInFile: true)
        }
        #expect(try open().entries() == expected)
        let later = try open(boot: BootID(high: 1, low: 3)).entries()
        #expect(later.map(\.isInFile) == Array(repeating: false, count: 5))
        #expect(later.map(\.writes) == expected.map(\.writes))
    }

    @Test func `entries of an earlier turn are gone`() throws {
        do {
            let journal = try open()
            for file in 1...5 as ClosedRange<UInt64> { #expect(journal.write(writes(file))) }
            journal.clear(after: 0)
            #expect(journal.write(writes(6)))
        }
        let journal = try open()
        #expect(try journal.entries().map(\.number) == [6])
        // Numbers go on, whatever is left of the file.
        journal.clear(after: 90)
        #expect(journal.write(writes(7)))
        #expect(try journal.entries().map(\.number) == [91])
        #expect(try journal.entries().map(\.writes.file) == [7])
    }

    @Test func `a full journal takes nothing until it is cleared`() throws {
        let journal = try open()
        let large = writes(1, bytes: 120_000)
        var count = 0
        while journal.write(large) { count += 1 }
        #expect(count == Int(StagingJournalFile.Limits.fileSizeMax) / 120_320)
        #expect(journal.isClosed)
        #expect(!journal.write(writes(2)))
        #expect(try journal.entries().count == count)
        journal.clear(after: 0)
        #expect(journal.write(writes(2)))
        #expect(try journal.entries().map(\.number) == [UInt64(count) + 1])
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `of a damaged journal the entries before the damage count`(seed: UInt64) throws {
        do {
            let journal = try open()
            for file in 1...4 as ClosedRange<UInt64> { #expect(journal.write(writes(file))) }
        }
        let whole = try open().entries()
        let bytes = try directory.bytes(of: "journal")
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            var damaged = bytes
            // An entry takes 1024 bytes.
            let place = Int.random(in: 0..<4096, using: &random)
            damaged[place] ^= UInt8.random(in: 1...255, using: &random)
            try directory.write(damaged, to: "journal")
            let left = try open().entries()
            #expect(left == Array(whole.prefix(left.count)), "seed \(seed) byte \(place)")
            // Behind the checksum there are zeros that nobody reads.
            #expect(left.count >= place / 1024, "seed \(seed) byte \(place)")
            #expect(left.count == place / 1024 || place % 1024 >= 805, "seed \(seed) byte \(place)")
        }
        try directory.write(Array(bytes.prefix(1800)), to: "journal")
        #expect(try open().entries() == [whole[0]])
    }
}
