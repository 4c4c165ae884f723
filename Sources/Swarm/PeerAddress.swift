/// Where a peer may be reached: a host (name or number) and a port, written `HOST:PORT`, with an
/// IPv6 number in brackets.
package struct PeerAddress: Hashable, Sendable {
    /// 1 to 253 bytes; never with brackets.
    package let host: String
    /// 0 stands for "any free port" and is good for listening only.
    package let port: UInt16

    /// All addresses of this machine, IPv6 and IPv4, and any free port: for listening only.
    package static let everywhere = PeerAddress(host: "::", port: 0)

    package init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// - Returns: nil unless `text` is `HOST:PORT` with a host of letters, digits, dots and
    ///   hyphens, or an IPv6 number in brackets.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count <= Self.lengthMax, let colon = text.lastIndex(of: ":"),
            let port = Self.port(text[text.index(after: colon)...])
        else { return nil }
        let host = text[..<colon]
        if host.first == "[", host.last == "]" {
            let number = host.dropFirst().dropLast()
            guard number.contains(":"), number.utf8.allSatisfy(Self.isIPv6Byte) else { return nil }
            self.init(host: String(number), port: port)
        } else {
            guard !host.isEmpty, host.first != "-", host.utf8.allSatisfy(Self.isNameByte) else {
                return nil
            }
            self.init(host: String(host), port: port)
        }
    }

    private static let lengthMax = 253 + 2 + 6

    private static func port(_ text: some StringProtocol) -> UInt16? {
        // UInt16's own parser also takes a sign.
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            ? UInt16(text) : nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private static func isIPv6Byte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: ":"):
            true
        default: false
        }
    }
}

extension PeerAddress: CustomStringConvertible {
    package var description: String {
        host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
