package import Wire

/// A value that travels inside a DHT packet.
///
/// Readers ignore what follows the last field, so that later versions may add to it.
package protocol DHTMessage: Equatable, Sendable {
    init(from reader: inout WireReader) throws(WireError)
    func encode(into writer: inout WireWriter)
}

extension DHTMessage {
    package init(decoding bytes: Span<UInt8>) throws(WireError) {
        var reader = WireReader(bytes)
        try self.init(from: &reader)
    }

    package init(decoding bytes: [UInt8]) throws(WireError) {
        try self.init(decoding: bytes.span)
    }

    package func encoded(reserving capacity: Int = 128) -> [UInt8] {
        var writer = WireWriter(reserving: capacity)
        encode(into: &writer)
        return writer.bytes
    }
}

extension WireReader {
    /// A count and that many IPv4 endpoints of six bytes.
    mutating func readEndpoints(max: Int) throws(WireError) -> [NetworkEndpoint] {
        let count = try readCount(max: max, minimumElementSize: 6)
        var endpoints: [NetworkEndpoint] = []
        endpoints.reserveCapacity(count)
        for _ in 0..<count { try endpoints.append(readIPv4Endpoint()) }
        return endpoints
    }
}

extension WireWriter {
    /// - Precondition: all are IPv4.
    mutating func writeEndpoints(_ endpoints: [NetworkEndpoint]) {
        writeUInt(endpoints.count)
        for endpoint in endpoints { writeEndpointBytes(endpoint) }
    }
}
