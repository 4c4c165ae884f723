import Base
import Foundation
import Testing
import Wire

/// The published encodings of compact-encoding 3.2, both ways.
struct PublishedVectorTests {
    struct Case: Decodable, CustomTestStringConvertible {
        let name: String
        let type: String
        let `in`: JSONValue?
        let bytes: String?
        let decoded: JSONValue?
        let error: String?

        var testDescription: String { name }
        /// In the 2.x line an absent buffer was allowed, and an empty one read as absent.
        var isOldLine: Bool { name.contains("2.19.2") }
        var isDecodeOnly: Bool { name.hasPrefix("decode ") }
    }

    static let cases: [Case] = {
        guard
            let url = Bundle.module.url(
                forResource: "compact-encoding", withExtension: "json", subdirectory: "Vectors"),
            let data = try? Data(contentsOf: url),
            let cases = try? JSONDecoder().decode([Case].self, from: data)
        else { return [] }
        return cases
    }()

    @Test func `the vectors are there`() { #expect(Self.cases.count == 202) }

    @Test(arguments: cases)
    func `a value encodes to the published bytes`(vector: Case) throws {
        guard !vector.isDecodeOnly else { return }
        guard let expected = vector.bytes else {
            // Version 3 refuses an absent buffer; here its type does.
            #expect(vector.name == "buffer null (compact-encoding 3)")
            return
        }
        var writer = WireWriter()
        let type = vector.isOldLine ? "optionalBuffer" : vector.type
        try write(vector.in ?? .null, type, into: &writer)
        #expect(writer.bytes.hex == expected)
    }

    @Test(arguments: cases)
    func `published bytes decode to the value`(vector: Case) throws {
        guard let hex = vector.bytes, let bytes = [UInt8](hex: hex) else { return }
        var reader = WireReader(bytes.span)
        let type = vector.isOldLine ? "optionalBuffer" : vector.type
        if let decoded = try outcome(type, from: &reader) {
            #expect(vector.error == nil)
            #expect(decoded == vector.decoded ?? .null)
            let isAtEnd = reader.isAtEnd
            #expect(isAtEnd)
        } else {
            // What the reference reads with lost precision is refused here.
            let isLossy =
                try vector.type == "uint"
                && (vector.decoded?.number() ?? 0) >= 9_007_199_254_740_992
            #expect(vector.error != nil || isLossy)
        }
    }

    @Test(arguments: cases)
    func `every published value cut short is refused or shorter`(vector: Case) throws {
        guard let hex = vector.bytes, let bytes = [UInt8](hex: hex) else { return }
        for count in 0..<bytes.count {
            let cut = Array(bytes[..<count])
            var reader = WireReader(cut.span)
            let decoded = try outcome(vector.type, from: &reader)
            if vector.type == "raw" { continue }
            #expect(decoded == nil, "cut to \(count) bytes")
        }
    }

    /// Nil if the bytes were refused.
    private func outcome(_ type: String, from reader: inout WireReader) throws -> JSONValue? {
        do {
            return try read(type, from: &reader)
        } catch is WireError {
            return nil
        }
    }

    private func argument(of type: String) -> String {
        String(type.drop { $0 != "(" }.dropFirst().dropLast())
    }

    private func write(_ value: JSONValue, _ type: String, into writer: inout WireWriter) throws {
        func unsigned() throws -> UInt64 { try UInt64(value.number()) }
        func signed() throws -> Int64 { try Int64(value.number()) }
        func endpoint() throws -> NetworkEndpoint {
            let members = try value.members()
            let address = try #require(NetworkAddress(members["host"]?.text() ?? ""))
            return try NetworkEndpoint(
                address: address, port: UInt16(members["port"]?.number() ?? -1))
        }
        switch type {
        case "uint": writer.writeUInt(try unsigned())
        case "int", "date": writer.writeInt(try signed())
        case "uint8": writer.writeUInt8(try UInt8(unsigned()))
        case "uint16", "port": writer.writeUInt16(try UInt16(unsigned()))
        case "uint24": writer.writeUInt24(try UInt32(unsigned()))
        case "uint32": writer.writeUInt32(try UInt32(unsigned()))
        case "uint32be": writer.writeUInt32BE(try UInt32(unsigned()))
        case "uint40": writer.writeUInt40(try unsigned())
        case "uint48": writer.writeUInt48(try unsigned())
        case "uint56": writer.writeUInt56(try unsigned())
        case "uint64": writer.writeUInt64(try unsigned())
        case "uint64be": writer.writeUInt64BE(try unsigned())
        case "int8": writer.writeInt8(try Int8(signed()))
        case "int16": writer.writeInt16(try Int16(signed()))
        case "int32": writer.writeInt32(try Int32(signed()))
        case "int64": writer.writeInt64(try signed())
        case "biguint64": writer.writeUInt64(try #require(UInt64(value.text())))
        case "bigint64": writer.writeInt64(try #require(Int64(value.text())))
        case "float32": writer.writeFloat(try Float(value.number()))
        case "float64": writer.writeDouble(try value.number())
        case "bool": writer.writeBool(value == .bool(true))
        case "string", "ascii": writer.writeString(try value.text())
        case "utf16le": writer.writeUTF16(try value.text())
        case "json": writer.writeString(#"{"a":1,"b":[true,null]}"#)
        case "buffer", "uint8array", "hex": writer.writeBuffer(try value.bytes())
        case "binary":
            writer.writeBuffer(try [UInt8](hex: value.text()) ?? Array(value.text().utf8))
        case "base64": writer.writeBuffer([UInt8](try #require(Data(base64Encoded: value.text()))))
        case "optionalBuffer": writer.writeOptionalBuffer(value == .null ? nil : try value.bytes())
        case "raw", "fixed64", "fixed(6)": writer.writeRaw(try value.bytes())
        case "fixed32": writer.writeBytes32(try #require(Bytes32(value.bytes())))
        case "uint32array":
            let bytes = try value.bytes()
            var reader = WireReader(bytes.span)
            var words: [UInt32] = []
            while !reader.isAtEnd { try words.append(reader.readUInt32()) }
            writer.writeUInt32Array(words)
        case "ipv4", "ipv6":
            writer.writeAddressBytes(try #require(NetworkAddress(value.text())))
        case "ip": writer.writeAddress(try #require(NetworkAddress(value.text())))
        case "ipv4Address", "ipv6Address": writer.writeEndpointBytes(try endpoint())
        case "ipAddress": writer.writeEndpoint(try endpoint())
        case "lexint": writer.writeLexicalInteger(try unsigned())
        case "any": writer.writeValue(try selfDescribing(value))
        case "none": break
        case "stringRecord":
            let members = try value.members().sorted { $0.key < $1.key }
            writer.writeUInt(members.count)
            for (name, member) in members {
                writer.writeString(name)
                writer.writeString(try member.text())
            }
        case _ where type.hasPrefix("array("):
            let elements = try value.elements()
            writer.writeUInt(elements.count)
            for element in elements { try write(element, argument(of: type), into: &writer) }
        case _ where type.hasPrefix("frame("):
            var inner = WireWriter()
            try write(value, argument(of: type), into: &inner)
            writer.writeBuffer(inner.bytes)
        default: Issue.record("unknown type \(type)")
        }
    }

    private func read(_ type: String, from reader: inout WireReader) throws -> JSONValue {
        let max = 1 << 16
        func endpoint(_ value: NetworkEndpoint) -> JSONValue {
            var family = 6.0
            if case .v4 = value.address { family = 4 }
            return .object([
                "host": .string(value.address.description), "family": .number(family),
                "port": .number(Double(value.port)),
            ])
        }
        switch type {
        case "uint": return try .number(Double(reader.readUInt()))
        case "int", "date": return try .number(Double(reader.readInt()))
        case "uint8": return try .number(Double(reader.readUInt8()))
        case "uint16", "port": return try .number(Double(reader.readUInt16()))
        case "uint24": return try .number(Double(reader.readUInt24()))
        case "uint32": return try .number(Double(reader.readUInt32()))
        case "uint32be": return try .number(Double(reader.readUInt32BE()))
        case "uint40": return try .number(Double(reader.readUInt40()))
        case "uint48": return try .number(Double(reader.readUInt48()))
        case "uint56": return try .number(Double(reader.readUInt56()))
        case "uint64": return try .number(Double(reader.readUInt64()))
        case "uint64be": return try .number(Double(reader.readUInt64BE()))
        case "int8": return try .number(Double(reader.readInt8()))
        case "int16": return try .number(Double(reader.readInt16()))
        case "int32": return try .number(Double(reader.readInt32()))
        case "int64": return try .number(Double(reader.readInt64()))
        case "biguint64": return try .string(String(reader.readUInt64()))
        case "bigint64": return try .string(String(reader.readInt64()))
        case "float32": return try .number(Double(reader.readFloat()))
        case "float64": return try .number(reader.readDouble())
        case "bool": return try .bool(reader.readBool())
        case "string": return try .string(reader.readString(max: max))
        case "ascii": return try .string(reader.readASCII(max: max))
        case "utf16le": return try .string(reader.readUTF16(max: max))
        case "json":
            let text = try reader.readString(max: max)
            return try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        case "buffer", "uint8array", "hex", "binary":
            return try .string(reader.readBuffer(max: max).hex)
        case "base64":
            return try .string(Data(reader.readBuffer(max: max)).base64EncodedString())
        case "optionalBuffer":
            return try reader.readOptionalBuffer(max: max).map { .string($0.hex) } ?? .null
        case "raw": return .string(reader.readRest().hex)
        case "fixed32": return try .string(reader.readBytes32().hex)
        case "fixed64": return try .string(reader.readBytes(64).hex)
        case "fixed(6)": return try .string(reader.readBytes(6).hex)
        case "uint32array":
            var writer = WireWriter()
            for word in try reader.readUInt32Array() { writer.writeUInt32(word) }
            return .string(writer.bytes.hex)
        case "ipv4": return try .string(reader.readIPv4().description)
        case "ipv6": return try .string(reader.readIPv6().description)
        case "ip": return try .string(reader.readAddress().description)
        case "ipv4Address": return try endpoint(reader.readIPv4Endpoint())
        case "ipv6Address": return try endpoint(reader.readIPv6Endpoint())
        case "ipAddress": return try endpoint(reader.readEndpoint())
        case "lexint": return try .number(Double(reader.readLexicalInteger()))
        case "any": return try plain(reader.readValue())
        case "none": return .null
        case "stringRecord":
            var members: [String: JSONValue] = [:]
            for _ in 0..<(try reader.readCount(minimumElementSize: 2)) {
                let name = try reader.readString(max: max)
                members[name] = try .string(reader.readString(max: max))
            }
            return .object(members)
        case _ where type.hasPrefix("array("):
            var elements: [JSONValue] = []
            for _ in 0..<(try reader.readCount()) {
                try elements.append(read(argument(of: type), from: &reader))
            }
            return .array(elements)
        case _ where type.hasPrefix("frame("):
            let frame = try reader.readBuffer(max: max)
            var inner = WireReader(frame.span)
            return try read(argument(of: type), from: &inner)
        default:
            Issue.record("unknown type \(type)")
            return .null
        }
    }

    private func selfDescribing(_ value: JSONValue) throws -> WireValue {
        switch value {
        case .null: .null
        case .bool(let bool): .bool(bool)
        case .string(let text): .string(text)
        case .number(let number) where number != number.rounded(): .double(number)
        case .number(let number) where number < 0: .signed(Int64(number))
        case .number(let number): .unsigned(UInt64(number))
        case .array(let elements): .array(try elements.map(selfDescribing))
        case .object(let members):
            .object(
                try members.sorted { $0.key < $1.key }.map { .init($0, try selfDescribing($1)) })
        }
    }

    private func plain(_ value: WireValue) -> JSONValue {
        switch value {
        case .null: .null
        case .bool(let bool): .bool(bool)
        case .string(let text): .string(text)
        case .buffer(let bytes): .string(bytes.hex)
        case .unsigned(let number): .number(Double(number))
        case .signed(let number), .date(let number): .number(Double(number))
        case .double(let number): .number(number)
        case .array(let elements): .array(elements.map(plain))
        case .object(let members):
            .object(Dictionary(members.map { ($0.name, plain($0.value)) }) { _, last in last })
        }
    }
}
