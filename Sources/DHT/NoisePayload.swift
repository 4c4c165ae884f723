package import Base
package import Wire

/// What a node believes about the NAT before it, as the wire numbers it.
package enum NATKind: UInt64, Sendable, CaseIterable {
    case unknown = 0
    /// Not firewalled: reachable at a known address.
    case open = 1
    /// One mapping for all destinations.
    case consistent = 2
    /// A mapping for each destination, on a port that nobody can guess.
    case random = 3

    /// Numbers above 3 count as random, as the reference compares.
    init(wire number: UInt64) { self = NATKind(rawValue: number) ?? .random }

    /// Open counts as consistent when holes are punched.
    var isConsistent: Bool { self == .open || self == .consistent }
}

/// The error in a Noise or holepunch payload.
package struct ConnectErrorCode: RawRepresentable, Equatable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package static let none = ConnectErrorCode(rawValue: 0)
    package static let aborted = ConnectErrorCode(rawValue: 1)
    package static let versionMismatch = ConnectErrorCode(rawValue: 2)
    package static let tryLater = ConnectErrorCode(rawValue: 3)
}

/// A node at which a server has announced itself, and the server's address as that node sees it.
package struct RelayPath: Hashable, Sendable {
    package var relay: NetworkEndpoint
    package var server: NetworkEndpoint

    package init(relay: NetworkEndpoint, server: NetworkEndpoint) {
        self.relay = relay
        self.server = server
    }
}

/// The payload of both Noise messages of a handshake (`connect.md` 2.4).
package struct NoisePayload: DHTMessage {
    /// How to reach a server for hole punching.
    package struct Holepunch: Equatable, Sendable {
        /// The server's number for this handshake.
        package var id: UInt64
        package var relays: [RelayPath]

        package init(id: UInt64, relays: [RelayPath]) {
            self.id = id
            self.relays = relays
        }
    }

    /// The sender's UDX stream.
    package struct Stream: Equatable, Sendable {
        package var version: UInt64 = 1
        package var isSocketReusable = false
        package var id: UInt32
        package var sequence: UInt64 = 0

        package init(id: UInt32) { self.id = id }
    }

    /// The wish to meet at a blind relay.
    package struct RelayThrough: Equatable, Sendable {
        package var version: UInt64 = 1
        package var publicKey: Bytes32
        package var token: Bytes32

        package init(publicKey: Bytes32, token: Bytes32) {
            self.publicKey = publicKey
            self.token = token
        }
    }

    /// Anything but 1: nothing else has been read.
    package var version: UInt64 = 1
    package var error = ConnectErrorCode.none
    /// Open or unknown; what is sent here says no more.
    package var natKind = NATKind.unknown
    package var holepunch: Holepunch?
    /// The public address if there is one, then those on the local network.
    package var addresses: [NetworkEndpoint] = []
    /// Read, never sent: the network speaks IPv4.
    package var addresses6: [NetworkEndpoint] = []
    package var stream: Stream?
    package var secretStreamVersion: UInt64?
    package var relayThrough: RelayThrough?
    /// The server's relays, for the next connect.
    package var relayAddresses: [NetworkEndpoint]?

    package init() {}
}

extension NoisePayload {
    private enum Flag {
        static let holepunch: UInt64 = 1
        static let addresses: UInt64 = 2
        static let addresses6: UInt64 = 4
        static let stream: UInt64 = 8
        static let secretStream: UInt64 = 16
        static let relayThrough: UInt64 = 32
        static let relayAddresses: UInt64 = 64
    }

    /// Another version than 1 is no error: it leaves all else empty. Unknown flags and trailing bytes
    /// are ignored.
    ///
    /// - Throws: `.tooLarge` for a list above `HyperDHTLimits.payloadAddressesMax` or a stream id
    ///   above 32 bits.
    package init(from reader: inout WireReader) throws(WireError) {
        version = try reader.readUInt()
        guard version == 1 else { return }
        let flags = try reader.readUInt()
        error = try ConnectErrorCode(rawValue: reader.readUInt())
        natKind = try NATKind(wire: reader.readUInt())
        if flags & Flag.holepunch != 0 { holepunch = try reader.readHolepunch() }
        if flags & Flag.addresses != 0 {
            addresses = try reader.readEndpoints(max: HyperDHTLimits.payloadAddressesMax)
        }
        if flags & Flag.addresses6 != 0 { addresses6 = try reader.readIPv6Endpoints() }
        if flags & Flag.stream != 0 { stream = try reader.readStream() }
        if flags & Flag.secretStream != 0 { secretStreamVersion = try reader.readUInt() }
        if flags & Flag.relayThrough != 0 { relayThrough = try reader.readRelayThrough() }
        if flags & Flag.relayAddresses != 0 {
            relayAddresses = try reader.readEndpoints(max: HyperDHTLimits.payloadAddressesMax)
        }
    }

    package func encode(into writer: inout WireWriter) {
        var flags: UInt64 = 0
        if holepunch != nil { flags |= Flag.holepunch }
        if !addresses.isEmpty { flags |= Flag.addresses }
        if !addresses6.isEmpty { flags |= Flag.addresses6 }
        if stream != nil { flags |= Flag.stream }
        if secretStreamVersion != nil { flags |= Flag.secretStream }
        if relayThrough != nil { flags |= Flag.relayThrough }
        if relayAddresses != nil { flags |= Flag.relayAddresses }

        writer.writeUInt(version)
        writer.writeUInt(flags)
        writer.writeUInt(error.rawValue)
        writer.writeUInt(natKind.rawValue)
        if let holepunch {
            writer.writeUInt(holepunch.id)
            writer.writeUInt(holepunch.relays.count)
            for path in holepunch.relays {
                writer.writeEndpointBytes(path.relay)
                writer.writeEndpointBytes(path.server)
            }
        }
        if !addresses.isEmpty { writer.writeEndpoints(addresses) }
        if !addresses6.isEmpty { writer.writeEndpoints(addresses6) }
        if let stream {
            writer.writeUInt(stream.version)
            writer.writeUInt(stream.isSocketReusable ? 1 : 0)
            writer.writeUInt(UInt64(stream.id))
            writer.writeUInt(stream.sequence)
        }
        if let secretStreamVersion { writer.writeUInt(secretStreamVersion) }
        if let relayThrough {
            writer.writeUInt(relayThrough.version)
            writer.writeUInt(0)
            writer.writeBytes32(relayThrough.publicKey)
            writer.writeBytes32(relayThrough.token)
        }
        if let relayAddresses { writer.writeEndpoints(relayAddresses) }
    }
}

extension WireReader {
    fileprivate mutating func readHolepunch() throws(WireError) -> NoisePayload.Holepunch {
        let id = try readUInt()
        let count = try readCount(
            max: HyperDHTLimits.payloadAddressesMax, minimumElementSize: 12)
        var relays: [RelayPath] = []
        relays.reserveCapacity(count)
        for _ in 0..<count {
            try relays.append(RelayPath(relay: readIPv4Endpoint(), server: readIPv4Endpoint()))
        }
        return NoisePayload.Holepunch(id: id, relays: relays)
    }

    fileprivate mutating func readIPv6Endpoints() throws(WireError) -> [NetworkEndpoint] {
        let count = try readCount(
            max: HyperDHTLimits.payloadAddressesMax, minimumElementSize: 18)
        var endpoints: [NetworkEndpoint] = []
        for _ in 0..<count { try endpoints.append(readIPv6Endpoint()) }
        return endpoints
    }

    fileprivate mutating func readStream() throws(WireError) -> NoisePayload.Stream {
        let version = try readUInt()
        let features = try readUInt()
        let id = try readUInt(max: UInt64(UInt32.max))
        var stream = NoisePayload.Stream(id: UInt32(truncatingIfNeeded: id))
        stream.version = version
        stream.isSocketReusable = features & 1 != 0
        stream.sequence = try readUInt()
        return stream
    }

    fileprivate mutating func readRelayThrough() throws(WireError) -> NoisePayload.RelayThrough {
        let version = try readUInt()
        _ = try readUInt()
        var wish = try NoisePayload.RelayThrough(publicKey: readBytes32(), token: readBytes32())
        wish.version = version
        return wish
    }
}
