import Base
import Testing

@testable import Hypercore

struct BlockSetTests {
    @Test(arguments: 0..<50)
    func `it does what a plain set does`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var runs = BlockSet()
        var plain: Set<UInt64> = []
        for _ in 0..<200 {
            let start = UInt64.random(in: 0..<60, using: &random)
            let range = start..<start + UInt64.random(in: 0..<12, using: &random)
            if Bool.random(using: &random) {
                runs.insert(range)
                plain.formUnion(range)
            } else {
                runs.remove(range)
                plain.subtract(range)
            }
            #expect(runs.runs.joined().elementsEqual(plain.sorted()), "seed \(seed)")
            #expect(
                zip(runs.runs, runs.runs.dropFirst()).allSatisfy {
                    $0.upperBound < $1.lowerBound
                })
            let probe = UInt64.random(in: 0..<80, using: &random)
            #expect(runs.contains(probe) == plain.contains(probe))
            #expect(runs.firstPresent(from: probe) == plain.filter { $0 >= probe }.min())
            #expect(runs.firstAbsent(from: probe) == (probe...).first { !plain.contains($0) })
            #expect(runs.contains(range) == range.allSatisfy { plain.contains($0) })
            #expect(runs.contiguousLength == (0...).first { !plain.contains($0) })
            let other = BlockSet([10..<20, 30..<35])
            #expect(
                runs.subtracting(other).joined().elementsEqual(
                    plain.filter { !other.contains($0) }.sorted()))
        }
    }
}

struct FlatTreeTests {
    @Test func `the numbering is that of a flat tree`() {
        for depth in 0..<6 as Range<UInt64> {
            for offset in 0..<20 as Range<UInt64> {
                let node = FlatTree.index(depth: depth, offset: offset)
                #expect(FlatTree.depth(node) == depth && FlatTree.offset(node) == offset)
                #expect(FlatTree.sibling(FlatTree.sibling(node)) == node)
                #expect(FlatTree.parent(node) == FlatTree.parent(FlatTree.sibling(node)))
                #expect(FlatTree.contains(FlatTree.parent(node), node))
                #expect(FlatTree.leafCount(node) == 1 << depth)
                #expect(
                    FlatTree.rightSpan(node) - FlatTree.leftSpan(node)
                        == 2 * (FlatTree.leafCount(node) - 1))
                if depth > 0 {
                    #expect(FlatTree.parent(FlatTree.leftChild(node)) == node)
                    #expect(FlatTree.parent(FlatTree.rightChild(node)) == node)
                    #expect(FlatTree.leftChild(node) < node && node < FlatTree.rightChild(node))
                }
            }
        }
        #expect(FlatTree.parent(0) == 1 && FlatTree.parent(2) == 1 && FlatTree.parent(5) == 3)
        #expect(FlatTree.lengthSpanned(3) == 4 && FlatTree.lengthSpanned(9) == 6)
    }

    @Test func `no index makes the arithmetic trap`() {
        for node: UInt64 in [.max, .max - 1, 1 << 63, (1 << 63) - 1, (1 << 54) - 1] {
            _ = FlatTree.parent(node)
            _ = FlatTree.sibling(node)
            _ = FlatTree.rightSpan(node)
            _ = FlatTree.lengthSpanned(node)
            _ = FlatTree.fullRoots(length: node)
        }
    }
}
