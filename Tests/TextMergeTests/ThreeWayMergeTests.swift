import Base
import Foundation
import Testing
import TreeModel

@testable import TextMerge

/// What a merge of texts gives, by hand and against the model.
@Suite struct ThreeWayMergeTests {
    /// More rounds: `HOLDFAST_ROUNDS=100000 swift test --filter ThreeWayMergeTests`.
    static let rounds =
        ProcessInfo.processInfo.environment["HOLDFAST_ROUNDS"].flatMap { Int($0) } ?? 2000

    private func merge(
        _ base: String, _ first: String, _ second: String, isLineLike: Bool = true
    ) -> String? {
        let result = ThreeWayMerge.merge(
            base: Array(base.utf8), first: Array(first.utf8), second: Array(second.utf8),
            isLineLike: isLineLike)
        guard case .clean(let bytes) = result else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: By hand

    @Test func `changes apart are merged`() {
        #expect(
            merge("1\n2\n3\n4\n5\n", "one\n2\n3\n4\n5\n", "1\n2\n3\n4\nfive\n")
                == "one\n2\n3\n4\nfive\n")
    }

    @Test func `lines that touch are merged by words or not at all`() {
        #expect(merge("1\n2\n3\n", "one\n2\n3\n", "1\ntwo\n3\n") == nil)
        #expect(merge("a b c\nd e f\n", "A b c\nd e f\n", "a b c\nd e F\n") == "A b c\nd e F\n")
        // One line between is enough, an empty one too.
        #expect(merge("1\n\n3\n", "one\n\n3\n", "1\n\nthree\n") == "one\n\nthree\n")
    }

    @Test func `words of one line are merged, with a word between them`() {
        #expect(
            merge("the quick brown fox\n", "a quick brown fox\n", "the quick brown dog\n")
                == "a quick brown dog\n")
        #expect(merge("quick fox\n", "slow fox\n", "quick dog\n") == nil)
        #expect(merge("f(a, b)\n", "f(x, b)\n", "f(a, y)\n") == "f(x, y)\n")
        #expect(merge("木林森\n", "火林森\n", "木林水\n") == "火林水\n")
        #expect(
            merge("größe oder länge\n", "Größe oder länge\n", "größe oder Länge\n")
                == "Größe oder Länge\n")
    }

    @Test func `the same change counts once`() {
        #expect(merge("1\n2\n3\n4\n", "1\nx\n3\n4\n", "1\nx\n3\nfour\n") == "1\nx\n3\nfour\n")
        #expect(merge("1\n2\n", "1\nnew\n2\n", "1\nnew\n2\n") == "1\nnew\n2\n")
        // At whichever of two equal lines a side was taken to have put it.
        #expect(merge("1\n2\n3\n4\n", "1\n3\n4\n4\n", "1\n2\n3\n4\n4\n") == "1\n3\n4\n4\n")
        #expect(
            merge("1\n2\n3\n", "1\nblock\n2\n3\n", "1\nblock\n2\n3!\n")
                == "1\nblock\n2\n3!\n")
    }

    @Test func `two blocks at one place are both kept, whole, where lines stand for themselves`() {
        #expect(merge("a\nz\n", "a\n1\n2\nz\n", "a\n3\n4\nz\n") == "a\n1\n2\n3\n4\nz\n")
        #expect(merge("a\nz\n", "a\n1\n2\nz\n", "a\n3\n4\nz\n", isLineLike: false) == nil)
        #expect(merge("", "one\n", "two\n") == "one\ntwo\n")
    }

    @Test func `an edit against a deletion is a conflict`() {
        #expect(merge("1\n2\n3\n", "1\n3\n", "1\ntwo\n3\n") == nil)
        #expect(merge("1\n2\n3\n", "", "1\ntwo\n3\n") == nil)
        #expect(merge("1\n2\n3\n", "", "1\n2\n3\n") == "")
        // A block moved away on one side, edited on the other.
        #expect(merge("a\nb\nc\nd\ne\n", "c\nd\ne\na\nb\n", "a\nB\nc\nd\ne\n") == nil)
    }

    @Test func `repeated lines`() {
        #expect(merge("x\nx\nx\n", "x\nx\nx\nx\n", "x\nx\n") == nil)
        #expect(
            merge("x\nx\na\nx\nx\n", "x\nx\nx\na\nx\nx\n", "x\nx\na\nx\n")
                == "x\nx\nx\na\nx\n")
    }

    @Test func `line ends are part of lines`() {
        #expect(
            merge("1\r\n2\r\n3\r\n", "one\r\n2\r\n3\r\n", "1\r\n2\r\nthree\r\n")
                == "one\r\n2\r\nthree\r\n")
        #expect(merge("1\r2\r3\r", "one\r2\r3\r", "1\r2\rthree\r") == "one\r2\rthree\r")
        // One side changed all line ends, the other a word.
        #expect(merge("a b\nc d e\n", "a b\r\nc d e\r\n", "a b\nc D e\n") == "a b\r\nc D e\r\n")
    }

    @Test func `a last line without a line end`() {
        #expect(merge("1\n2\n3", "one\n2\n3", "1\n2\n3\n4") == "one\n2\n3\n4")
        #expect(merge("1\n2", "1\n2\nx", "1\n2\ny") == "1\n2\nx\ny")
        #expect(merge("1\n2\n3", "1\n2\n3\n", "one\n2\n3") == "one\n2\n3\n")
        #expect(merge("1\n2\n3\n", "1\n2\n3", "one\n2\n3\n") == "one\n2\n3")
        #expect(merge("a\r\nb", "a\r\nb\r\nx", "A\r\nb") == "A\r\nb\r\nx")
    }

    @Test func `what is not text is not merged`() {
        func result(_ base: [UInt8], _ first: [UInt8], _ second: [UInt8]) -> MergeResult {
            ThreeWayMerge.merge(base: base, first: first, second: second, isLineLike: true)
        }
        let text = Array("1\n2\n3\n".utf8)
        let bad: [[UInt8]] = [
            [0], [0x31, 0], [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80],
            [0xe2, 0x82], [0xf0, 0x80, 0x80, 0x80], [0x80],
            [UInt8](repeating: 0x61, count: MergeRules.sizeMax + 1),
            [UInt8](repeating: 0x0a, count: MergeRules.linesMax + 1),
        ]
        for bytes in bad {
            #expect(result(text, Array("one\n2\n3\n".utf8), bytes) == .conflict(.notText))
            #expect(result(bytes, text, Array("x".utf8)) == .conflict(.notText))
        }
        let large = [UInt8](repeating: 0x0a, count: MergeRules.linesMax)
        #expect(
            result([0x0a], large, Array("\nx\n".utf8)) != .conflict(.notText))
    }

    @Test func `a merge is never more than a text may be`() {
        let half = String(repeating: String(repeating: "x", count: 63) + "\n", count: 40_000)
        #expect(half.utf8.count <= MergeRules.sizeMax)
        let result = ThreeWayMerge.merge(
            base: [], first: Array(half.utf8), second: Array(half.utf8) + [0x79], isLineLike: true)
        #expect(result == .conflict(.tooLarge))
    }

    @Test(arguments: [
        ("a.md", true), ("a.MD", true), ("x.txt", true), ("x.org", true), ("x.log", true),
        ("x.csv", true), (".gitignore", true), ("Makefile", true), ("x.json", false),
        ("x.swift", false), (".bashrc", false), ("a.", false), ("a.tar.txt", true),
        (".config.txt", true), ("md", true), (".md", false),
    ])
    func `which names are line-like`(_ name: String, _ expected: Bool) {
        #expect(MergeRules.isLineLike(Array(name.utf8)) == expected)
    }

    @Test(arguments: [
        ("HEAD", true), ("packed-refs", true), ("head", false), ("HEAD.txt", false),
        ("ORIG_HEAD", false), ("packed-refs.lock", false), ("config", false),
    ])
    func `which names are never merged`(_ name: String, _ expected: Bool) {
        #expect(MergeRules.isWhole(Array(name.utf8)) == expected)
    }

    // MARK: Random

    private struct Case {
        var base: String
        var first: String
        var second: String
    }

    private func randomCase(_ seed: UInt64) -> Case {
        var random = RandomText(seed: seed)
        let variety = 2 + random.below(11)
        let base = random.text(lines: [3, 8, 30][random.below(3)], variety: variety)
        let edits = 1 + random.below(5)
        return Case(
            base: base.joined(),
            first: random.edited(base, edits: edits, variety: variety).joined(),
            second: random.edited(base, edits: edits, variety: variety).joined())
    }

    @Test func `random texts merge as the model says`() {
        var clean = 0
        for seed in 0..<UInt64(Self.rounds) {
            let random = randomCase(seed)
            let (base, first, second) = (random.base, random.first, random.second)
            let isLineLike = seed.isMultiple(of: 2)
            let merged = merge(base, first, second, isLineLike: isLineLike)
            let model = NaiveMerge.merge(base, first, second, isLineLike: isLineLike)
            #expect(merged.map { Array($0.utf8) } == model.map { Array($0.utf8) }, "seed \(seed)")
            if merged != nil { clean += 1 }
        }
        // Both outcomes must have been tried.
        #expect(clean > Self.rounds / 5 && clean < Self.rounds * 9 / 10)
    }

    @Test func `laws of merging, on random texts`() {
        for seed in 0..<UInt64(Self.rounds) {
            let random = randomCase(seed)
            let (base, first, second) = (random.base, random.first, random.second)
            #expect(merge(base, first, base) == first, "seed \(seed)")
            #expect(merge(base, base, second) == second, "seed \(seed)")
            #expect(merge(base, first, first) == first, "seed \(seed)")
            // Only two blocks at one place have an order.
            let strict = merge(base, first, second, isLineLike: false)
            #expect(strict == merge(base, second, first, isLineLike: false), "seed \(seed)")
            guard let strict else { continue }
            #expect(merge(base, first, second) == strict, "seed \(seed)")
            // Who merges the merge with a side again gets nothing new, or is told that he cannot.
            let again = merge(first, first, strict)
            #expect(again == strict, "seed \(seed)")
            // Nothing that was nowhere.
            let known = Set([base, first, second].flatMap { NaiveMerge.words([$0]) })
            let ends: Set = ["\n", "\r", "\r\n"]
            #expect(
                NaiveMerge.words([strict]).allSatisfy { known.contains($0) || ends.contains($0) },
                "seed \(seed)")
        }
    }

    @Test func `hostile texts are bounded`() {
        // Many repeated lines, many words, many anchors out of order; the time limit is the test's own.
        var random = RandomText(seed: 11)
        let same = String(repeating: "x\n", count: 90_000)
        #expect(merge(same + "a\n", "b\n" + same + "a\n", same + "c\n") != "")
        let words = (0..<300_000).map { _ in ["a", "b", "c"][random.below(3)] }
        let line = words.joined(separator: " ")
        #expect(merge(line, line + " x", "y " + line) == nil)
        let halves = (0..<40_000).map { "\($0)\n" }
        let reversed = halves.reversed().joined()
        #expect(merge(halves.joined(), reversed, halves.dropFirst().joined()) == nil)
    }
}
