/// Splitting lines into words.
///
/// By fixed ranges of code points and not by the tables of any Unicode version: those change, the
/// bytes of a merge must not.
enum WordScan {
    private enum Class {
        /// One token each.
        case single
        case space
        /// Letters, digits, `_`, and what lies above ASCII.
        case word
    }

    /// The words in a range of text.
    ///
    /// - Returns: nil if there are more than `MergeRules.hunkWordsMax`.
    static func words(in range: Range<Int>, of bytes: Span<UInt8>) -> [Piece]? {
        var words: [Piece] = []
        var index = range.lowerBound
        while index < range.upperBound {
            guard words.count < MergeRules.hunkWordsMax else { return nil }
            let start = index
            let kind = take(&index, range.upperBound, bytes)
            if kind != .single {
                while index < range.upperBound {
                    var next = index
                    guard take(&next, range.upperBound, bytes) == kind else { break }
                    index = next
                }
            }
            words.append(Piece(start, index))
        }
        return words
    }

    /// Whether a word is more than white space: only such a one keeps two edits apart.
    static func isSolid(_ word: Piece, of bytes: Span<UInt8>) -> Bool {
        switch bytes[Int(word.start)] {
        case 0x20, 0x09, 0x0a, 0x0d: false
        default: true
        }
    }

    /// Takes one character, or a CR with its LF.
    private static func take(_ index: inout Int, _ end: Int, _ bytes: Span<UInt8>) -> Class {
        let byte = bytes[index]
        index += 1
        switch byte {
        case 0x20, 0x09: return .space
        case 0x0d:
            if index < end, bytes[index] == 0x0a { index += 1 }
            return .single
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: return .word
        case 0..<0x80: return .single
        default:
            var scalar = UInt32(byte) & (byte < 0xe0 ? 0x1f : byte < 0xf0 ? 0x0f : 0x07)
            while index < end, bytes[index] & 0xc0 == 0x80 {
                scalar = scalar << 6 | UInt32(bytes[index] & 0x3f)
                index += 1
            }
            return isSingle(scalar) ? .single : .word
        }
    }

    /// Punctuation, and the characters of scripts that put no space between words.
    private static func isSingle(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x2000...0x206f: true  // General punctuation, spaces.
        case 0x2e80...0x9fff: true  // CJK radicals, punctuation, kana, ideographs.
        case 0xf900...0xfaff, 0xff00...0xffef, 0x20000...0x3ffff: true  // More of them.
        default: false
        }
    }
}
