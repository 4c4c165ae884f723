/// An IPv4 or IPv6 address. Addresses are compared as numbers, never as text.
package enum NetworkAddress: Hashable, Sendable {
    /// The four bytes as a number: a.b.c.d has a in the highest byte.
    case v4(UInt32)
    /// The sixteen bytes as two numbers, the first eight bytes in `high`.
    case v6(high: UInt64, low: UInt64)
}

extension NetworkAddress: CustomStringConvertible {
    /// Dotted decimal, or eight lower-case hexadecimal groups without leading zeros and without
    /// `::`.
    package var description: String {
        switch self {
        case .v4(let value):
            return [24, 16, 8, 0].map { String(UInt8(truncatingIfNeeded: value >> $0)) }
                .joined(separator: ".")
        case .v6(let high, let low):
            return [high, low].flatMap { half in
                [48, 32, 16, 0].map {
                    String(UInt16(truncatingIfNeeded: half >> UInt64($0)), radix: 16)
                }
            }.joined(separator: ":")
        }
    }

    /// Reads the text form; `::` may stand once for a run of zero groups.
    ///
    /// - Returns: nil unless `text` is an address.
    package init?(_ text: some StringProtocol) {
        if text.contains(":") { self.init(v6: text) } else { self.init(v4: text) }
    }

    private init?(v4 text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard part.count <= 3, part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let byte = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
        self = .v4(value)
    }

    private init?(v6 text: some StringProtocol) {
        let bytes = Array(text.utf8)
        let colon = UInt8(ascii: ":")
        let gap = bytes.indices.dropLast().first { bytes[$0] == colon && bytes[$0 + 1] == colon }
        var groups: [UInt16]
        if let gap {
            guard let head = Self.groups(bytes[..<gap]),
                let tail = Self.groups(bytes[(gap + 2)...]),
                head.count + tail.count < 8
            else { return nil }
            groups = head
            groups += repeatElement(0, count: 8 - head.count - tail.count)
            groups += tail
        } else {
            guard let all = Self.groups(bytes[...]), all.count == 8 else { return nil }
            groups = all
        }
        func half(_ range: Range<Int>) -> UInt64 {
            groups[range].reduce(0) { $0 << 16 | UInt64($1) }
        }
        self = .v6(high: half(0..<4), low: half(4..<8))
    }

    private static func groups(_ text: ArraySlice<UInt8>) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        var groups: [UInt16] = []
        for part in text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false) {
            guard (1...4).contains(part.count), !part.contains(UInt8(ascii: "+")),
                let group = UInt16(String(decoding: part, as: UTF8.self), radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups
    }
}

/// Where a peer listens: an address and a port.
package struct NetworkEndpoint: Hashable, Sendable {
    package var address: NetworkAddress
    package var port: UInt16

    package init(address: NetworkAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

extension NetworkEndpoint: CustomStringConvertible {
    /// `a.b.c.d:port` or `[groups]:port`.
    package var description: String {
        switch address {
        case .v4: "\(address):\(port)"
        case .v6: "[\(address)]:\(port)"
        }
    }
}

extension WireReader {
    package mutating func readIPv4() throws(WireError) -> NetworkAddress {
        try .v4(readUInt32BE())
    }

    package mutating func readIPv6() throws(WireError) -> NetworkAddress {
        try .v6(high: readUInt64BE(), low: readUInt64BE())
    }

    /// A family byte, then the address: 4 for IPv4; all else is IPv6.
    package mutating func readAddress() throws(WireError) -> NetworkAddress {
        try readUInt8() == 4 ? readIPv4() : readIPv6()
    }

    /// Ports are two bytes, the low one first.
    package mutating func readIPv4Endpoint() throws(WireError) -> NetworkEndpoint {
        try .init(address: readIPv4(), port: readUInt16())
    }

    package mutating func readIPv6Endpoint() throws(WireError) -> NetworkEndpoint {
        try .init(address: readIPv6(), port: readUInt16())
    }

    package mutating func readEndpoint() throws(WireError) -> NetworkEndpoint {
        try .init(address: readAddress(), port: readUInt16())
    }
}

extension WireWriter {
    /// The bytes of the address, 4 or 16, without its family.
    package mutating func writeAddressBytes(_ address: NetworkAddress) {
        switch address {
        case .v4(let value):
            writeUInt32BE(value)
        case .v6(let high, let low):
            writeUInt64BE(high)
            writeUInt64BE(low)
        }
    }

    /// A family byte, 4 or 6, then the address.
    package mutating func writeAddress(_ address: NetworkAddress) {
        switch address {
        case .v4: writeUInt8(4)
        case .v6: writeUInt8(6)
        }
        writeAddressBytes(address)
    }

    /// The address without its family, then the port: 6 or 18 bytes.
    package mutating func writeEndpointBytes(_ endpoint: NetworkEndpoint) {
        writeAddressBytes(endpoint.address)
        writeUInt16(endpoint.port)
    }

    /// The address with its family, then the port: 7 or 19 bytes.
    package mutating func writeEndpoint(_ endpoint: NetworkEndpoint) {
        writeAddress(endpoint.address)
        writeUInt16(endpoint.port)
    }
}
