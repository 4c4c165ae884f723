package import Wire

/// Where a handshake or holepunch message is on its way (`connect.md` 2.1).
package enum RelayMode: UInt8, Sendable {
    /// Client to relay, or to the server itself.
    case fromClient = 0
    /// Server to the first relay.
    case fromServer = 1
    /// First relay to the server, or to a second relay.
    case fromRelay = 2
    case fromSecondRelay = 3
    /// To the client, as a response.
    case reply = 4

    init(from reader: inout WireReader) throws(WireError) {
        let number = try reader.readUInt()
        guard let mode = RelayMode(rawValue: UInt8(clamping: number)) else {
            throw .invalid("relay mode")
        }
        self = mode
    }
}

/// The value of PEER_HANDSHAKE requests and responses (`connect.md` 2.1).
package struct HandshakeMessage: DHTMessage {
    package var mode: RelayMode
    /// A Noise message.
    package var noise: [UInt8]
    /// `.fromRelay`: the client's address as the relay sees it. `.fromServer`: the same, echoed.
    /// `.reply`: the server's address as the relay sees it.
    package var peerAddress: NetworkEndpoint?
    /// `.fromClient`: please forward there. `.fromSecondRelay`: the first relay's address.
    package var relayAddress: NetworkEndpoint?

    package init(
        mode: RelayMode, noise: [UInt8], peerAddress: NetworkEndpoint? = nil,
        relayAddress: NetworkEndpoint? = nil
    ) {
        self.mode = mode
        self.noise = noise
        self.peerAddress = peerAddress
        self.relayAddress = relayAddress
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        mode = try RelayMode(from: &reader)
        noise = try reader.readBuffer(max: DHTLimits.valueSizeMax)
        peerAddress = flags & 1 != 0 ? try reader.readIPv4Endpoint() : nil
        relayAddress = flags & 2 != 0 ? try reader.readIPv4Endpoint() : nil
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeUInt8((peerAddress == nil ? 0 : 1) | (relayAddress == nil ? 0 : 2))
        writer.writeUInt8(mode.rawValue)
        writer.writeBuffer(noise)
        if let peerAddress { writer.writeEndpointBytes(peerAddress) }
        if let relayAddress { writer.writeEndpointBytes(relayAddress) }
    }
}

/// The value of PEER_HOLEPUNCH requests and responses (`connect.md` 4.3).
package struct HolepunchMessage: DHTMessage {
    package var mode: RelayMode
    /// The server's number for the handshake; 0 in what comes from the server.
    package var id: UInt64
    /// Sealed with the secret of the two ends.
    package var payload: [UInt8]
    /// `.fromClient`: please forward there. Otherwise as in `HandshakeMessage`.
    package var peerAddress: NetworkEndpoint?

    package init(
        mode: RelayMode, id: UInt64, payload: [UInt8], peerAddress: NetworkEndpoint? = nil
    ) {
        self.mode = mode
        self.id = id
        self.payload = payload
        self.peerAddress = peerAddress
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        mode = try RelayMode(from: &reader)
        id = try reader.readUInt()
        payload = try reader.readBuffer(max: DHTLimits.valueSizeMax)
        peerAddress = flags & 1 != 0 ? try reader.readIPv4Endpoint() : nil
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeUInt8(peerAddress == nil ? 0 : 1)
        writer.writeUInt8(mode.rawValue)
        writer.writeUInt(id)
        writer.writeBuffer(payload)
        if let peerAddress { writer.writeEndpointBytes(peerAddress) }
    }
}
