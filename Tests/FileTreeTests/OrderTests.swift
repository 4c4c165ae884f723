import Base
@testable import FileTree
import Testing

@Suite struct OrderTests {
    @Test func `a hybrid clock is never behind what it has seen`() {
        var clock = HybridClock()
        #expect(clock.next(wallMilliseconds: 10) == HybridTime(milliseconds: 10))
        #expect(clock.next(wallMilliseconds: 10) == HybridTime(milliseconds: 10, counter: 1))
        #expect(clock.next(wallMilliseconds: 3) == HybridTime(milliseconds: 10, counter: 2))
        clock.observe(HybridTime(milliseconds: 99))
        #expect(clock.next(wallMilliseconds: 11) == HybridTime(milliseconds: 99, counter: 1))
        #expect(clock.next(wallMilliseconds: 200) == HybridTime(milliseconds: 200))
        clock.observe(HybridTime(rawValue: .max))
        #expect(clock.next(wallMilliseconds: 1) == HybridTime(rawValue: .max))
    }

    @Test func `stamps go by time, then by key, then by place in the log`() {
        let writers = WriterTable()
        let high = writers.insert(Bytes32(repeating: 9))!
        let low = writers.insert(Bytes32(repeating: 1))!
        func stamp(_ time: UInt64, _ slot: WriterSlot, _ block: UInt64, _ index: Int) -> Stamp {
            Stamp(
                time: HybridTime(rawValue: time),
                operation: OperationID(writer: slot, block: block, index: index))
        }
        let sorted = [
            stamp(1, high, 5, 5), stamp(2, low, 0, 0), stamp(2, low, 0, 1), stamp(2, low, 1, 0),
            stamp(2, high, 0, 0), stamp(3, low, 0, 0),
        ]
        for (index, left) in sorted.enumerated() {
            for (other, right) in sorted.enumerated() {
                #expect(writers.precedes(left, right) == (index < other))
            }
        }
    }

    @Test func `a burst of operations keeps its order in file times`() {
        let id = OperationID(writer: .none, block: 0, index: 2500)
        let stamp = Stamp(time: HybridTime(milliseconds: 1999), operation: id)
        #expect(stamp.timestamp == Timestamp(seconds: 2, nanoseconds: 1_500_000))
    }

    @Test func `a clock covers what it counts`() {
        var clock = Clock()
        let writer = WriterSlot(rawValue: 4)
        let operation = OperationID(writer: writer, block: 2, index: 0)
        #expect(!clock.covers(operation))
        #expect(clock.covers(.root))
        clock[writer] = 3
        #expect(clock.covers(operation))
        var later = clock
        later[WriterSlot(rawValue: 2)] = 1
        #expect(later.covers(clock) && !clock.covers(later))
        clock.merge(later)
        #expect(clock == later)
        #expect(clock.elements.map(\.writer.rawValue) == [2, 4])
        clock[writer] = 0
        #expect(clock.elements.count == 1)
    }

    @Test func `a sum of leaves does not depend on their order`() {
        var rng = SeededRandom(seed: 1)
        let leaves = (0..<50).map { _ in Digest(Bytes32(rng.bytes(32))!) }
        var sum = Digest.zero
        for leaf in leaves { sum += leaf }
        var other = Digest(Bytes32(repeating: 255))
        for leaf in leaves.reversed() { other += leaf }
        other -= Digest(Bytes32(repeating: 255))
        #expect(sum == other)
        for leaf in leaves.shuffled(using: &rng) { sum -= leaf }
        #expect(sum == .zero)
        sum -= Digest(Bytes32([1] + [UInt8](repeating: 0, count: 31))!)
        #expect(sum.bytes == Bytes32(repeating: 255))
    }
}

@Suite struct ConflictNameTests {
    private func name(
        _ base: String, kind: ObjectKind = .file, device: String = "desk",
        milliseconds: UInt64 = 1_732_147_200_000, attempt: Int = 0
    ) -> String {
        let name = ConflictName(
            base: Array(base.utf8), kind: kind, device: device,
            time: HybridTime(milliseconds: milliseconds), identity: Bytes32(repeating: 0xab))
        return String(decoding: name.candidate(attempt), as: UTF8.self)
    }

    @Test func `stem, device, day and suffix`() {
        #expect(name("a.txt") == "a (conflict desk 2024-11-21).txt")
        #expect(name("a.tar.gz") == "a.tar (conflict desk 2024-11-21).gz")
        #expect(name(".bashrc") == ".bashrc (conflict desk 2024-11-21)")
        #expect(name("a.") == "a. (conflict desk 2024-11-21)")
        #expect(name("v1.2", kind: .directory) == "v1.2 (conflict desk 2024-11-21)")
        #expect(name("a b. c d") == "a b. c d (conflict desk 2024-11-21)")
        #expect(name("a", attempt: 1) == "a (conflict desk 2024-11-21 abababab)")
        #expect(name("a", attempt: 2) == "a (conflict desk 2024-11-21 abababababababab)")
    }

    @Test func `days are those of the calendar`() {
        let days: [(UInt64, String)] = [
            (0, "1970-01-01"), (86_399_999, "1970-01-01"), (86_400_000, "1970-01-02"),
            (951_782_400_000, "2000-02-29"), (951_868_800_000, "2000-03-01"),
            (4_107_542_400_000, "2100-03-01"), (1_735_689_599_999, "2024-12-31"),
        ]
        for (milliseconds, day) in days {
            #expect(name("a", milliseconds: milliseconds) == "a (conflict desk \(day))")
        }
        #expect(name("a", milliseconds: .max).hasPrefix("a (conflict desk 10889-"))
    }

    @Test func `what a device calls itself cannot break a name`() {
        #expect(name("a", device: "x/y\u{1}(z)") == "a (conflict x_y__z_ 2024-11-21)")
        let long = name("a", device: String(repeating: "é", count: 100))
        #expect(long == "a (conflict \(String(repeating: "é", count: 32)) 2024-11-21)")
    }

    @Test func `a long name is cut between characters and told apart by a hash`() {
        for length in 60...84 {
            let base =
                String(repeating: "a", count: 255 - length * 3)
                + String(
                    repeating: "語", count: length)
            let shown = name(base)
            #expect(shown.utf8.count <= 255 && shown.utf8.count > 250)
            #expect(!shown.contains("\u{fffd}"))
            #expect(shown.hasSuffix("語 (conflict desk 2024-11-21 abababab)"))
        }
        let suffix = String(repeating: "n", count: 245) + ".longsuffix"
        #expect(name(String(suffix.suffix(255))).hasSuffix(" abababab).longsuffix"))
        // Not UTF-8 at all: still cut, still short enough.
        let raw = ConflictName(
            base: [UInt8](repeating: 0x80, count: 255), kind: .file, device: "d", time: .zero,
            identity: .zero)
        #expect(raw.candidate(0).count == 255)
    }

    @Test func `a marked name is recognised`() {
        #expect(ConflictName.isMarked(Array("a (conflict x".utf8)))
        #expect(!ConflictName.isMarked(Array("a (conflict".utf8)))
        #expect(!ConflictName.isMarked([]))
    }
}
