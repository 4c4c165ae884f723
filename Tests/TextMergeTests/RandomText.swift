import Base

/// Random texts and edits of them: few different lines and words, so that they repeat.
struct RandomText {
    var rng: SeededRandom

    init(seed: UInt64) { rng = SeededRandom(seed: seed) }

    mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &rng) }

    private static let words = [
        "a", "b", "the", "tree", "x1", "größe", "木", "、", "(", ")", ",", "é",
    ]

    mutating func line(_ variety: Int) -> String {
        var line = ""
        for _ in 0..<below(6) {
            line += Self.words[below(min(variety, Self.words.count))]
            line += ["", " ", " ", "  "][below(4)]
        }
        return line
    }

    mutating func text(lines: Int, variety: Int) -> [String] {
        let terminator = ["\n", "\n", "\n", "\r\n", "\r"][below(5)]
        var text = (0..<below(lines + 1)).map { _ in line(variety) + terminator }
        if below(4) == 0, let last = text.last, !last.hasPrefix(terminator) {
            text[text.count - 1] = String(last.unicodeScalars.filter { $0 != "\n" && $0 != "\r" })
        }
        return text
    }

    /// A few edits: lines and words added, removed, changed, moved.
    mutating func edited(_ text: [String], edits: Int, variety: Int) -> [String] {
        var result = text
        for _ in 0..<below(edits + 1) {
            let at = below(result.count + 1)
            switch below(6) {
            case 0: result.insert(line(variety) + "\n", at: at)
            case 1 where at < result.count: result.remove(at: at)
            case 2 where at < result.count: result[at] = line(variety) + "\n"
            case 3 where at < result.count:
                var words = result[at].split(
                    separator: " ", omittingEmptySubsequences: false
                ).map(String.init)
                words[below(words.count)] = Self.words[below(variety)]
                result[at] = words.joined(separator: " ")
            case 4 where at < result.count:
                let moved = result.remove(at: at)
                result.insert(moved, at: below(result.count + 1))
            case 5:
                // A block that is there already.
                let end = min(result.count, at + below(3))
                result.insert(contentsOf: result[min(at, end)..<end], at: below(result.count + 1))
            default: break
            }
        }
        return result
    }
}
