import Base
import Crypto
import Noise
import Testing
import Wire

@testable import DHT

/// The reference's golden bytes for handshakes and hole punching, and its captured dialogues played
/// again with the same keys.
struct ConnectVectorTests {
    @Test func `the vectors are there`() {
        #expect(ConnectVectors.named("handshake:").count == 8)
        #expect(ConnectVectors.named("noisePayload:").count == 11)
        #expect(ConnectVectors.named("holepunch:").count == 5)
        #expect(ConnectVectors.named("holepunchPayload:").count == 5)
        #expect(ConnectVectors.named("capture: connect").count == 3)
    }

    @Test func `handshake messages are those of the reference`() throws {
        for vector in ConnectVectors.named("handshake:") {
            let bytes = try #require(vector.bytes).bytes
            let fields = try #require(vector.decoded)
            let message = try HandshakeMessage(
                mode: #require(fields.mode.flatMap(RelayMode.init)),
                noise: #require(fields.noise).bytes, peerAddress: fields.peerAddress?.endpoint,
                relayAddress: fields.relayAddress?.endpoint)
            #expect(message.encoded() == bytes, "\(vector.name)")
            #expect(try HandshakeMessage(decoding: bytes.span) == message, "\(vector.name)")
        }
    }

    @Test func `holepunch messages are those of the reference`() throws {
        for vector in ConnectVectors.named("holepunch:") {
            let bytes = try #require(vector.bytes).bytes
            let fields = try #require(vector.decoded)
            guard case .bytes(let payload) = fields.payload else {
                Issue.record("no payload in \(vector.name)")
                continue
            }
            let message = try HolepunchMessage(
                mode: #require(fields.mode.flatMap(RelayMode.init)), id: #require(fields.id),
                payload: payload, peerAddress: fields.peerAddress?.endpoint)
            #expect(message.encoded() == bytes, "\(vector.name)")
            #expect(try HolepunchMessage(decoding: bytes.span) == message, "\(vector.name)")
        }
    }

    @Test func `noise payloads are those of the reference`() throws {
        for vector in ConnectVectors.named("noisePayload:") {
            let bytes = try #require(vector.bytes).bytes
            let payload = try #require(vector.decoded).noisePayload
            #expect(try NoisePayload(decoding: bytes.span) == payload, "\(vector.name)")
            // Another version is only ever read.
            if payload.version == 1 { #expect(payload.encoded() == bytes, "\(vector.name)") }
        }
    }

    @Test func `holepunch payloads are those of the reference`() throws {
        for vector in ConnectVectors.named("holepunchPayload:") {
            let bytes = try #require(vector.bytes).bytes
            let payload = try #require(vector.decoded).holepunchPayload
            #expect(try HolepunchPayload(decoding: bytes.span) == payload, "\(vector.name)")
            #expect(payload.encoded() == bytes, "\(vector.name)")
        }
    }

    @Test func `a sealed payload is that of the reference, and no other opens`() throws {
        let vector = try #require(ConnectVectors.named("encrypted holepunch payload").first)
        let input = try #require(vector.in)
        guard case .fields(let fields) = input.payload else {
            Issue.record("no fields")
            return
        }
        let secrets = try HolepunchSecrets(
            sharedKey: #require(input.holepunchSecret).key, tokenKey: .zero)
        let sealed = try secrets.seal(
            fields.holepunchPayload, nonce: #require(input.nonce).bytes)
        #expect(try sealed == #require(vector.out?.bytes).bytes)
        #expect(secrets.open(sealed.span) == fields.holepunchPayload)
        for index in sealed.indices {
            var forged = sealed
            forged[index] ^= 1
            #expect(secrets.open(forged.span) == nil)
            #expect(secrets.open(sealed.span.extracting(first: index)) == nil)
        }
    }

    @Test func `an empty payload does not open`() {
        let secrets = HolepunchSecrets(sharedKey: .zero, tokenKey: .zero)
        let nonce = [UInt8](repeating: 3, count: 24)
        let empty: [UInt8] = []
        let sealed = nonce + SecretBox.seal(empty.span, key: .zero, nonce: nonce)
        #expect(secrets.open(sealed.span) == nil)
    }

    @Test func `a token is that of the reference, whatever the port`() throws {
        let vector = try #require(ConnectVectors.named("holepunch token").first)
        let input = try #require(vector.in)
        let secrets = try HolepunchSecrets(
            sharedKey: .zero, tokenKey: #require(input.localSecret).key)
        let address = try #require(input.host.flatMap { NetworkAddress($0) })
        #expect(try secrets.token(for: address) == #require(vector.out?.token).key)
    }

    // MARK: Captured dialogues

    @Test func `a captured offer that was refused comes out the same and is read`() throws {
        let vector = try #require(ConnectVectors.named("capture: server refuses").first)
        let message = try #require(vector.noiseMessages?.first)
        let client = try KeyPair(seed: #require(vector.clientSeed).key)
        let server = try KeyPair(seed: #require(vector.serverSeed).key)
        let ephemeral = try #require(vector.ephemeralSeedsInOrderOfUse?.first).key
        var shared = ConnectShared.forTests(addresses: message.payload.noisePayload.addresses)
        var dial = try Dial(
            tag: ConnectionTag(rawValue: 1), id: DialID(rawValue: 1), to: server.publicKey,
            keyPair: client, ephemeralKey: KeyPair(seed: ephemeral),
            localStreamID: #require(message.payload.noisePayload.stream?.id), hints: [],
            relayThrough: nil)
        dial.start(shared: &shared)
        dial.found(NetworkEndpoint(address: .v4(0x0506_0708), port: 49737), shared: &shared)
        #expect(try #require(shared.handshakeRequest).noise == message.noise.bytes)
        var handshake = Handshake(
            pattern: .ik, role: .responder, prologue: HandshakePrologue.bytes, staticKey: server,
            ephemeralKey: KeyPair(seed: ephemeral))
        let bytes = message.noise.bytes
        let payload = try handshake.read(bytes.span)
        #expect(try NoisePayload(decoding: payload) == message.payload.noisePayload)
        #expect(handshake.remotePublicKey == client.publicKey)
    }

    @Test(arguments: ["server not firewalled", "both on this machine", "with hole punching"])
    func `a captured dialogue comes out the same from the same keys`(_ which: String) throws {
        let vector = try #require(
            ConnectVectors.named("capture: connect").first { $0.name.contains(which) })
        let messages = try #require(vector.noiseMessages)
        let client = try KeyPair(seed: #require(vector.clientSeed).key)
        let server = try KeyPair(seed: #require(vector.serverSeed).key)
        let ephemeral = try #require(vector.ephemeralSeedsInOrderOfUse)
            .map { KeyPair(seed: $0.key) }
        try #require(messages.count == 2 && ephemeral.count == 2)

        // The client's first message.
        let offer = messages[0].payload.noisePayload
        var clientShared = ConnectShared.forTests(addresses: offer.addresses)
        let streamID = try #require(offer.stream?.id)
        var dial = Dial(
            tag: ConnectionTag(rawValue: 1), id: DialID(rawValue: 1), to: server.publicKey,
            keyPair: client, ephemeralKey: ephemeral[0], localStreamID: streamID, hints: [],
            relayThrough: nil)
        dial.start(shared: &clientShared)
        let path = messages[1].payload.noisePayload.holepunch?.relays.first
        let relay = path?.relay ?? NetworkEndpoint(address: .v4(0x0506_0708), port: 49737)
        let own = path?.server ?? NetworkEndpoint(address: .v4(0x0909_0909), port: 9)
        dial.found(relay, shared: &clientShared)
        let first = try #require(clientShared.handshakeRequest)
        #expect(first.noise == messages[0].noise.bytes)
        #expect(first.mode == .fromClient && first.peerAddress == nil)

        // The server's answer.
        let answer = messages[1].payload.noisePayload
        let isOpen = answer.natKind == .open
        var serverShared = ConnectShared.forTests(
            addresses: Array(answer.addresses.dropFirst(isOpen ? 1 : 0)),
            remoteAddress: isOpen ? answer.addresses.first : nil)
        let clientAddress = NetworkEndpoint(address: .v4(0x0102_0304), port: 5678)
        let request = InboundRequest(
            from: relay, to: own, socket: .client,
            transaction: 7, command: .peerHandshake, target: dial.target,
            value: HandshakeMessage(
                mode: .fromRelay, noise: first.noise, peerAddress: clientAddress
            ).encoded())
        var incoming = Incoming(
            tag: ConnectionTag(rawValue: 2), digest: .zero, number: 0, lane: .relay(relay),
            target: dial.target, keyPair: server, ephemeralKey: ephemeral[1], request: request,
            message: HandshakeMessage(
                mode: .fromRelay, noise: first.noise, peerAddress: clientAddress))
        let isRead = incoming.read(first.noise, own: server.publicKey, now: .zero)
        #expect(isRead)
        #expect(incoming.remoteKey == client.publicKey)
        #expect(incoming.payload == offer)
        try incoming.accept(
            streamID: #require(answer.stream?.id), relays: answer.holepunch?.relays ?? [],
            relayAddresses: answer.relayAddresses ?? [], now: .zero, shared: &serverShared)
        incoming.answer(request, shared: &serverShared)
        let second = try #require(serverShared.relayedHandshake)
        #expect(second.noise == messages[1].noise.bytes)
        #expect(second.mode == .fromServer && second.peerAddress == clientAddress)

        // And back to the client, as the relay turns it.
        let serverAddress = NetworkEndpoint(address: .v4(0x0a0b_0c0d), port: 1234)
        dial.handshakeAnswered(
            by: relay,
            reply: DHTReply(
                from: relay, to: clientAddress, socket: .client,
                value: HandshakeMessage(
                    mode: .reply, noise: second.noise, peerAddress: serverAddress
                ).encoded()), now: .zero, shared: &clientShared)
        #expect(dial.payload == answer)
        for secrets in try #require(vector.sessionSecrets) {
            let result = try #require(secrets.isInitiator ? dial.result : incoming.result)
            #expect(result.handshakeHash == secrets.hash.bytes)
            #expect(result.sendKey == secrets.tx.key)
            #expect(result.receiveKey == secrets.rx.key)
        }
        for sealed in vector.holepunchPayloads ?? [] {
            let payload = sealed.payload.holepunchPayload
            #expect(payload.encoded() == sealed.plain.bytes)
            #expect(dial.secrets?.open(sealed.encrypted.bytes.span) == payload)
            #expect(incoming.secrets?.open(sealed.encrypted.bytes.span) == payload)
        }
    }
}

extension ConnectShared {
    /// Without a node behind it.
    static func forTests(
        addresses: [NetworkEndpoint] = [], remoteAddress: NetworkEndpoint? = nil
    ) -> ConnectShared {
        let configuration = HyperDHTConfiguration(node: DHTConfiguration(bootstrap: []))
        var shared = ConnectShared(
            random: DHTRandom(seed: .zero),
            sockets: PunchSockets(socketsMax: configuration.limits.punchSocketsMax),
            slots: PunchSlots(slotsMax: 1, interval: configuration.randomPunchInterval),
            configuration: configuration)
        shared.localAddresses = addresses
        shared.remoteAddress = remoteAddress
        shared.isFirewalled = remoteAddress == nil
        return shared
    }

    /// The last PEER_HANDSHAKE that a dial asked for.
    var handshakeRequest: HandshakeMessage? {
        for case .request(.handshake, let request, _, _, _) in actions.reversed() {
            return request.value.flatMap { try? HandshakeMessage(decoding: $0.span) }
        }
        return nil
    }

    /// The last answer that a server sent back through a relay.
    var relayedHandshake: HandshakeMessage? {
        for case .relay(let request, _, _, _) in actions.reversed() {
            return request.value.flatMap { try? HandshakeMessage(decoding: $0.span) }
        }
        return nil
    }
}
