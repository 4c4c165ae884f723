package import Wire

/// Where a PEER_HANDSHAKE or PEER_HOLEPUNCH message is on its way (`connect.md` 2.1).
package enum RelayMode: UInt64, Sendable {
    /// Client to relay, or client to server.
    case fromClient = 0
    /// Server to the relay that the message came by.
    case fromServer = 1
    /// Relay to server, or to a second relay.
    case fromRelay = 2
    /// Second relay to server; handshakes only.
    case fromSecondRelay = 3
    /// Relay or server to client, the only one that is a DHT response.
    case reply = 4
}

/// The value of a PEER_HANDSHAKE request or response (`connect.md` 2.1).
package struct HandshakeMessage: Equatable, Sendable {
    package var mode: RelayMode
    /// One message of Noise IK; at most `HyperDHTLimits.noiseMessageSizeMax` bytes.
    package var noise: [UInt8]
    /// From a relay or server: the client, as the relay saw it. In a reply: the server, as the relay
    /// saw it, or nil if it answers itself.
    package var peerAddress: NetworkEndpoint?
    /// From a client: where to forward to. From a second relay: the first one.
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

    /// Unknown flags and trailing bytes are ignored.
    package init(decoding bytes: Span<UInt8>) throws(WireError) {
        var reader = WireReader(bytes)
        let flags = try reader.readUInt()
        mode = try reader.readRelayMode()
        noise = try reader.readBuffer(max: HyperDHTLimits.noiseMessageSizeMax)
        peerAddress = flags & 1 != 0 ? try reader.readIPv4Endpoint() : nil
        relayAddress = flags & 2 != 0 ? try reader.readIPv4Endpoint() : nil
    }

    package var encoded: [UInt8] {
        var writer = WireWriter(reserving: noise.count + 17)
        writer.writeUInt8((peerAddress == nil ? 0 : 1) | (relayAddress == nil ? 0 : 2))
        writer.writeUInt(mode.rawValue)
        writer.writeBuffer(noise)
        if let peerAddress { writer.writeEndpointBytes(peerAddress) }
        if let relayAddress { writer.writeEndpointBytes(relayAddress) }
        return writer.bytes
    }
}

/// The value of a PEER_HOLEPUNCH request or response (`connect.md` 4.3).
package struct HolepunchMessage: Equatable, Sendable {
    package var mode: RelayMode
    /// The server's number for the handshake; 0 from the server.
    package var id: UInt64
    /// Sealed; at most `HyperDHTLimits.holepunchPayloadSizeMax` bytes.
    package var payload: [UInt8]
    /// From a client: the server, as the relay sees it. From a relay or server: the client. In a
    /// reply: the server.
    package var peerAddress: NetworkEndpoint?

    package init(
        mode: RelayMode, id: UInt64, payload: [UInt8], peerAddress: NetworkEndpoint? = nil
    ) {
        self.mode = mode
        self.id = id
        self.payload = payload
        self.peerAddress = peerAddress
    }

    /// Unknown flags and trailing bytes are ignored.
    package init(decoding bytes: Span<UInt8>) throws(WireError) {
        var reader = WireReader(bytes)
        let flags = try reader.readUInt()
        mode = try reader.readRelayMode()
        id = try reader.readUInt()
        payload = try reader.readBuffer(max: HyperDHTLimits.holepunchPayloadSizeMax)
        peerAddress = flags & 1 != 0 ? try reader.readIPv4Endpoint() : nil
    }

    package var encoded: [UInt8] {
        var writer = WireWriter(reserving: payload.count + 24)
        writer.writeUInt8(peerAddress == nil ? 0 : 1)
        writer.writeUInt(mode.rawValue)
        writer.writeUInt(id)
        writer.writeBuffer(payload)
        if let peerAddress { writer.writeEndpointBytes(peerAddress) }
        return writer.bytes
    }
}

extension WireReader {
    fileprivate mutating func readRelayMode() throws(WireError) -> RelayMode {
        let number = try readUInt()
        guard let mode = RelayMode(rawValue: number) else { throw .invalid("relay mode") }
        return mode
    }

    /// A counted list of IPv4 endpoints.
    ///
    /// - Throws: `.tooLarge` above `HyperDHTLimits.payloadAddressesMax`.
    mutating func readIPv4Endpoints() throws(WireError) -> [NetworkEndpoint] {
        let count = try readCount(
            max: HyperDHTLimits.payloadAddressesMax, minimumElementSize: 6)
        var endpoints: [NetworkEndpoint] = []
        endpoints.reserveCapacity(count)
        for _ in 0..<count { try endpoints.append(readIPv4Endpoint()) }
        return endpoints
    }
}

extension WireWriter {
    mutating func writeEndpoints(_ endpoints: [NetworkEndpoint]) {
        writeUInt(endpoints.count)
        for endpoint in endpoints { writeEndpointBytes(endpoint) }
    }
}
