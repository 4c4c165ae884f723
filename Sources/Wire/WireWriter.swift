package import Base

/// Appends compact-encoding values to an array of bytes, each in its shortest form.
package struct WireWriter: Sendable {
    /// What has been written so far.
    package var bytes: [UInt8]

    /// - Parameter capacity: bytes to make room for at once.
    package init(reserving capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// Goes on at the end of `bytes`.
    package init(continuing bytes: consuming [UInt8]) { self.bytes = bytes }

    // MARK: Varints

    /// The varint in its shortest form.
    ///
    /// - Precondition: `value` is at most `Limits.integerMax`.
    package mutating func writeUInt(_ value: UInt64) {
        switch value {
        case 0...0xfc:
            bytes.append(UInt8(truncatingIfNeeded: value))
        case 0xfd...0xffff:
            bytes.append(0xfd)
            writeLittleEndian(value, size: 2)
        case 0x1_0000...0xffff_ffff:
            bytes.append(0xfe)
            writeLittleEndian(value, size: 4)
        default:
            precondition(value <= Limits.integerMax, "\(value) does not fit a varint")
            bytes.append(0xff)
            writeLittleEndian(value, size: 8)
        }
    }

    /// - Precondition: `value` is between 0 and `Limits.integerMax`.
    package mutating func writeUInt(_ value: Int) {
        precondition(value >= 0, "\(value) is negative")
        writeUInt(UInt64(bitPattern: Int64(value)))
    }

    /// A zigzag varint.
    ///
    /// - Precondition: `value` is between -2^52 and 2^52 - 1.
    package mutating func writeInt(_ value: Int64) { writeUInt(zigzagEncoded(value)) }

    // MARK: Fixed integers

    package mutating func writeUInt8(_ value: UInt8) { bytes.append(value) }

    package mutating func writeUInt16(_ value: UInt16) {
        writeLittleEndian(UInt64(value), size: 2)
    }

    /// - Precondition: `value` is below 2^24.
    package mutating func writeUInt24(_ value: UInt32) {
        precondition(value >> 24 == 0, "\(value) does not fit 24 bits")
        writeLittleEndian(UInt64(value), size: 3)
    }

    package mutating func writeUInt32(_ value: UInt32) {
        writeLittleEndian(UInt64(value), size: 4)
    }

    /// - Precondition: `value` is below 2^40.
    package mutating func writeUInt40(_ value: UInt64) {
        precondition(value >> 40 == 0, "\(value) does not fit 40 bits")
        writeLittleEndian(value, size: 5)
    }

    /// - Precondition: `value` is below 2^48.
    package mutating func writeUInt48(_ value: UInt64) {
        precondition(value >> 48 == 0, "\(value) does not fit 48 bits")
        writeLittleEndian(value, size: 6)
    }

    /// - Precondition: `value` is below 2^56.
    package mutating func writeUInt56(_ value: UInt64) {
        precondition(value >> 56 == 0, "\(value) does not fit 56 bits")
        writeLittleEndian(value, size: 7)
    }

    package mutating func writeUInt64(_ value: UInt64) { writeLittleEndian(value, size: 8) }
    package mutating func writeUInt16BE(_ value: UInt16) { writeUInt16(value.byteSwapped) }
    package mutating func writeUInt32BE(_ value: UInt32) { writeUInt32(value.byteSwapped) }
    package mutating func writeUInt64BE(_ value: UInt64) { writeUInt64(value.byteSwapped) }

    /// The fixed-size signed integers are zigzag over the unsigned one of their size.
    package mutating func writeInt8(_ value: Int8) {
        writeLittleEndian(zigzagEncoded(Int64(value)), size: 1)
    }

    package mutating func writeInt16(_ value: Int16) {
        writeLittleEndian(zigzagEncoded(Int64(value)), size: 2)
    }

    package mutating func writeInt32(_ value: Int32) {
        writeLittleEndian(zigzagEncoded(Int64(value)), size: 4)
    }

    package mutating func writeInt64(_ value: Int64) {
        writeLittleEndian(zigzagEncoded(value), size: 8)
    }

    // MARK: Numbers of other kinds

    package mutating func writeFloat(_ value: Float) { writeUInt32(value.bitPattern) }
    package mutating func writeDouble(_ value: Double) { writeUInt64(value.bitPattern) }
    package mutating func writeBool(_ value: Bool) { bytes.append(value ? 1 : 0) }

    // MARK: Bytes

    /// The bytes as they are, without a length.
    package mutating func writeRaw(_ raw: [UInt8]) { bytes.append(contentsOf: raw) }
    package mutating func writeRaw(_ raw: Span<UInt8>) { bytes.append(copying: raw) }

    package mutating func writeBytes32(_ value: Bytes32) {
        let words = value.words
        writeUInt64(words.0)
        writeUInt64(words.1)
        writeUInt64(words.2)
        writeUInt64(words.3)
    }

    /// A varint length and the bytes.
    package mutating func writeBuffer(_ buffer: [UInt8]) {
        writeUInt(buffer.count)
        writeRaw(buffer)
    }

    package mutating func writeBuffer(_ buffer: Span<UInt8>) {
        writeUInt(buffer.count)
        writeRaw(buffer)
    }

    /// As `writeBuffer`; absent is written as length 0.
    package mutating func writeOptionalBuffer(_ buffer: [UInt8]?) {
        if let buffer { writeBuffer(buffer) } else { writeUInt(0) }
    }

    // MARK: Details

    private mutating func writeLittleEndian(_ value: UInt64, size: Int) {
        // The bytes of a local number, of which the first `size` count. A byte at a time would ask for
        // room at each.
        unsafe withUnsafeBytes(of: value.littleEndian) { number in
            unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: number[..<size]))
        }
    }
}

/// The bytes that `WireWriter.writeUInt` takes for `value`.
package func wireSize(ofUInt value: UInt64) -> Int {
    switch value {
    case 0...0xfc: 1
    case 0xfd...0xffff: 3
    case 0x1_0000...0xffff_ffff: 5
    default: 9
    }
}
