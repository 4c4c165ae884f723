extension WireReader {
    /// UTF-8 text with a varint length in bytes.
    ///
    /// - Parameter max: the greatest length in bytes.
    /// - Throws: `.invalid` for bytes that are not UTF-8; nothing is repaired.
    package mutating func readString(max: Int) throws(WireError) -> String {
        let span = try readBufferSpan(max: max)
        do {
            return try String(copying: UTF8Span(validating: span))
        } catch {
            throw .invalid("UTF-8")
        }
    }

    /// Text of one byte a character, all below 128, with a varint length.
    package mutating func readASCII(max: Int) throws(WireError) -> String {
        let text = try readString(max: max)
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { throw .invalid("ASCII") }
        return text
    }

    /// UTF-16, low byte first, with a varint length in bytes.
    package mutating func readUTF16(max: Int) throws(WireError) -> String {
        let span = try readBufferSpan(max: max)
        guard span.count & 1 == 0 else { throw .invalid("UTF-16 length") }
        var units: [UInt16] = []
        units.reserveCapacity(span.count / 2)
        for index in stride(from: 0, to: span.count, by: 2) {
            units.append(UInt16(span[index]) | UInt16(span[index &+ 1]) &<< 8)
        }
        guard let text = String(validating: units, as: UTF16.self) else { throw .invalid("UTF-16") }
        return text
    }
}

extension WireWriter {
    /// UTF-8 text with a varint length in bytes.
    package mutating func writeString(_ text: String) {
        writeUInt(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// UTF-16, low byte first, with a varint length in bytes.
    package mutating func writeUTF16(_ text: String) {
        writeUInt(UInt64(text.utf16.count * 2))
        for unit in text.utf16 { writeUInt16(unit) }
    }
}
