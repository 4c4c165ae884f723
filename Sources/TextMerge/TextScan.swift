/// Judging bytes as text, and splitting them into lines.
enum TextScan {
    /// The lines of `bytes`, each with its terminator: LF, CR LF, or a CR alone. The last may have none.
    ///
    /// - Returns: nil for what is not merged: NUL, bytes that are not UTF-8 (RFC 3629), too much of it.
    static func lines(of bytes: [UInt8]) -> [Piece]? {
        guard bytes.count <= MergeRules.sizeMax else { return nil }
        var lines: [Piece] = []
        lines.reserveCapacity(bytes.count / 32 + 8)
        let span = bytes.span
        var start = 0
        var index = 0
        while index < span.count {
            if isPlain(span, at: index) {
                index += 8
                continue
            }
            let byte = span[index]
            switch byte {
            case 0: return nil
            case 0x0a, 0x0d:
                index += 1
                if byte == 0x0d, index < span.count, span[index] == 0x0a { index += 1 }
                guard lines.count < MergeRules.linesMax else { return nil }
                lines.append(Piece(start, index))
                start = index
            case 0x80...:
                guard let length = scalarLength(span, at: index) else { return nil }
                index += length
            default: index += 1
            }
        }
        if start < span.count {
            guard lines.count < MergeRules.linesMax else { return nil }
            lines.append(Piece(start, span.count))
        }
        return lines
    }

    /// Whether the next eight bytes are ASCII without NUL, LF and CR.
    private static func isPlain(_ span: Span<UInt8>, at index: Int) -> Bool {
        guard index + 8 <= span.count else { return false }
        let word = span.word(at: index)
        return word & high == 0 && !hasZero(word) && !hasZero(word ^ lineFeeds)
            && !hasZero(word ^ carriageReturns)
    }

    private static let high: UInt64 = 0x8080_8080_8080_8080
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let lineFeeds: UInt64 = 0x0a0a_0a0a_0a0a_0a0a
    private static let carriageReturns: UInt64 = 0x0d0d_0d0d_0d0d_0d0d

    private static func hasZero(_ word: UInt64) -> Bool { (word &- ones) & ~word & high != 0 }

    /// The length of the UTF-8 sequence that begins here, two to four bytes; nil if there is none.
    static func scalarLength(_ span: Span<UInt8>, at index: Int) -> Int? {
        let first = span[index]
        let length: Int
        switch first {
        case 0xc2...0xdf: length = 2
        case 0xe0...0xef: length = 3
        case 0xf0...0xf4: length = 4
        default: return nil
        }
        guard index + length <= span.count else { return nil }
        for offset in 1..<length where span[index + offset] & 0xc0 != 0x80 { return nil }
        // What is overlong, a surrogate, or past the last code point shows in the second byte.
        let second = span[index + 1]
        switch first {
        case 0xe0 where second < 0xa0, 0xed where second > 0x9f, 0xf0 where second < 0x90,
            0xf4 where second > 0x8f:
            return nil
        default: return length
        }
    }
}
