// modules: Base TextMerge
import TextMerge

/// The input is flags and three texts, cut at bytes of 0xff: as they are, or each byte one of a few words, so
/// that most are text, lines repeat and edits touch. Every device must make the same of the same, and what is
/// merged must be a text no larger than what went in.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    guard let flags = bytes.first else { return 0 }
    let parts = bytes.dropFirst().split(
        separator: 0xff, maxSplits: 3, omittingEmptySubsequences: false
    ).map { text(Array($0), flags) }
    guard parts.count >= 3 else { return 0 }
    let isLineLike = flags & 2 != 0
    let result = ThreeWayMerge.merge(
        base: parts[0], first: parts[1], second: parts[2], isLineLike: isLineLike)
    precondition(
        result
            == ThreeWayMerge.merge(
                base: parts[0], first: parts[1], second: parts[2], isLineLike: isLineLike))
    if case .clean(let merged) = result {
        precondition(merged.count <= parts[0].count + parts[1].count + parts[2].count + 2)
        // What one side did is in it: merging that side in again changes nothing.
        let again = ThreeWayMerge.merge(
            base: parts[1], first: merged, second: parts[1], isLineLike: isLineLike)
        precondition(again == .clean(merged))
    }
    var steps = [HeadMerge.Step(bases: [parts[0]], head: parts[2])]
    if parts.count > 3 { steps.append(.init(bases: [parts[0], parts[1]], head: parts[3])) }
    let heads = HeadMerge.merge(first: parts[1], steps: steps, isLineLike: isLineLike)
    precondition(heads == HeadMerge.merge(first: parts[1], steps: steps, isLineLike: isLineLike))
    if steps.count == 1, case .clean = heads { precondition(heads == result) }
    return 0
}

private let words = [
    "a", "b", " ", "\n", "\r\n", "{", "}", "\t", "same\n", "other line\n", "\u{e9}", "x y z\n",
    "\n\n", "0", ",", "end",
].map { Array($0.utf8) }

private func text(_ bytes: [UInt8], _ flags: UInt8) -> [UInt8] {
    flags & 1 != 0 ? bytes : bytes.flatMap { words[Int($0) % words.count] }
}
