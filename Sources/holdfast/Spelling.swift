/// Finds what a mistyped word was meant to be.
enum Spelling {
    /// The name that the fewest typing errors lead away from, if they are few for its length.
    static func nearest(to word: String, among names: [String]) -> String? {
        let bytes = Array(word.utf8)
        guard bytes.count <= 64 else { return nil }
        let best = names.map { (name: $0, errors: errors(bytes, Array($0.utf8))) }
            .min { $0.errors < $1.errors }
        guard let best, best.errors <= max(1, min(3, best.name.utf8.count / 3)) else { return nil }
        return best.name
    }

    /// Insertions, omissions, wrong letters and swaps of neighbours (optimal string alignment).
    static func errors(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var before: [Int] = []
        var last = Array(0...right.count)
        for row in 0..<left.count {
            var next = [row + 1]
            for column in 0..<right.count {
                let isEqual = left[row] == right[column]
                var least = min(
                    last[column + 1] + 1, next[column] + 1, last[column] + (isEqual ? 0 : 1))
                if row > 0, column > 0, left[row] == right[column - 1],
                    left[row - 1] == right[column]
                {
                    least = min(least, before[column - 1] + 1)
                }
                next.append(least)
            }
            before = last
            last = next
        }
        return last[right.count]
    }
}
