/// A line or a word: a range of the bytes that a merge works on.
struct Piece {
    var start: Int32
    var end: Int32

    init(_ start: Int, _ end: Int) {
        self.start = Int32(truncatingIfNeeded: start)
        self.end = Int32(truncatingIfNeeded: end)
    }

    var range: Range<Int> { Int(start)..<Int(end) }
}

extension ArraySlice<Piece> {
    /// The bytes that pieces in a row cover.
    var range: Range<Int> {
        guard let first, let last else { return 0..<0 }
        return Int(first.start)..<Int(last.end)
    }
}
