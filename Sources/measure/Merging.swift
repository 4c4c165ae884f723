import Base
import Host
import TextMerge

/// Two heads of 10,000 lines with 100 edits each, apart from each other.
func measureMerging(rounds: Int) {
    var random = SeededRandom(seed: 5)
    let words = ["share", "block", "version", "of", "the", "a", "clock", "and", "merge", "tree"]
    let base = (0..<10_000).map { number in
        let line = (0..<8).map { _ in words[Int.random(in: 0..<words.count, using: &random)] }
        // A fifth of the lines are there many times.
        return number % 5 == 0 ? "" : "\(number) " + line.joined(separator: " ")
    }
    func edited(_ offset: Int) -> [UInt8] {
        var lines = base
        for edit in 0..<100 {
            let line = edit * 100 + offset
            switch edit % 3 {
            case 0: lines[line] = "changed \(edit) \(offset)"
            case 1: lines[line] += "\nadded \(edit) \(offset)"
            default: lines[line] = "changed \(lines[line])"
            }
        }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }
    let bytes = Array((base.joined(separator: "\n") + "\n").utf8)
    let (first, second) = (edited(20), edited(70))
    var times: [Double] = []
    for _ in 0..<rounds {
        let begin = monotonicNow()
        let result = ThreeWayMerge.merge(
            base: bytes, first: first, second: second, isLineLike: true)
        times.append((monotonicNow() - begin).milliseconds)
        guard case .clean = result else { return print("the heads do not merge") }
    }
    times.sort()
    report(
        "merge of two 10,000-line heads, 100 edits each",
        [("milliseconds", times[rounds / 2]), ("best", times[0]), ("bytes", Double(bytes.count))])
}
