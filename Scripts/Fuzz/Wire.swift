// modules: Base Wire
import Base
import Wire

/// The first byte picks what the rest is read as; what is read is written and read again.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    guard let kind = bytes.first else { return 0 }
    var reader = WireReader(bytes.span.extracting(droppingFirst: 1))
    do {
        try read(kind, from: &reader)
    } catch {
        // Refused: what outside data may be.
    }
    return 0
}

private func read(_ kind: UInt8, from reader: inout WireReader) throws(WireError) {
    var writer = WireWriter()
    switch kind % 16 {
    case 0:
        let value = try reader.readValue()
        writer.writeValue(value)
        var again = WireReader(writer.bytes.span)
        let copy = try again.readValue()
        var second = WireWriter()
        second.writeValue(copy)
        // Compared as bytes: a NaN is not equal to itself.
        precondition(second.bytes == writer.bytes, "\(value) came back as \(copy)")
    case 1:
        while !reader.isAtEnd { try writer.writeUInt(reader.readUInt()) }
    case 2:
        while !reader.isAtEnd { try writer.writeInt(reader.readInt()) }
    case 3:
        while !reader.isAtEnd { try writer.writeString(reader.readString(max: 1 << 20)) }
    case 4:
        while !reader.isAtEnd { try writer.writeUTF16(reader.readUTF16(max: 1 << 20)) }
    case 5:
        while !reader.isAtEnd { try writer.writeLexicalInteger(reader.readLexicalInteger()) }
    case 6:
        while !reader.isAtEnd { try writer.writeBigUInt(reader.readBigUInt(max: .max)) }
    case 7:
        while !reader.isAtEnd { try writer.writeUInt32Array(reader.readUInt32Array()) }
    case 8:
        while !reader.isAtEnd {
            let endpoint = try reader.readEndpoint()
            writer.writeEndpoint(endpoint)
            precondition(NetworkAddress(endpoint.address.description) == endpoint.address)
        }
    case 9:
        while !reader.isAtEnd { try writer.writeBuffer(reader.readBuffer(max: .max)) }
    case 10:
        while !reader.isAtEnd { try writer.writeOptionalBuffer(reader.readOptionalBuffer(max: 99)) }
    case 11:
        let count = try reader.readCount(max: .max, minimumElementSize: 3)
        for _ in 0..<count { try writer.writeUInt24(reader.readUInt24()) }
    case 12:
        while !reader.isAtEnd {
            try writer.writeBytes32(reader.readBytes32())
            try writer.writeInt64(reader.readInt64())
            try writer.writeInt16(reader.readInt16())
        }
    case 13:
        try reader.skip(Int(truncatingIfNeeded: reader.readUInt64()))
    case 14:
        let text = try reader.readASCII(max: 1 << 10)
        if let address = NetworkAddress(text) {
            precondition(NetworkAddress(address.description) == address)
        }
        if let bytes = ZBase32.decode(text) {
            precondition(ZBase32.encode(bytes) == text.lowercased())
        }
        _ = [UInt8](hex: text)
    default:
        _ = reader.readRest()
    }
}
