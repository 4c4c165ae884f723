/// A stretch of a merge: what base, first and second have between two places where all three agree.
struct Hunk {
    var base: Range<Int>
    var first: Range<Int>
    var second: Range<Int>
}

/// How base, first and second correspond: stretches where all agree, and the hunks between them (the
/// parse of Khanna, Kunal and Pierce, A formal investigation of diff3, 2007).
///
/// Both matches are kept at once or not at all: an element of the base is stable if both sides have it.
struct HunkReader {
    private let firstMatches: [Int32]
    private let secondMatches: [Int32]
    private let separates: [Bool]?
    private let firstCount: Int
    private let secondCount: Int
    // What has been read.
    private var base = 0
    private var first = 0
    private var second = 0

    /// - Parameters:
    ///   - first: for each element of the base its match, as in `Comparison`.
    ///   - count: the elements of the sides.
    ///   - separates: which elements of the base may be stable; nil: all.
    init(first: [Int32], second: [Int32], count: (first: Int, second: Int), separates: [Bool]?) {
        firstMatches = first
        secondMatches = second
        self.separates = separates
        (firstCount, secondCount) = count
    }

    /// The next hunk, which may be empty, and the stable elements of the base that follow it.
    ///
    /// - Returns: nil when everything was read.
    mutating func next() -> (hunk: Hunk, stable: Range<Int>)? {
        guard base < firstMatches.count || first < firstCount || second < secondCount else {
            return nil
        }
        var index = base
        while index < firstMatches.count, !isStable(index) { index += 1 }
        let isLast = index == firstMatches.count
        let hunk = Hunk(
            base: base..<index, first: first..<(isLast ? firstCount : Int(firstMatches[index])),
            second: second..<(isLast ? secondCount : Int(secondMatches[index])))
        base = index
        (first, second) = (hunk.first.upperBound, hunk.second.upperBound)
        while base < firstMatches.count, isStable(base), Int(firstMatches[base]) == first,
            Int(secondMatches[base]) == second
        {
            base += 1
            first += 1
            second += 1
        }
        return (hunk, index..<base)
    }

    private func isStable(_ index: Int) -> Bool {
        firstMatches[index] >= 0 && secondMatches[index] >= 0 && separates?[index] != false
    }
}
