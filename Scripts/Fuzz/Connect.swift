// modules: Base Wire Crypto Noise DHT
import Base
import Crypto
import DHT
import Noise
import Wire

/// The bytes are what the rest of a network does to a node that listens and dials. The fuzzer is the
/// other end as well: it holds the keys, so that its payloads pass the encryption and reach the
/// machines behind it.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    check(NoisePayload.self, bytes)
    check(HolepunchPayload.self, bytes)
    var session = Session()
    session.run(bytes)
    return 0
}

/// What is read is written again as it was understood.
private func check<Message: DHTMessage>(_ type: Message.Type, _ bytes: [UInt8]) {
    guard let message = try? Message(decoding: bytes) else { return }
    guard let again = try? Message(decoding: message.encoded()) else {
        preconditionFailure("\(type) cannot read what it wrote")
    }
    precondition(again == message)
}

private struct Session {
    static let places: [NetworkEndpoint] = [
        .init(address: .v4(0x0b00_0001), port: 1), .init(address: .v4(0x0b01_0002), port: 49737),
        .init(address: .v4(0x7f00_0001), port: 9), .init(address: .v4(0xc0a8_0001), port: 9),
        .init(address: .v4(0), port: 0), .init(address: .v6(high: 1, low: 1), port: 1),
        .init(address: .v4(0x0c00_0003), port: 3), .init(address: .v4(0x0d00_0004), port: 4),
    ]
    static let own = KeyPair(seed: Bytes32(repeating: 1))
    /// The other end, as client and as server.
    static let other = KeyPair(seed: Bytes32(repeating: 2))
    static let prologue = namespace("hyperswarm/dht", 0).bytes

    var core: HyperDHT
    var effects = HyperDHTEffects()
    var now = Instant(nanoseconds: 1_000_000_000)
    /// The last request of each kind that left: whom it went to, on which socket, and its bytes.
    var sent: [UInt8: (NetworkEndpoint, SocketID, [UInt8])] = [:]
    var handshake: Handshake?
    var secrets: HolepunchSecrets?
    var tags: [ConnectionTag] = []
    var dials: [DialID] = []
    var streams: [UInt32] = []
    var sockets: [SocketID] = [.server, .client]
    var count: UInt8 = 0

    init() {
        let node = DHTConfiguration(bootstrap: [Self.places[0], Self.places[1]])
        core = HyperDHT(
            configuration: HyperDHTConfiguration(node: node), keyPair: Self.own,
            seed: Bytes32(repeating: 3), localAddresses: [Self.places[3]], now: now)
        core.start(now: now, into: &effects)
        core.listen(now: now, into: &effects)
        settle()
    }

    mutating func run(_ bytes: [UInt8]) {
        var reader = WireReader(bytes.span)
        while let number = try? reader.readUInt8(), let flags = try? reader.readUInt8() {
            let place = Self.places[Int(flags & 7)]
            let socket = sockets[Int(flags >> 3) % sockets.count]
            switch number % 16 {
            case 0..<10:
                guard let payload = try? reader.readBuffer(max: 2048) else { return }
                switch number % 16 {
                case 0, 1: receive(payload, from: place, on: socket)
                case 2, 3: shakeHands(payload, mode: flags >> 6, from: place, on: socket)
                case 4, 5: punch(payload, id: UInt64(flags >> 4), from: place, on: socket)
                case 6, 7: answerHandshake(payload, flags: flags)
                case 8: answerPunch(payload, flags: flags)
                default: answer(payload, command: flags & 3, isSigned: flags & 4 != 0)
                }
            default: act(number % 16, flags, place, socket)
            }
            settle()
        }
        // Whatever was begun comes to an end.
        for _ in 0..<200 {
            now = max(now, core.deadline)
            if now == .distantFuture { break }
            core.advance(now: now, into: &effects)
            settle()
        }
    }

    private mutating func act(
        _ number: UInt8, _ flags: UInt8, _ place: NetworkEndpoint, _ socket: SocketID
    ) {
        switch number {
        case 10:
            now = now + .milliseconds(Int64(flags) * 40)
            core.advance(now: now, into: &effects)
        case 11:
            guard dials.count < 8 else { return }
            dials.append(
                core.connect(
                    to: Self.other.publicKey, relayAddresses: flags & 8 != 0 ? [place] : [],
                    relayThrough: flags & 16 != 0 ? Bytes32(repeating: 9) : nil, now: now,
                    into: &effects))
        case 12: core.receiveProbe(from: place, on: socket, now: now, into: &effects)
        case 13:
            guard let stream = streams.last else { return }
            _ = core.streamPacket(
                streamID: stream, from: place, on: socket, now: now, into: &effects)
        case 14:
            guard let tag = tags.last else { return }
            switch flags >> 5 {
            case 0: core.release(tag, now: now, into: &effects)
            case 1: core.relayFailed(tag, now: now, into: &effects)
            case 2, 3:
                core.relayPaired(
                    tag, socket: socket, remote: place, remoteStreamID: 7, now: now, into: &effects)
            default: if let dial = dials.last { core.cancel(dial, now: now, into: &effects) }
            }
        default:
            switch flags >> 5 {
            case 0: core.socketFailed(socket, now: now, into: &effects)
            case 1: core.suspend(now: now, into: &effects)
            case 2, 3: core.resume(now: now, into: &effects)
            case 4: core.networkChanged(localAddresses: [place], now: now, into: &effects)
            case 5: core.unlisten(now: now, into: &effects)
            default: if !core.isListening { core.listen(now: now, into: &effects) }
            }
        }
    }

    private mutating func receive(
        _ datagram: [UInt8], from place: NetworkEndpoint, on socket: SocketID
    ) {
        guard datagram.count > 1 else { return }
        core.receive(datagram.span, from: place, on: socket, now: now, into: &effects)
    }

    /// A request with the target under which the node listens.
    private mutating func request(
        _ command: UInt8, _ value: [UInt8], from place: NetworkEndpoint, on socket: SocketID
    ) {
        var writer = WireWriter()
        writer.writeRaw([0x03, 8 | 16, count, 0])
        count &+= 1
        writer.writeEndpointBytes(Self.places[7])
        writer.writeUInt8(command)
        writer.writeBytes32(Blake2b.hash256(Self.own.publicKey.bytes))
        writer.writeBuffer(value)
        receive(writer.bytes, from: place, on: socket)
    }

    private mutating func shakeHands(
        _ payload: [UInt8], mode: UInt8, from place: NetworkEndpoint, on socket: SocketID
    ) {
        var random = SeededRandom(seed: UInt64(count))
        var handshake = Handshake(
            pattern: .ik, role: .initiator, prologue: Self.prologue, staticKey: Self.other,
            ephemeralKey: KeyPair(using: &random), remoteStaticKey: Self.own.publicKey)
        guard let noise = try? handshake.write(payload: payload.span) else { return }
        self.handshake = handshake
        let message = HandshakeMessage(
            mode: RelayMode(rawValue: mode) ?? .fromRelay, noise: noise,
            peerAddress: Self.places[6], relayAddress: mode == 3 ? Self.places[1] : nil)
        request(0, message.encoded(), from: place, on: socket)
    }

    private mutating func punch(
        _ bytes: [UInt8], id: UInt64, from place: NetworkEndpoint, on socket: SocketID
    ) {
        guard let secrets, let payload = try? HolepunchPayload(decoding: bytes) else { return }
        let sealed = secrets.seal(payload, nonce: [UInt8](repeating: count, count: 24))
        let message = HolepunchMessage(
            mode: .fromRelay, id: id, payload: sealed, peerAddress: Self.places[6])
        request(1, message.encoded(), from: place, on: socket)
    }

    /// A response to the last request with that command.
    private mutating func answer(_ value: [UInt8], command: UInt8, isSigned: Bool) {
        guard let (place, socket, request) = sent[command] else { return }
        var writer = WireWriter()
        let id = isSigned ? NodeID.of(place) : nil
        writer.writeRaw([0x13, 16 | (id == nil ? 0 : 3), request[2], request[3]])
        writer.writeEndpointBytes(Self.places[7])
        if let id {
            writer.writeBytes32(id)
            writer.writeBytes32(Bytes32(repeating: 5))
        }
        writer.writeBuffer(value)
        receive(writer.bytes, from: place, on: socket)
    }

    private mutating func answerHandshake(_ payload: [UInt8], flags: UInt8) {
        guard let (_, _, request) = sent[0], let value = Self.value(of: request),
            let message = try? HandshakeMessage(decoding: value)
        else { return }
        var random = SeededRandom(seed: UInt64(flags))
        var handshake = Handshake(
            pattern: .ik, role: .responder, prologue: Self.prologue, staticKey: Self.other,
            ephemeralKey: KeyPair(using: &random))
        guard (try? handshake.read(message.noise.span)) != nil,
            let noise = try? handshake.write(payload: payload.span)
        else { return }
        learn(handshake)
        let reply = HandshakeMessage(
            mode: .reply, noise: noise, peerAddress: flags & 8 != 0 ? Self.places[6] : nil)
        answer(reply.encoded(), command: 0, isSigned: flags & 4 != 0)
    }

    private mutating func answerPunch(_ bytes: [UInt8], flags: UInt8) {
        guard let secrets, let payload = try? HolepunchPayload(decoding: bytes) else { return }
        let sealed = secrets.seal(payload, nonce: [UInt8](repeating: count, count: 24))
        let reply = HolepunchMessage(
            mode: .reply, id: 0, payload: sealed,
            peerAddress: flags & 8 != 0 ? Self.places[6] : nil)
        answer(reply.encoded(), command: 1, isSigned: flags & 4 != 0)
    }

    private mutating func learn(_ handshake: Handshake) {
        guard let result = handshake.result else { return }
        secrets = HolepunchSecrets(
            handshakeHash: result.handshakeHash, tokenKey: Bytes32(repeating: 8))
    }

    /// The value of a request that has a target and neither id nor token.
    private static func value(of request: [UInt8]) -> [UInt8]? {
        guard request.count > 44, request[1] & 3 == 0 else { return nil }
        var reader = WireReader(request.span)
        guard (try? reader.readBytes(43)) != nil else { return nil }
        return try? reader.readBuffer(max: 2048)
    }

    /// Looks at what the node wants, and remembers what the other end would.
    private mutating func settle() {
        for entry in effects.datagrams.entries {
            let datagram = Array(effects.datagrams.bytes[entry.range])
            precondition(entry.destination.port != 0 && !datagram.isEmpty)
            guard datagram.count > 10, datagram[0] == 0x03, datagram[1] & 7 == 0 else { continue }
            sent[datagram[10]] = (entry.destination, entry.socket, datagram)
            if datagram[10] == 0, var handshake, let value = Self.value(of: datagram),
                let message = try? HandshakeMessage(decoding: value), message.mode == .fromServer,
                (try? handshake.read(message.noise.span)) != nil
            {
                learn(handshake)
            }
        }
        for event in effects.events {
            switch event {
            case .openSocket(let socket): sockets.append(socket)
            case .closeSocket(let socket): sockets.removeAll { $0 == socket }
            case .reserved(let tag, let stream, _):
                tags.append(tag)
                streams.append(stream)
            case .failed(let tag, _, _): tags.removeAll { $0 == tag }
            default: break
            }
        }
        effects.removeAll()
        precondition(sockets.count < 2048)
        precondition(tags.count < 4096)
    }
}
