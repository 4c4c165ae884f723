import Base
import Testing

@testable import FuseMount

struct RangeSetTests {
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `a range set is the set of its bytes`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var ranges = RangeSet()
        var bytes = Set<UInt64>()
        for _ in 0..<300 {
            let start = UInt64.random(in: 0..<200, using: &random)
            let range = start..<start + UInt64.random(in: 0..<20, using: &random)
            if Bool.random(using: &random) {
                ranges.insert(range)
                bytes.formUnion(range)
            } else {
                ranges.remove(range)
                bytes.subtract(range)
            }
            #expect(ranges.byteCount == UInt64(bytes.count), "seed \(seed)")
            #expect(Set(ranges.ranges.flatMap { Array($0) }) == bytes, "seed \(seed)")
            for (left, right) in zip(ranges.ranges, ranges.ranges.dropFirst()) {
                #expect(left.upperBound < right.lowerBound, "seed \(seed)")
            }
            let offset = UInt64.random(in: 0..<220, using: &random)
            #expect((ranges.range(at: offset) != nil) == bytes.contains(offset))
            #expect(ranges.range(after: offset) == ranges.ranges.first { $0.lowerBound > offset })
            let window = offset..<offset + 30
            #expect(
                Set(ranges.intersection(window).flatMap { Array($0) })
                    == bytes.intersection(Set(window)))
        }
    }
}
