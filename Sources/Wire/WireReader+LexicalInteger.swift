extension WireReader {
    /// The order-preserving integer: comparing the bytes compares the numbers.
    ///
    /// - Throws: `.tooLarge` above 64 bits.
    package mutating func readLexicalInteger() throws(WireError) -> UInt64 {
        let first = try readUInt8()
        guard first > lexicalBase - 1 else { return UInt64(first) }
        guard first == 0xff else { return try readBigEndian(Int(first &- 0xfa)) &+ 251 }
        // A number above 32 bits: its exponent, then its 44 leading bits. The exponent of a 64-bit
        // number is at most 31 and so takes one byte.
        let exponent = try readUInt8()
        guard exponent <= 31 else { throw .tooLarge(UInt64(exponent), limit: 31) }
        let scaled = try readBigEndian(6)
        let shift = Int(exponent) - 11
        guard shift <= 0 || scaled.leadingZeroBitCount >= shift else {
            throw .invalid("order-preserving integer above 64 bits")
        }
        let value = shift < 0 ? scaled >> UInt64(-shift) : scaled << UInt64(shift)
        let (sum, overflow) = value.addingReportingOverflow(251)
        guard !overflow else { throw .invalid("order-preserving integer above 64 bits") }
        return sum
    }

    private mutating func readBigEndian(_ size: Int) throws(WireError) -> UInt64 {
        var value: UInt64 = 0
        for _ in 0..<size { value = try value << 8 | UInt64(readUInt8()) }
        return value
    }
}

extension WireWriter {
    /// The order-preserving integer. Exact below 2^43; above, the lowest bits are lost.
    package mutating func writeLexicalInteger(_ value: UInt64) {
        guard value >= 251 else { return writeUInt8(UInt8(truncatingIfNeeded: value)) }
        let rest = value - 251
        let size =
            switch value {
            case 0...0xff: 1
            case 0...0xffff: 2
            case 0...0xff_ffff: 3
            case 0...0xffff_ffff: 4
            default: 0
            }
        guard size == 0 else {
            writeUInt8(lexicalBase + UInt8(size) - 1)
            return writeBigEndian(rest, size: size)
        }
        // Just above 2^32 the rest has only 32 bits: the exponent stays 0, and the order holds.
        let exponent = max(0, 31 - rest.leadingZeroBitCount)
        writeUInt8(0xff)
        writeUInt8(UInt8(exponent))
        let shift = exponent - 11
        writeBigEndian(shift < 0 ? rest << UInt64(-shift) : rest >> UInt64(shift), size: 6)
    }

    private mutating func writeBigEndian(_ value: UInt64, size: Int) {
        for index in (0..<size).reversed() {
            writeUInt8(UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
        }
    }
}

/// From here on the first byte says how many follow: values from 251 are not a byte of their own.
private let lexicalBase: UInt8 = 251
