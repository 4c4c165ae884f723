/// A self-describing value: a varint type, then the value.
package enum WireValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case string(String)
    case buffer([UInt8])
    /// At most `Limits.integerMax`.
    case unsigned(UInt64)
    /// Between -2^52 and 2^52 - 1; written for negative numbers.
    case signed(Int64)
    case double(Double)
    case array([WireValue])
    /// The members in their order; a name may come twice.
    case object([Member])
    /// Milliseconds since 1970.
    case date(Int64)

    package struct Member: Equatable, Sendable {
        package var name: String
        package var value: WireValue

        package init(_ name: String, _ value: WireValue) {
            self.name = name
            self.value = value
        }
    }
}

extension WireReader {
    /// A self-describing value, nested at most `Limits.nestingMax` deep.
    package mutating func readValue() throws(WireError) -> WireValue {
        try readValue(depthLeft: Limits.nestingMax)
    }

    private mutating func readValue(depthLeft: Int) throws(WireError) -> WireValue {
        guard depthLeft > 0 else { throw .invalid("nesting: too deep") }
        switch try readUInt() {
        case 0: return .null
        case 1: return try .bool(readBool())
        case 2: return try .string(readString(max: remaining))
        case 3: return try .buffer(readBuffer(max: remaining))
        case 4: return try .unsigned(readUInt())
        case 5: return try .signed(readInt())
        case 6: return try .double(readDouble())
        case 7:
            var elements: [WireValue] = []
            for _ in 0..<(try readCount()) {
                try elements.append(readValue(depthLeft: depthLeft - 1))
            }
            return .array(elements)
        case 8:
            var members: [WireValue.Member] = []
            for _ in 0..<(try readCount(minimumElementSize: 2)) {
                let name = try readString(max: remaining)
                try members.append(.init(name, readValue(depthLeft: depthLeft - 1)))
            }
            return .object(members)
        case 9: return try .date(readInt())
        case let type: throw .tooLarge(type, limit: 9)
        }
    }
}

extension WireWriter {
    package mutating func writeValue(_ value: WireValue) {
        switch value {
        case .null:
            writeUInt8(0)
        case .bool(let bool):
            writeUInt8(1)
            writeBool(bool)
        case .string(let text):
            writeUInt8(2)
            writeString(text)
        case .buffer(let buffer):
            writeUInt8(3)
            writeBuffer(buffer)
        case .unsigned(let number):
            writeUInt8(4)
            writeUInt(number)
        case .signed(let number):
            writeUInt8(5)
            writeInt(number)
        case .double(let number):
            writeUInt8(6)
            writeDouble(number)
        case .array(let elements):
            writeUInt8(7)
            writeUInt(elements.count)
            for element in elements { writeValue(element) }
        case .object(let members):
            writeUInt8(8)
            writeUInt(members.count)
            for member in members {
                writeString(member.name)
                writeValue(member.value)
            }
        case .date(let milliseconds):
            writeUInt8(9)
            writeInt(milliseconds)
        }
    }
}
