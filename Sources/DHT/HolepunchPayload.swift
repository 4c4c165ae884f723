package import Base
package import Wire

/// What the two sides of a hole punch tell each other, sealed, through their relays
/// (`connect.md` 4.3).
package struct HolepunchPayload: DHTMessage {
    package var error = ConnectErrorCode.none
    /// The sender's own kind.
    package var natKind = NATKind.unknown
    /// The client counts up from 0; the server echoes the highest that it saw.
    package var round: UInt64 = 0
    package var isConnected = false
    /// The sender punches now or is about to.
    package var isPunching = false
    /// The sender's punch socket as seen from outside.
    package var addresses: [NetworkEndpoint]?
    /// From a client: the address of the server's to which it has opened a session.
    package var remoteAddress: NetworkEndpoint?
    /// To be echoed.
    package var token: Bytes32?
    /// The other side's token, echoed.
    package var remoteToken: Bytes32?

    package init() {}

    /// Unknown flags and trailing bytes are ignored.
    package init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        error = try ConnectErrorCode(rawValue: reader.readUInt())
        natKind = try NATKind(wire: reader.readUInt())
        round = try reader.readUInt()
        isConnected = flags & 1 != 0
        isPunching = flags & 2 != 0
        if flags & 4 != 0 {
            addresses = try reader.readEndpoints(max: HyperDHTLimits.payloadAddressesMax)
        }
        if flags & 8 != 0 { remoteAddress = try reader.readIPv4Endpoint() }
        if flags & 16 != 0 { token = try reader.readBytes32() }
        if flags & 32 != 0 { remoteToken = try reader.readBytes32() }
    }

    package func encode(into writer: inout WireWriter) {
        var flags: UInt64 = (isConnected ? 1 : 0) | (isPunching ? 2 : 0)
        if addresses != nil { flags |= 4 }
        if remoteAddress != nil { flags |= 8 }
        if token != nil { flags |= 16 }
        if remoteToken != nil { flags |= 32 }
        writer.writeUInt(flags)
        writer.writeUInt(error.rawValue)
        writer.writeUInt(natKind.rawValue)
        writer.writeUInt(round)
        if let addresses { writer.writeEndpoints(addresses) }
        if let remoteAddress { writer.writeEndpointBytes(remoteAddress) }
        if let token { writer.writeBytes32(token) }
        if let remoteToken { writer.writeBytes32(remoteToken) }
    }
}
