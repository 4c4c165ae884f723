/// Merges what two sides made of one base.
///
/// Line by line; where both changed lines that touch, word by word. No markers, and nothing that is not
/// in one of the three texts: if both sides changed the same words, or words with nothing but white
/// space between them, there is no merge.
///
/// Bounded for any bytes: time and memory grow with the size of the texts, whose bounds are those of
/// `MergeRules`.
package struct ThreeWayMerge {
    /// Base, first and second, one after the other; what a last line lacks of a terminator follows it.
    private var bytes: [UInt8]
    private let isLineLike: Bool
    private var output: [UInt8] = []

    /// - Parameters:
    ///   - first: the side that comes first where both inserted something.
    ///   - isLineLike: see `MergeRules.isLineLike`.
    package static func merge(
        base: [UInt8], first: [UInt8], second: [UInt8], isLineLike: Bool
    ) -> MergeResult {
        if first == second || second == base { return .clean(first) }
        if first == base { return .clean(second) }
        guard let baseLines = TextScan.lines(of: base), let firstLines = TextScan.lines(of: first),
            let secondLines = TextScan.lines(of: second)
        else { return .conflict(.notText) }
        var merge = ThreeWayMerge(
            reserving: base.count + first.count + second.count, isLineLike: isLineLike)
        let isTerminated = merge.finalTerminator(base, first, second)
        let sides = Sides(
            base: merge.append(base, baseLines), first: merge.append(first, firstLines),
            second: merge.append(second, secondLines))
        guard merge.mergeLines(sides) else { return .conflict(.overlap) }
        if !isTerminated { merge.dropTerminator() }
        // It will be a base or a side itself.
        guard TextScan.lines(of: merge.output) != nil else { return .conflict(.tooLarge) }
        return .clean(merge.output)
    }

    private init(reserving count: Int, isLineLike: Bool) {
        bytes = []
        bytes.reserveCapacity(count + 6)
        output.reserveCapacity(count / 2)
        self.isLineLike = isLineLike
    }

    // MARK: The last line

    /// Takes in one text, and ends its last line if nothing does: so a line that others follow on one
    /// side is the line that ends the other.
    private mutating func append(_ text: [UInt8], _ lines: [Piece]) -> [Piece] {
        let start = bytes.count
        bytes.append(contentsOf: text)
        var pieces = lines.map { Piece(Int($0.start) + start, Int($0.end) + start) }
        guard !Self.isTerminated(text), let last = pieces.last else { return pieces }
        // As the line before ends; LF if there is none.
        let before = pieces.dropLast().last?.range ?? 0..<0
        let terminator = before.suffix(2).map { bytes[$0] }.filter { $0 == 0x0a || $0 == 0x0d }
        bytes.append(contentsOf: terminator.isEmpty ? [0x0a] : terminator)
        pieces[pieces.count - 1] = Piece(Int(last.start), bytes.count)
        return pieces
    }

    private static func isTerminated(_ text: [UInt8]) -> Bool {
        guard let last = text.last else { return true }
        return last == 0x0a || last == 0x0d
    }

    /// Whether the last line of the merge has a terminator: a change of one side counts, an empty text
    /// says nothing.
    private func finalTerminator(_ base: [UInt8], _ first: [UInt8], _ second: [UInt8]) -> Bool {
        if base.isEmpty {
            // Two texts put one after the other: it ends as the last does.
            return Self.isTerminated(second.isEmpty ? first : second)
        }
        let was = Self.isTerminated(base)
        let sides = [first, second].filter { !$0.isEmpty }.map(Self.isTerminated)
        return sides.contains(!was) ? !was : was
    }

    private mutating func dropTerminator() {
        if output.last == 0x0a { output.removeLast() }
        if output.last == 0x0d { output.removeLast() }
    }

    // MARK: Hunks

    /// The pieces of all three texts, lines or words.
    private struct Sides {
        let base: [Piece]
        let first: [Piece]
        let second: [Piece]
    }

    private mutating func mergeLines(_ lines: Sides) -> Bool {
        merge(lines, cellsMax: MergeRules.lineCellsMax, separates: nil) { merge, hunk in
            guard hunk.base.isEmpty else { return merge.mergeWords(lines, hunk) }
            // Two blocks at one place.
            guard merge.isLineLike else { return false }
            merge.emit(lines.first[hunk.first])
            merge.emit(lines.second[hunk.second])
            return true
        }
    }

    private mutating func mergeWords(_ lines: Sides, _ hunk: Hunk) -> Bool {
        guard let base = words(lines.base[hunk.base]), let first = words(lines.first[hunk.first]),
            let second = words(lines.second[hunk.second])
        else { return false }
        let sides = Sides(base: base, first: first, second: second)
        // Edits of both sides with nothing but white space between them touch.
        let isSolid = base.map { WordScan.isSolid($0, of: bytes.span) }
        return merge(sides, cellsMax: MergeRules.wordCellsMax, separates: isSolid) { _, _ in false }
    }

    private func words(_ lines: ArraySlice<Piece>) -> [Piece]? {
        WordScan.words(in: lines.range, of: bytes.span)
    }

    /// Puts out what three sides make, hunk by hunk.
    ///
    /// - Parameters:
    ///   - separates: which pieces of the base can keep two edits apart; nil: all.
    ///   - both: a hunk that both sides changed, and not to the same.
    /// - Returns: false if there is no merge.
    private mutating func merge(
        _ sides: Sides, cellsMax: Int, separates: [Bool]?,
        both: (inout ThreeWayMerge, Hunk) -> Bool
    ) -> Bool {
        let count = sides.base.count + sides.first.count + sides.second.count
        var table = SymbolTable(bytes, pieces: count)
        let base = table.symbols(for: sides.base)
        let first = table.symbols(for: sides.first)
        let second = table.symbols(for: sides.second)
        var reader = HunkReader(
            first: Comparison(base, first, symbols: table.count, cellsMax: cellsMax).matches,
            second: Comparison(base, second, symbols: table.count, cellsMax: cellsMax).matches,
            count: (first.count, second.count), separates: separates)
        while let (hunk, stable) = reader.next() {
            let isFirstChanged = base[hunk.base] != first[hunk.first]
            if !isFirstChanged || first[hunk.first] == second[hunk.second] {
                emit(sides.second[hunk.second])
            } else if base[hunk.base] == second[hunk.second] {
                emit(sides.first[hunk.first])
            } else if !both(&self, hunk) {
                return false
            }
            emit(sides.base[stable])
        }
        return true
    }

    private mutating func emit(_ pieces: ArraySlice<Piece>) {
        output.append(contentsOf: bytes[pieces.range])
    }
}
