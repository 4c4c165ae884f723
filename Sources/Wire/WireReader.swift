package import Base

/// Reads compact-encoding values from the front of a span of bytes.
///
/// Values follow each other without padding or tags. Every read is checked against the bytes left
/// before anything is allocated; after a throw the position is unspecified and the reader is done.
package struct WireReader: ~Escapable {
    private let bytes: Span<UInt8>
    /// The offset of the next byte to be read; never above `bytes.count`.
    package private(set) var position = 0

    @_lifetime(copy bytes)
    package init(_ bytes: Span<UInt8>) { self.bytes = bytes }

    /// Bytes not yet read.
    package var remaining: Int { bytes.count &- position }
    package var isAtEnd: Bool { position == bytes.count }

    // MARK: Varints

    /// The varint: one byte up to 252, else a marker and 2, 4 or 8 bytes. Any form is accepted, not
    /// only the shortest.
    ///
    /// - Throws: `.tooLarge` above `Limits.integerMax`.
    package mutating func readUInt() throws(WireError) -> UInt64 {
        try readUInt(max: Limits.integerMax)
    }

    /// - Throws: `.tooLarge` above `max` or above `Limits.integerMax`.
    package mutating func readUInt(max: UInt64) throws(WireError) -> UInt64 {
        let first = try readUInt8()
        let value: UInt64
        switch first {
        case 0xfd: value = try readLittleEndian(2)
        case 0xfe: value = try readLittleEndian(4)
        case 0xff: value = try readLittleEndian(8)
        default: value = UInt64(first)
        }
        let limit = Swift.min(max, Limits.integerMax)
        guard value <= limit else { throw .tooLarge(value, limit: limit) }
        return value
    }

    /// A count of elements, checked against `max` and against the bytes left, so that a caller may
    /// reserve room for that many.
    ///
    /// - Parameter minimumElementSize: bytes the smallest element takes; 0 if it may take none.
    package mutating func readCount(
        max: Int = Limits.elementsMax, minimumElementSize: Int = 1
    ) throws(WireError) -> Int {
        let count = try Int(readUInt(max: UInt64(clamping: max)))
        let (needed, overflow) = count.multipliedReportingOverflow(by: minimumElementSize)
        guard !overflow, needed <= remaining else {
            throw .truncated(needed: overflow ? .max : needed, remaining: remaining)
        }
        return count
    }

    /// A zigzag varint.
    package mutating func readInt() throws(WireError) -> Int64 { try zigzagDecoded(readUInt()) }

    // MARK: Fixed integers

    package mutating func readUInt8() throws(WireError) -> UInt8 {
        guard position < bytes.count else { throw .truncated(needed: 1, remaining: 0) }
        let byte = bytes[position]
        position &+= 1
        return byte
    }

    package mutating func readUInt16() throws(WireError) -> UInt16 {
        try UInt16(truncatingIfNeeded: readLittleEndian(2))
    }

    package mutating func readUInt24() throws(WireError) -> UInt32 {
        try UInt32(truncatingIfNeeded: readLittleEndian(3))
    }

    package mutating func readUInt32() throws(WireError) -> UInt32 {
        try UInt32(truncatingIfNeeded: readLittleEndian(4))
    }

    package mutating func readUInt40() throws(WireError) -> UInt64 { try readLittleEndian(5) }
    package mutating func readUInt48() throws(WireError) -> UInt64 { try readLittleEndian(6) }
    package mutating func readUInt56() throws(WireError) -> UInt64 { try readLittleEndian(7) }

    /// Eight bytes, least significant first; the whole 64-bit range.
    package mutating func readUInt64() throws(WireError) -> UInt64 { try readLittleEndian(8) }

    package mutating func readUInt16BE() throws(WireError) -> UInt16 {
        try readUInt16().byteSwapped
    }
    package mutating func readUInt32BE() throws(WireError) -> UInt32 {
        try readUInt32().byteSwapped
    }
    package mutating func readUInt64BE() throws(WireError) -> UInt64 {
        try readUInt64().byteSwapped
    }

    /// The fixed-size signed integers are zigzag over the unsigned one of their size.
    package mutating func readInt8() throws(WireError) -> Int8 {
        try Int8(truncatingIfNeeded: zigzagDecoded(readLittleEndian(1)))
    }

    package mutating func readInt16() throws(WireError) -> Int16 {
        try Int16(truncatingIfNeeded: zigzagDecoded(readLittleEndian(2)))
    }

    package mutating func readInt32() throws(WireError) -> Int32 {
        try Int32(truncatingIfNeeded: zigzagDecoded(readLittleEndian(4)))
    }

    package mutating func readInt64() throws(WireError) -> Int64 {
        try zigzagDecoded(readLittleEndian(8))
    }

    // MARK: Numbers of other kinds

    package mutating func readFloat() throws(WireError) -> Float {
        try Float(bitPattern: readUInt32())
    }

    package mutating func readDouble() throws(WireError) -> Double {
        try Double(bitPattern: readUInt64())
    }

    /// One byte; true only for 1.
    package mutating func readBool() throws(WireError) -> Bool { try readUInt8() == 1 }

    // MARK: Bytes

    /// Exactly `count` bytes, copied.
    package mutating func readBytes(_ count: Int) throws(WireError) -> [UInt8] {
        try [UInt8](copying: readSpan(count))
    }

    /// Exactly `count` bytes, borrowed from what the reader reads.
    @_lifetime(copy self)
    package mutating func readSpan(_ count: Int) throws(WireError) -> Span<UInt8> {
        guard count >= 0, count <= remaining else {
            throw .truncated(needed: count, remaining: remaining)
        }
        let start = position
        position &+= count
        return bytes.extracting(start..<position)
    }

    package mutating func readBytes32() throws(WireError) -> Bytes32 {
        let span = try readSpan(Bytes32.count)
        guard let value = Bytes32(span) else { throw .invalid("32 bytes") }
        return value
    }

    /// A varint length and that many bytes, copied.
    ///
    /// - Throws: `.tooLarge` for a length above `max`.
    package mutating func readBuffer(max: Int) throws(WireError) -> [UInt8] {
        try [UInt8](copying: readBufferSpan(max: max))
    }

    /// A varint length and that many bytes, borrowed from what the reader reads.
    @_lifetime(copy self)
    package mutating func readBufferSpan(max: Int) throws(WireError) -> Span<UInt8> {
        let count = try Int(readUInt(max: UInt64(clamping: max)))
        return try readSpan(count)
    }

    /// As `readBuffer`, where length 0 means absent.
    package mutating func readOptionalBuffer(max: Int) throws(WireError) -> [UInt8]? {
        let span = try readBufferSpan(max: max)
        return span.isEmpty ? nil : [UInt8](copying: span)
    }

    /// All bytes left, copied.
    package mutating func readRest() -> [UInt8] { [UInt8](copying: readRestSpan()) }

    /// All bytes left, borrowed.
    @_lifetime(copy self)
    package mutating func readRestSpan() -> Span<UInt8> {
        let start = position
        position = bytes.count
        return bytes.extracting(start..<position)
    }

    /// Passes over `count` bytes.
    package mutating func skip(_ count: Int) throws(WireError) { _ = try readSpan(count) }

    // MARK: Details

    private mutating func readLittleEndian(_ size: Int) throws(WireError) -> UInt64 {
        guard size <= remaining else { throw .truncated(needed: size, remaining: remaining) }
        var value: UInt64 = 0
        for index in 0..<size {
            value |= UInt64(bytes[position &+ index]) &<< UInt64(8 &* index)
        }
        position &+= size
        return value
    }
}

/// 0, 1, 2, 3, 4 stand for 0, -1, 1, -2, 2.
func zigzagDecoded(_ value: UInt64) -> Int64 {
    Int64(bitPattern: value &>> 1) ^ -Int64(bitPattern: value & 1)
}

/// The inverse of `zigzagDecoded`.
func zigzagEncoded(_ value: Int64) -> UInt64 {
    UInt64(bitPattern: (value &<< 1) ^ (value &>> 63))
}
