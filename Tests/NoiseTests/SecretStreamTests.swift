import Base
import Crypto
import Testing

@testable import Noise

/// The published streams of @hyperswarm/secret-stream 6.9, and what else a stream promises.
struct SecretStreamTests {
    struct Message: Decodable {
        let plain: Hex
        let cipher: Hex
    }

    struct Inputs: Decodable {
        let handshakeHash: Hex?
        let key: Hex?
        let header: Hex?
        let initiatorStaticSeed: Hex?
        let responderStaticSeed: Hex?
        let initiatorEphemeralSeed: Hex?
        let responderEphemeralSeed: Hex?
        let secretstreamHeadersInitiatorThenResponder: [Hex]?
        let initiatorTx: Hex?
        let initiatorRx: Hex?
        let plainLength: Int?
    }

    struct Outputs: Decodable {
        let NS_INITIATOR: Hex?
        let NS_RESPONDER: Hex?
        let NS_SEND: Hex?
        let initiator: Hex?
        let responder: Hex?
        let frameLength: Int?
        let header: Hex?
    }

    struct Setup: Decodable {
        let initiatorWrites: [Hex]
        let responderWrites: [Hex]
    }

    struct Traffic: Decodable {
        let initiatorPlain: [Hex]
        let initiatorWrites: [Hex]
        let responderPlain: [Hex]
        let responderWrites: [Hex]
        let receivedByResponder: [Hex]
    }

    struct Box: Decodable {
        let plain: Hex
        let box: Hex
    }

    struct Unordered: Decodable {
        let initiatorBoxes: [Box]
        let responderBox: Box
    }

    struct Case: Decodable, CustomTestStringConvertible {
        let name: String
        let `in`: Inputs?
        let out: Outputs?
        let messages: [Message]?
        let setup: Setup?
        let traffic: Traffic?
        let unordered: Unordered?

        var testDescription: String { name }
    }

    static let cases = vectorCases("secretstream", as: Case.self)

    @Test func `the vectors are there`() {
        #expect(Self.cases.count == 12)
        #expect(Self.cases.filter { $0.setup != nil }.count == 2)
    }

    @Test func `names and ids are the published ones`() throws {
        let names = try #require(Self.cases.first { $0.name == "namespaces" }?.out)
        #expect(StreamNames.initiator == names.NS_INITIATOR?.key)
        #expect(StreamNames.responder == names.NS_RESPONDER?.key)
        #expect(StreamNames.send == names.NS_SEND?.key)
        let ids = try #require(Self.cases.first { $0.name == "stream ids" })
        let hash = try #require(ids.in?.handshakeHash).bytes
        #expect(
            StreamNames.streamID(handshakeHash: hash, sender: .initiator) == ids.out?.initiator?.key
        )
        #expect(
            StreamNames.streamID(handshakeHash: hash, sender: .responder) == ids.out?.responder?.key
        )
        // secure-stream.md, B6.
        #expect(
            StreamNames.unorderedKey(handshakeHash: hash, sender: .initiator).hex
                == "a59fcf110bb53be32ddaf5fe0662ea66f9189774f3690daf9875914c42711328")
        #expect(
            StreamNames.unorderedKey(handshakeHash: hash, sender: .responder).hex
                == "a2defe021bbc3fc5b75c0e4caa45a6261b5a17c25afb03df2ec8d245d43b2a4b")
    }

    @Test(arguments: cases.filter { $0.messages != nil })
    func `messages encrypt to the published bytes and back`(vector: Case) throws {
        let (key, header) = try (#require(vector.in?.key).key, #require(vector.in?.header).bytes)
        var sender = SecretStreamState(key: key, header: header.span)
        var receiver = SecretStreamState(key: key, header: header.span)
        for message in try #require(vector.messages) {
            var output: [UInt8] = []
            sender.push(message.plain.bytes.span, into: &output)
            #expect(output == message.cipher.bytes)
            #expect(try receiver.pull(output.span) == message.plain.bytes)
        }
    }

    private func streams(_ inputs: Inputs) throws -> (SecretStream, SecretStream) {
        let headers = try #require(inputs.secretstreamHeadersInitiatorThenResponder).map(\.bytes)
        func pair(_ seed: Hex?) throws -> KeyPair { try KeyPair(seed: #require(seed).key) }
        guard let sendKey = inputs.initiatorTx?.key else {
            return try (
                SecretStream(
                    role: .initiator, keyPair: pair(inputs.initiatorStaticSeed),
                    ephemeral: pair(inputs.initiatorEphemeralSeed), headerNonce: headers[0]),
                SecretStream(
                    role: .responder, keyPair: pair(inputs.responderStaticSeed),
                    ephemeral: pair(inputs.responderEphemeralSeed), headerNonce: headers[1])
            )
        }
        let session = try HandshakeResult(
            sendKey: sendKey, receiveKey: #require(inputs.initiatorRx).key,
            handshakeHash: #require(inputs.handshakeHash).bytes, remotePublicKey: nil)
        var other = session
        swap(&other.sendKey, &other.receiveKey)
        return (
            SecretStream(role: .initiator, session: session, headerNonce: headers[0]),
            SecretStream(role: .responder, session: other, headerNonce: headers[1])
        )
    }

    @Test(arguments: cases.filter { $0.setup != nil })
    func `every byte of a published stream is reproduced`(vector: Case) throws {
        let inputs = try #require(vector.in)
        var (initiator, responder) = try streams(inputs)
        let (setup, traffic) = try (#require(vector.setup), #require(vector.traffic))
        func joined(_ writes: [Hex]) -> [UInt8] { writes.flatMap(\.bytes) }

        // To and fro until both are silent; everything written is kept.
        var (fromInitiator, fromResponder): ([UInt8], [UInt8]) = ([], [])
        var (eventsOfInitiator, eventsOfResponder): ([SecretStream.Event], [SecretStream.Event]) =
            ([], [])
        initiator.start(into: &fromInitiator)
        responder.start(into: &fromResponder)
        var (seenByResponder, seenByInitiator) = (0, 0)
        while seenByResponder < fromInitiator.count || seenByInitiator < fromResponder.count {
            let forResponder = Array(fromInitiator[seenByResponder...])
            seenByResponder = fromInitiator.count
            try responder.receive(
                forResponder.span, events: &eventsOfResponder, output: &fromResponder)
            let forInitiator = Array(fromResponder[seenByInitiator...])
            seenByInitiator = fromResponder.count
            try initiator.receive(
                forInitiator.span, events: &eventsOfInitiator, output: &fromInitiator)
        }
        #expect(fromInitiator == joined(setup.initiatorWrites))
        #expect(fromResponder == joined(setup.responderWrites))
        #expect(initiator.isConnected && responder.isConnected)
        if let seed = inputs.initiatorStaticSeed, let hash = inputs.handshakeHash?.bytes {
            let key = KeyPair(seed: seed.key).publicKey
            #expect(eventsOfResponder == [.connected(remotePublicKey: key, handshakeHash: hash)])
            #expect(initiator.handshakeHash == hash)
        }

        (fromInitiator, fromResponder) = ([], [])
        (eventsOfInitiator, eventsOfResponder) = ([], [])
        for message in traffic.initiatorPlain {
            initiator.send(message.bytes.span, into: &fromInitiator)
        }
        for message in traffic.responderPlain {
            responder.send(message.bytes.span, into: &fromResponder)
        }
        #expect(fromInitiator == joined(traffic.initiatorWrites))
        #expect(fromResponder == joined(traffic.responderWrites))
        var nothing: [UInt8] = []
        try responder.receive(fromInitiator.span, events: &eventsOfResponder, output: &nothing)
        try initiator.receive(fromResponder.span, events: &eventsOfInitiator, output: &nothing)
        // Empty messages keep alive and are swallowed.
        #expect(
            eventsOfResponder
                == traffic.receivedByResponder.map(\.bytes).filter { !$0.isEmpty }.map {
                    .message($0)
                })
        #expect(eventsOfInitiator == traffic.responderPlain.map { .message($0.bytes) })
        #expect(nothing.isEmpty)
    }

    @Test(arguments: cases.filter { $0.setup != nil })
    func `unordered messages are the published ones`(vector: Case) throws {
        let hash = try #require(vector.in?.handshakeHash).bytes
        let boxes = try #require(vector.unordered)
        func counter(_ box: Box) -> UInt64 {
            box.box.bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        var initiator = UnorderedMessages(
            role: .initiator, handshakeHash: hash, counter: counter(boxes.initiatorBoxes[0]) &- 1)
        var responder = UnorderedMessages(
            role: .responder, handshakeHash: hash, counter: counter(boxes.responderBox) &- 1)
        for box in boxes.initiatorBoxes {
            #expect(try initiator.seal(box.plain.bytes.span) == box.box.bytes)
            #expect(try responder.open(box.box.bytes.span) == box.plain.bytes)
            #expect(throws: NoiseError.forged) { try initiator.open(box.box.bytes.span) }
        }
        let box = boxes.responderBox
        #expect(try responder.seal(box.plain.bytes.span) == box.box.bytes)
        #expect(try initiator.open(box.box.bytes.span) == box.plain.bytes)
        let short = [UInt8](repeating: 0, count: 23)
        #expect(throws: NoiseError.badLength(23)) { try initiator.open(short.span) }
    }

    @Test(arguments: cases.filter { $0.in?.plainLength != nil })
    func `a frame's length is the published one`(vector: Case) throws {
        let size = try #require(vector.in?.plainLength)
        var (sender, receiver) = connectedStreams()
        let message = [UInt8](repeating: 7, count: size)
        var output: [UInt8] = []
        sender.send(message.span, into: &output)
        #expect(Array(output.prefix(3)) == vector.out?.header?.bytes)
        #expect(output.count - 3 == vector.out?.frameLength)
        var (events, nothing): ([SecretStream.Event], [UInt8]) = ([], [])
        try receiver.receive(output.span, events: &events, output: &nothing)
        #expect(events == (size == 0 ? [] : [.message(message)]))
    }

    // MARK: Cuts, limits and faults

    private func newStreams(frameSizeMax: Int = Limits.frameSizeMax) -> (SecretStream, SecretStream)
    {
        func stream(_ role: Role, _ byte: UInt8) -> SecretStream {
            SecretStream(
                role: role, keyPair: KeyPair(seed: Bytes32(repeating: byte)),
                ephemeral: KeyPair(seed: Bytes32(repeating: byte + 1)),
                headerNonce: [UInt8](repeating: byte, count: 24), frameSizeMax: frameSizeMax)
        }
        return (stream(.initiator, 1), stream(.responder, 3))
    }

    private func connectedStreams(
        frameSizeMax: Int = Limits.frameSizeMax
    ) -> (SecretStream, SecretStream) {
        var (initiator, responder) = newStreams(frameSizeMax: frameSizeMax)
        var events: [SecretStream.Event] = []
        var (one, two, three, four): ([UInt8], [UInt8], [UInt8], [UInt8]) = ([], [], [], [])
        initiator.start(into: &one)
        do {
            try responder.receive(one.span, events: &events, output: &two)
            try initiator.receive(two.span, events: &events, output: &three)
            try responder.receive(three.span, events: &events, output: &four)
            try initiator.receive(four.span, events: &events, output: &one)
        } catch {
            Issue.record("\(error)")
        }
        return (initiator, responder)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `a stream cut anywhere gives the same events`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var (initiator, responder) = newStreams()
        var toResponder: [UInt8] = []
        var toInitiator: [UInt8] = []
        var (eventsOfInitiator, eventsOfResponder): ([SecretStream.Event], [SecretStream.Event]) =
            ([], [])
        initiator.start(into: &toResponder)
        var sent: [(byInitiator: Bool, message: [UInt8])] = []
        while sent.count < 60 || !toResponder.isEmpty || !toInitiator.isEmpty {
            let message = random.bytes([0, 1, 5, 300, 5000].randomElement(using: &random) ?? 0)
            if initiator.isConnected, sent.count < 60, Bool.random(using: &random) {
                initiator.send(message.span, into: &toResponder)
                sent.append((true, message))
            } else if responder.isConnected, sent.count < 60 {
                responder.send(message.span, into: &toInitiator)
                sent.append((false, message))
            }
            let longest = [1, 3, 20, 4000, 100_000].randomElement(using: &random) ?? 1
            let one = Array(toResponder.prefix(Int.random(in: 0...longest, using: &random)))
            toResponder.removeFirst(one.count)
            try responder.receive(one.span, events: &eventsOfResponder, output: &toInitiator)
            let two = Array(toInitiator.prefix(Int.random(in: 0...longest, using: &random)))
            toInitiator.removeFirst(two.count)
            try initiator.receive(two.span, events: &eventsOfInitiator, output: &toResponder)
        }
        let messages = { (byInitiator: Bool) in
            sent.filter { $0.byInitiator == byInitiator && !$0.message.isEmpty }.map {
                SecretStream.Event.message($0.message)
            }
        }
        #expect(Array(eventsOfResponder.dropFirst()) == messages(true), "seed \(seed)")
        #expect(Array(eventsOfInitiator.dropFirst()) == messages(false), "seed \(seed)")
        let hash = try #require(initiator.handshakeHash)
        #expect(
            eventsOfInitiator.first
                == .connected(
                    remotePublicKey: KeyPair(seed: Bytes32(repeating: 3)).publicKey,
                    handshakeHash: hash))
        #expect(
            eventsOfResponder.first
                == .connected(
                    remotePublicKey: KeyPair(seed: Bytes32(repeating: 1)).publicKey,
                    handshakeHash: hash))
    }

    /// What `receive` throws, if anything.
    private func refusal(of bytes: [UInt8], by stream: inout SecretStream) -> NoiseError? {
        var (events, output): ([SecretStream.Event], [UInt8]) = ([], [])
        do {
            try stream.receive(bytes.span, events: &events, output: &output)
            return nil
        } catch {
            return error
        }
    }

    @Test func `a long frame is refused by its length alone, for ever`() {
        var (_, responder) = newStreams()
        let error = NoiseError.frameTooLarge(1025, limit: 1024)
        #expect(refusal(of: [0x01], by: &responder) == nil)
        #expect(refusal(of: [0x04, 0x00], by: &responder) == error)
        #expect(refusal(of: [], by: &responder) == error)
        #expect(refusal(of: [0x20, 0, 0], by: &responder) == error)

        var (_, connected) = connectedStreams(frameSizeMax: 100)
        #expect(refusal(of: [101, 0, 0], by: &connected) == .frameTooLarge(101, limit: 100))
        (_, connected) = connectedStreams()
        #expect(refusal(of: [16, 0, 0], by: &connected) == .badLength(16))
    }

    @Test func `a changed, repeated or lost message ends the stream`() {
        var (sender, receiver) = connectedStreams()
        var (one, two): ([UInt8], [UInt8]) = ([], [])
        sender.send(([1, 2, 3] as [UInt8]).span, into: &one)
        sender.send(([4, 5, 6] as [UInt8]).span, into: &two)
        for index in 3..<one.count {
            var changed = one
            changed[index] ^= 1
            var victim = receiver
            #expect(refusal(of: changed, by: &victim) == .forged)
            #expect(refusal(of: one, by: &victim) == .forged)
        }
        var victim = receiver
        #expect(refusal(of: two, by: &victim) == .forged)
        #expect(refusal(of: one, by: &receiver) == nil)
        #expect(refusal(of: one, by: &receiver) == .forged)
    }

    @Test func `events before a fault are handed up`() {
        var (sender, receiver) = connectedStreams()
        var output: [UInt8] = []
        sender.send(([1] as [UInt8]).span, into: &output)
        output += [17, 0, 0] + [UInt8](repeating: 0, count: 17)
        var (events, nothing): ([SecretStream.Event], [UInt8]) = ([], [])
        #expect(throws: NoiseError.forged) {
            try receiver.receive(output.span, events: &events, output: &nothing)
        }
        #expect(events == [.message([1])])
    }

    @Test func `a header of another stream is refused`() {
        let session = HandshakeResult(
            sendKey: .zero, receiveKey: .zero, handshakeHash: [UInt8](repeating: 1, count: 64),
            remotePublicKey: nil)
        var other = session
        other.handshakeHash[0] = 2
        let nonce = [UInt8](repeating: 0, count: 24)
        var ours = SecretStream(role: .initiator, session: session, headerNonce: nonce)
        for stranger in [
            SecretStream(role: .responder, session: other, headerNonce: nonce),
            SecretStream(role: .initiator, session: session, headerNonce: nonce),
        ] {
            var (theirs, victim, output): (SecretStream, SecretStream, [UInt8]) = (
                stranger, ours, []
            )
            theirs.start(into: &output)
            #expect(refusal(of: output, by: &victim) == .wrongStream)
        }
        #expect(refusal(of: [55, 0, 0], by: &ours) == .badLength(55))
    }

    @Test func `random bytes never trap`() {
        let seed: UInt64 = 0x5eed_0004
        var random = SeededRandom(seed: seed)
        for round in 0..<2000 {
            var (initiator, responder) = newStreams()
            if round % 2 == 0 { (initiator, responder) = connectedStreams() }
            var first: [UInt8] = []
            initiator.start(into: &first)
            var bytes = random.bytes(Int.random(in: 0...300, using: &random))
            if bytes.count > 2 { (bytes[1], bytes[2]) = (bytes[1] & 1, 0) }
            _ = refusal(of: bytes, by: &initiator)
            _ = refusal(of: bytes, by: &responder)
        }
    }
}
