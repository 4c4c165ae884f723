internal import Base
internal import Wire

/// A datagram of the DHT (`dht.md` 3): the low four bits of the first byte are the version, the high
/// ones say which kind.
enum DHTPacket {
    static let requestByte: UInt8 = 0x03
    static let responseByte: UInt8 = 0x13

    struct Request: DHTMessage {
        var transaction: UInt16
        /// Where the sender sent this.
        var to: NetworkEndpoint
        /// As written; nobody has compared it with the source.
        var id: Bytes32?
        var body: DHTRequest
    }

    struct Response: DHTMessage {
        var transaction: UInt16
        var to: NetworkEndpoint
        var id: Bytes32?
        var token: Bytes32?
        var closerNodes: [NetworkEndpoint] = []
        var error: UInt64 = 0
        var value: [UInt8]?
    }
}

/// Presence of fields; bits 2 and 3 differ between the directions.
private enum Flag {
    static let id: UInt64 = 1
    static let token: UInt64 = 2
    static let isInternal: UInt64 = 4
    static let target: UInt64 = 8
    static let closerNodes: UInt64 = 4
    static let error: UInt64 = 8
    static let value: UInt64 = 16
}

extension DHTPacket.Request {
    /// Reads what follows the first byte.
    init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        transaction = try reader.readUInt16()
        to = try reader.readIPv4Endpoint()
        id = flags & Flag.id != 0 ? try reader.readBytes32() : nil
        let token = flags & Flag.token != 0 ? try reader.readBytes32() : nil
        let command = try DHTCommand(
            isInternal: flags & Flag.isInternal != 0, number: reader.readUInt())
        let target = flags & Flag.target != 0 ? try reader.readBytes32() : nil
        let value =
            flags & Flag.value != 0 ? try reader.readBuffer(max: DHTLimits.valueSizeMax) : nil
        body = DHTRequest(command, target: target, value: value, token: token)
    }

    /// Writes the whole datagram.
    func encode(into writer: inout WireWriter) {
        var flags: UInt64 = 0
        if id != nil { flags |= Flag.id }
        if body.token != nil { flags |= Flag.token }
        if body.command.isInternal { flags |= Flag.isInternal }
        if body.target != nil { flags |= Flag.target }
        if body.value != nil { flags |= Flag.value }
        writer.writeUInt8(DHTPacket.requestByte)
        writer.writeUInt(flags)
        writer.writeUInt16(transaction)
        writer.writeEndpointBytes(to)
        if let id { writer.writeBytes32(id) }
        if let token = body.token { writer.writeBytes32(token) }
        writer.writeUInt(body.command.number)
        if let target = body.target { writer.writeBytes32(target) }
        if let value = body.value { writer.writeBuffer(value) }
    }
}

extension DHTPacket.Response {
    /// Reads what follows the first byte. Closer nodes beyond the limit are passed over.
    init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        transaction = try reader.readUInt16()
        to = try reader.readIPv4Endpoint()
        id = flags & Flag.id != 0 ? try reader.readBytes32() : nil
        token = flags & Flag.token != 0 ? try reader.readBytes32() : nil
        if flags & Flag.closerNodes != 0 {
            let count = try reader.readCount(minimumElementSize: 6)
            let kept = Swift.min(count, DHTLimits.closerNodesMax)
            closerNodes.reserveCapacity(kept)
            for _ in 0..<kept { try closerNodes.append(reader.readIPv4Endpoint()) }
            try reader.skip(6 * (count - kept))
        }
        error = flags & Flag.error != 0 ? try reader.readUInt() : 0
        value = flags & Flag.value != 0 ? try reader.readBuffer(max: DHTLimits.valueSizeMax) : nil
    }

    /// Writes the whole datagram.
    func encode(into writer: inout WireWriter) {
        var flags: UInt64 = 0
        if id != nil { flags |= Flag.id }
        if token != nil { flags |= Flag.token }
        if !closerNodes.isEmpty { flags |= Flag.closerNodes }
        if error != 0 { flags |= Flag.error }
        if value != nil { flags |= Flag.value }
        writer.writeUInt8(DHTPacket.responseByte)
        writer.writeUInt(flags)
        writer.writeUInt16(transaction)
        writer.writeEndpointBytes(to)
        if let id { writer.writeBytes32(id) }
        if let token { writer.writeBytes32(token) }
        if !closerNodes.isEmpty { writer.writeEndpoints(closerNodes) }
        if error != 0 { writer.writeUInt(error) }
        if let value { writer.writeBuffer(value) }
    }

    /// The bytes that `encode` writes.
    var encodedSize: Int {
        var size = 10
        if id != nil { size += Bytes32.count }
        if token != nil { size += Bytes32.count }
        if !closerNodes.isEmpty {
            size += wireSize(ofUInt: UInt64(closerNodes.count)) + 6 * closerNodes.count
        }
        if error != 0 { size += wireSize(ofUInt: error) }
        if let value { size += wireSize(ofUInt: UInt64(value.count)) + value.count }
        return size
    }
}

extension DatagramBatch {
    /// Appends one encoded message as a datagram.
    mutating func append(
        _ message: some DHTMessage, to destination: NetworkEndpoint, via socket: SocketID
    ) {
        // The buffer is handed over and back, not copied.
        var writer = WireWriter(continuing: [])
        swap(&writer.bytes, &bytes)
        message.encode(into: &writer)
        swap(&writer.bytes, &bytes)
        close(to: destination, via: socket)
    }
}
