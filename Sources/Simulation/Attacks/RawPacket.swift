internal import Base
internal import DHT
internal import Wire

/// DHT packets as an attacker makes and reads them: any field can be anything (`dht.md` 3).
enum RawPacket {
    static func request(
        _ command: DHTCommand, to: NetworkEndpoint, transaction: UInt16 = 1, id: Bytes32? = nil,
        token: Bytes32? = nil, target: Bytes32? = nil, value: [UInt8]? = nil
    ) -> [UInt8] {
        var writer = WireWriter(reserving: 256)
        writer.writeUInt8(0x03)
        writer.writeUInt8(
            (id == nil ? 0 : 1) | (token == nil ? 0 : 2) | (command.isInternal ? 4 : 0)
                | (target == nil ? 0 : 8) | (value == nil ? 0 : 16))
        writer.writeUInt16(transaction)
        writer.writeEndpointBytes(to)
        if let id { writer.writeBytes32(id) }
        if let token { writer.writeBytes32(token) }
        writer.writeUInt(command.number)
        if let target { writer.writeBytes32(target) }
        if let value { writer.writeBuffer(value) }
        return writer.bytes
    }

    /// The answer to a PING.
    static func pong(transaction: UInt16, to: NetworkEndpoint, id: Bytes32) -> [UInt8] {
        var writer = WireWriter(reserving: 64)
        writer.writeUInt8(0x13)
        writer.writeUInt8(1)
        writer.writeUInt16(transaction)
        writer.writeEndpointBytes(to)
        writer.writeBytes32(id)
        return writer.bytes
    }

    struct Response {
        var token: Bytes32?
        var closerCount = 0
        var error: UInt64 = 0
        var value: [UInt8]?

        /// nil for anything but a well-formed response.
        init?(_ datagram: [UInt8]) {
            do {
                var reader = WireReader(datagram.span)
                guard try reader.readUInt8() == 0x13 else { return nil }
                let flags = try reader.readUInt8()
                try reader.skip(8)
                if flags & 1 != 0 { try reader.skip(Bytes32.count) }
                if flags & 2 != 0 { token = try reader.readBytes32() }
                if flags & 4 != 0 {
                    closerCount = try reader.readCount(minimumElementSize: 6)
                    try reader.skip(6 * closerCount)
                }
                if flags & 8 != 0 { error = try reader.readUInt() }
                if flags & 16 != 0 { value = try reader.readBuffer(max: 65535) }
            } catch {
                return nil
            }
        }
    }
}
