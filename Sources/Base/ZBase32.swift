/// The text form of keys: z-base-32 (O'Whielacronx 2009), 52 characters for 32 bytes.
package enum ZBase32 {
    private static let alphabet = Array("ybndrfg8ejkmcpqxot1uwisza345h769".utf8)

    /// Five bits a character, the first bit first; the last character is filled up with zeros.
    package static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 8 + 4) / 5)
        var bits = 0
        var pending: UInt32 = 0
        for byte in bytes {
            pending = pending << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(alphabet[Int(pending >> UInt32(bits)) & 31])
            }
            pending &= 31
        }
        if bits > 0 { text.append(alphabet[Int(pending << UInt32(5 - bits)) & 31]) }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of `text`, upper case accepted.
    ///
    /// - Returns: nil for other characters, and for a length or last bits that no bytes encode to.
    package static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits = 0
        var pending: UInt32 = 0
        for character in text.utf8 {
            let isUpper = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(character)
            let lower = isUpper ? character | 0x20 : character
            guard let digit = alphabet.firstIndex(of: lower) else { return nil }
            pending = pending << 5 | UInt32(digit)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: pending >> UInt32(bits)))
            }
            pending &= 0xff
        }
        guard bits < 5, pending & (1 << UInt32(bits) - 1) == 0 else { return nil }
        return bytes
    }
}
