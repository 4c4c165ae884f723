/// Text from elsewhere made harmless for terminals, logs and JSON (threat T19).
///
/// Control characters, bidirectional overrides, invisible characters and bytes that are not UTF-8
/// are written as C and JSON write them, so that what is shown cannot move a cursor, reorder a line
/// or hide a part of a name.
package enum EscapedText {
    /// For people: `\n`, `\x1b`, `\u202e`, `\U000e0001`; a backslash is doubled, so that no
    /// name can pass for an escaped one.
    package static func escaped(_ text: String) -> String { escaped(Array(text.utf8).span) }

    package static func escaped(_ bytes: Span<UInt8>) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            guard let (scalar, length) = scalar(in: bytes, at: index) else {
                appendHex(UInt32(bytes[index]), digits: 2, prefix: "\\x", to: &result)
                index += 1
                continue
            }
            appendEscaped(scalar, to: &result)
            index += length
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Escaped and in double quotes, if a reader could not tell where it ends; else just escaped.
    package static func quoted(_ text: String) -> String {
        let plain = escaped(text)
        let isPlain =
            !plain.isEmpty
            && plain.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "\"") && $0 != 0x27 }
            && plain == text
        return isPlain ? plain : "\"" + plain.replacing("\"", with: "\\\"") + "\""
    }

    /// JSON with every dangerous character as `\uXXXX`; they can only stand inside its strings.
    package static func json(_ json: [UInt8]) -> [UInt8] {
        let bytes = json.span
        var result: [UInt8] = []
        result.reserveCapacity(json.count)
        var index = 0
        while index < bytes.count {
            guard bytes[index] >= 0x7f, let (scalar, length) = scalar(in: bytes, at: index) else {
                result.append(bytes[index])
                index += 1
                continue
            }
            if isDangerous(scalar) {
                for unit in String(scalar).utf16 {
                    appendHex(UInt32(unit), digits: 4, prefix: "\\u", to: &result)
                }
            } else {
                for offset in 0..<length { result.append(bytes[index + offset]) }
            }
            index += length
        }
        return result
    }

    private static func appendEscaped(_ scalar: Unicode.Scalar, to result: inout [UInt8]) {
        switch scalar {
        case "\\": result.append(contentsOf: "\\\\".utf8)
        case "\n": result.append(contentsOf: "\\n".utf8)
        case "\t": result.append(contentsOf: "\\t".utf8)
        case "\r": result.append(contentsOf: "\\r".utf8)
        default:
            if !isDangerous(scalar) {
                result.append(contentsOf: String(scalar).utf8)
            } else if scalar.value < 0x80 {
                appendHex(scalar.value, digits: 2, prefix: "\\x", to: &result)
            } else if scalar.value <= 0xffff {
                appendHex(scalar.value, digits: 4, prefix: "\\u", to: &result)
            } else {
                appendHex(scalar.value, digits: 8, prefix: "\\U", to: &result)
            }
        }
    }

    /// Controls, format characters (bidi, zero width, tags), line separators, private use,
    /// unassigned, invisible fillers and spaces that look like nothing or like a plain space.
    static func isDangerous(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value >= 0x20 && scalar.value < 0x7f { return false }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
            .unassigned, .spaceSeparator:
            return true
        default:
            return scalar.properties.isDefaultIgnorableCodePoint
        }
    }

    private static func appendHex(
        _ value: UInt32, digits: Int, prefix: String, to result: inout [UInt8]
    ) {
        result.append(contentsOf: prefix.utf8)
        let text = String(value, radix: 16)
        for _ in 0..<max(0, digits - text.utf8.count) { result.append(UInt8(ascii: "0")) }
        result.append(contentsOf: text.utf8)
    }

    /// The well-formed UTF-8 sequence at `index`: shortest form, no surrogates (RFC 3629).
    private static func scalar(
        in bytes: Span<UInt8>, at index: Int
    ) -> (Unicode.Scalar, length: Int)? {
        let first = bytes[index]
        let length: Int
        let least: UInt32
        var value: UInt32
        switch first {
        case 0x00...0x7f: return (Unicode.Scalar(first), 1)
        case 0xc2...0xdf: (length, least, value) = (2, 0x80, UInt32(first & 0x1f))
        case 0xe0...0xef: (length, least, value) = (3, 0x800, UInt32(first & 0x0f))
        case 0xf0...0xf4: (length, least, value) = (4, 0x10000, UInt32(first & 0x07))
        default: return nil
        }
        guard index + length <= bytes.count else { return nil }
        for offset in 1..<length {
            let byte = bytes[index + offset]
            guard byte & 0xc0 == 0x80 else { return nil }
            value = value << 6 | UInt32(byte & 0x3f)
        }
        guard value >= least, let scalar = Unicode.Scalar(value) else { return nil }
        return (scalar, length)
    }
}
