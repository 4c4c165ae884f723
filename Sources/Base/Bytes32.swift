/// Thirty-two bytes: a key, a digest, a chunk address, a topic.
///
/// Ordered as bytes (the first byte counts most). Held in four machine words so that hashing and
/// comparing cost no allocation.
package struct Bytes32: Hashable, Sendable {
    // Words in memory order: the first byte is the lowest byte of `a`.
    private let a, b, c, d: UInt64

    package static let count = 32
    package static let zero = Bytes32(repeating: 0)

    package init(repeating byte: UInt8) {
        let word = UInt64(byte) &* 0x0101_0101_0101_0101
        (a, b, c, d) = (word, word, word, word)
    }

    /// - Returns: nil unless `bytes` has exactly 32 bytes.
    package init?(_ bytes: Span<UInt8>) {
        guard bytes.count == Self.count else { return nil }
        func word(_ offset: Int) -> UInt64 {
            var value: UInt64 = 0
            for index in 0..<8 { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
            return value
        }
        (a, b, c, d) = (word(0), word(8), word(16), word(24))
    }

    /// - Returns: nil unless `bytes` has exactly 32 bytes.
    package init?(_ bytes: [UInt8]) { self.init(bytes.span) }

    /// - Returns: nil unless `hex` is 64 hexadecimal digits.
    package init?(hex: some StringProtocol) {
        guard let bytes = [UInt8](hex: hex) else { return nil }
        self.init(bytes.span)
    }

    /// The byte at `index`, 0 to 31.
    package subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < Self.count)
        let word =
            switch index >> 3 {
            case 0: a
            case 1: b
            case 2: c
            default: d
            }
        return UInt8(truncatingIfNeeded: word >> UInt64(8 * (index & 7)))
    }

    /// The bytes as four words: the first byte is the lowest of the first.
    package init(words: (UInt64, UInt64, UInt64, UInt64)) { (a, b, c, d) = words }

    /// As in `init(words:)`.
    package var words: (UInt64, UInt64, UInt64, UInt64) { (a, b, c, d) }

    /// A copy of the bytes, in order.
    package var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(Self.count)
        for var word in [a, b, c, d] {
            for _ in 0..<8 {
                result.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return result
    }

    /// The first sixteen bytes as two little-endian words: enough of a digest for a compact table.
    package var prefix: (UInt64, UInt64) { (a, b) }

    package var hex: String { bytes.hex }
}

extension Bytes32: Comparable {
    package static func < (left: Bytes32, right: Bytes32) -> Bool {
        if left.a != right.a { return left.a.byteSwapped < right.a.byteSwapped }
        if left.b != right.b { return left.b.byteSwapped < right.b.byteSwapped }
        if left.c != right.c { return left.c.byteSwapped < right.c.byteSwapped }
        return left.d.byteSwapped < right.d.byteSwapped
    }
}

extension Bytes32: CustomStringConvertible {
    /// The first eight digits: enough to tell keys apart in a log line.
    package var description: String { String(hex.prefix(8)) }
}
