import Base
import Crypto
import Testing

@testable import Noise

/// The published transcripts of noise-handshake 4.1, and what else a handshake promises.
struct HandshakeTests {
    struct Message: Decodable {
        let from: String
        let payload: Hex
        let message: Hex
        let decryptedPayload: Hex
        let hashAfter: Hex?
    }

    struct Inputs: Decodable {
        let pattern: String?
        let prologue: Hex?
        let initiatorStaticSeed: Hex?
        let initiatorEphemeralSeed: Hex?
        let responderStaticSeed: Hex?
        let responderEphemeralSeed: Hex?
        let initiatorStaticPublicKey: Hex?
        let responderStaticPublicKey: Hex?
        let localSeed: Hex?
        let remotePublicKey: Hex?
        let salt: Hex?
        let ikm: Hex?
        let key: Hex?
        let data: Hex?
    }

    struct SideKeys: Decodable {
        let tx: Hex
        let rx: Hex
        let remoteId: Hex
    }

    struct Outputs: Decodable {
        let handshakeHash: Hex?
        let initiatorTx: Hex?
        let initiatorRx: Hex?
        let holepunchSecret: Hex?
        let initiatorStreamId: Hex?
        let responderStreamId: Hex?
        let dh: Hex?
        let out1: Hex?
        let out2: Hex?
        let mac: Hex?
        let message1: Hex?
        let message2: Hex?
        let hash: Hex?
        let initiator: SideKeys?
        let responder: SideKeys?
    }

    struct State: Decodable {
        let h: Hex
        let ck: Hex
    }

    struct Case: Decodable, CustomTestStringConvertible {
        let name: String
        let `in`: Inputs
        let out: Outputs
        let afterInitialise: State?
        let messages: [Message]?

        var testDescription: String { name }
    }

    static let cases = vectorCases("noise", as: Case.self)

    @Test func `the vectors are there`() { #expect(Self.cases.count == 10) }

    private func pair(_ seed: Hex?) throws -> KeyPair { try KeyPair(seed: #require(seed).key) }

    private func handshake(_ inputs: Inputs, _ role: Role) throws -> Handshake {
        let pattern = try #require(Handshake.Pattern(rawValue: inputs.pattern ?? ""))
        let isInitiator = role == .initiator
        return try Handshake(
            pattern: pattern, role: role, prologue: #require(inputs.prologue).bytes,
            staticKey: pair(isInitiator ? inputs.initiatorStaticSeed : inputs.responderStaticSeed),
            ephemeralKey: pair(
                isInitiator ? inputs.initiatorEphemeralSeed : inputs.responderEphemeralSeed),
            remoteStaticKey: isInitiator ? inputs.responderStaticPublicKey?.key : nil)
    }

    @Test(arguments: cases.filter { $0.messages != nil })
    func `a published transcript is reproduced`(vector: Case) throws {
        var initiator = try handshake(vector.in, .initiator)
        var responder = try handshake(vector.in, .responder)
        for side in [initiator, responder] {
            #expect(side.runningState.hash == vector.afterInitialise?.h.bytes)
            #expect(side.runningState.chainingKey == vector.afterInitialise?.ck.bytes)
        }
        for message in try #require(vector.messages) {
            let isInitiator = message.from == "initiator"
            var (writer, reader) = isInitiator ? (initiator, responder) : (responder, initiator)
            #expect(writer.isOurTurn && !reader.isOurTurn)
            #expect(writer.result == nil && reader.result == nil)
            #expect(try writer.write(payload: message.payload.bytes.span) == message.message.bytes)
            #expect(try reader.read(message.message.bytes.span) == message.decryptedPayload.bytes)
            if let hash = message.hashAfter?.bytes {
                #expect(writer.runningState.hash == hash)
                #expect(reader.runningState.hash == hash)
            }
            (initiator, responder) = isInitiator ? (writer, reader) : (reader, writer)
        }
        let (ours, theirs) = try (#require(initiator.result), #require(responder.result))
        #expect(ours.sendKey == vector.out.initiatorTx?.key)
        #expect(ours.receiveKey == vector.out.initiatorRx?.key)
        #expect(theirs.sendKey == ours.receiveKey && theirs.receiveKey == ours.sendKey)
        #expect(ours.handshakeHash == vector.out.handshakeHash?.bytes)
        #expect(theirs.handshakeHash == ours.handshakeHash)
        let showsKeys = vector.in.pattern != "NN"
        #expect(ours.remotePublicKey == (showsKeys ? vector.in.responderStaticPublicKey?.key : nil))
        #expect(
            theirs.remotePublicKey == (showsKeys ? vector.in.initiatorStaticPublicKey?.key : nil))
        try checkDerived(ours.handshakeHash, vector.out)
    }

    private func checkDerived(_ hash: [UInt8], _ out: Outputs) throws {
        if let secret = out.holepunchSecret {
            let name = namespace("hyperswarm/dht", 1)
            #expect(Blake2b.hash256(key: hash, name.bytes) == secret.key)
        }
        if let id = out.initiatorStreamId {
            #expect(StreamNames.streamID(handshakeHash: hash, sender: .initiator) == id.key)
        }
        if let id = out.responderStreamId {
            #expect(StreamNames.streamID(handshakeHash: hash, sender: .responder) == id.key)
        }
    }

    @Test(arguments: cases.filter { $0.messages == nil })
    func `a published step is reproduced`(vector: Case) throws {
        let (inputs, out) = (vector.in, vector.out)
        if let dh = out.dh {
            let remote = try #require(inputs.remotePublicKey).key
            #expect(try pair(inputs.localSeed).sharedSecret(with: remote) == dh.key)
        } else if let mac = out.mac {
            #expect(
                try hmac(key: #require(inputs.key).bytes, #require(inputs.data).bytes) == mac.bytes)
        } else if let first = out.out1 {
            let outputs = try hkdf(salt: #require(inputs.salt).bytes, #require(inputs.ikm).bytes)
            #expect(outputs.first == first.bytes && outputs.second == out.out2?.bytes)
        } else {
            // The wrapped handshake: its messages are those of the transcript with the payloads.
            let transcript = try #require(
                Self.cases.first { $0.name.hasPrefix("IK as in hyperdht") })
            #expect(transcript.messages?[0].message == out.message1)
            #expect(transcript.messages?[1].message == out.message2)
            #expect(transcript.out.handshakeHash == out.hash)
            #expect(transcript.out.initiatorTx == out.initiator?.tx)
            #expect(transcript.out.initiatorRx == out.initiator?.rx)
            #expect(
                out.responder?.tx == out.initiator?.rx && out.responder?.rx == out.initiator?.tx)
            let hash = try #require(out.hash).bytes
            #expect(
                StreamNames.streamID(handshakeHash: hash, sender: .responder)
                    == out.initiator?.remoteId.key)
            #expect(
                StreamNames.streamID(handshakeHash: hash, sender: .initiator)
                    == out.responder?.remoteId.key)
            try checkDerived(hash, out)
        }
    }

    // MARK: Refusals

    private let nothing: [UInt8] = []

    private func sides(_ pattern: Handshake.Pattern) -> (Handshake, Handshake) {
        func pair(_ byte: UInt8) -> KeyPair { KeyPair(seed: Bytes32(repeating: byte)) }
        return (
            Handshake(
                pattern: pattern, role: .initiator, staticKey: pair(1), ephemeralKey: pair(3),
                remoteStaticKey: pair(2).publicKey),
            Handshake(
                pattern: pattern, role: .responder, staticKey: pair(2), ephemeralKey: pair(4))
        )
    }

    @Test(arguments: [Handshake.Pattern.xx, .ik, .nn])
    func `a message changed in any byte, or cut, ends the handshake`(
        pattern: Handshake.Pattern
    ) throws {
        var (initiator, responder) = sides(pattern)
        var initiatorWrites = true
        var step = 0
        while initiator.result == nil || responder.result == nil {
            var (writer, reader) =
                initiatorWrites ? (initiator, responder) : (responder, initiator)
            let message = try writer.write(payload: nothing.span)
            for index in message.indices {
                // A first message in the clear proves nothing by itself: any point will do.
                let isClear = step == 0 && pattern != .ik
                var changed = message
                changed[index] ^= 0x10
                var victim = reader
                if !isClear { #expect(throws: NoiseError.self) { try victim.read(changed.span) } }
                victim = reader
                let cut = Array(message[..<index])
                #expect(throws: NoiseError.self) { try victim.read(cut.span) }
                #expect(victim.result == nil && !victim.isOurTurn)
                #expect(throws: NoiseError.unexpectedMessage) { try victim.read(message.span) }
                #expect(throws: NoiseError.unexpectedMessage) {
                    try victim.write(payload: nothing.span)
                }
            }
            _ = try reader.read(message.span)
            (initiator, responder) = initiatorWrites ? (writer, reader) : (reader, writer)
            initiatorWrites.toggle()
            step += 1
        }
    }

    @Test func `a message out of turn is refused`() throws {
        var (initiator, responder) = sides(.xx)
        #expect(throws: NoiseError.unexpectedMessage) { try initiator.read(nothing.span) }
        #expect(throws: NoiseError.unexpectedMessage) {
            try responder.write(payload: nothing.span)
        }
    }

    @Test func `a message of more than 65535 bytes is refused`() throws {
        var (initiator, responder) = sides(.xx)
        let long = [UInt8](repeating: 0, count: 65536)
        #expect(throws: NoiseError.badLength(65536)) { try responder.read(long.span) }
        #expect(throws: NoiseError.badLength(65568)) { try initiator.write(payload: long.span) }
    }

    @Test func `a key of small order is refused`() throws {
        var (_, responder) = sides(.nn)
        let neutral = [1] + [UInt8](repeating: 0, count: 31)
        _ = try responder.read(neutral.span)
        #expect(throws: NoiseError.badPublicKey) { try responder.write(payload: nothing.span) }
    }

    @Test func `different prologues do not agree`() throws {
        let pair = KeyPair(seed: Bytes32(repeating: 1))
        var initiator = Handshake(
            pattern: .ik, role: .initiator, prologue: [1], staticKey: pair, ephemeralKey: pair,
            remoteStaticKey: pair.publicKey)
        var responder = Handshake(
            pattern: .ik, role: .responder, prologue: [2], staticKey: pair, ephemeralKey: pair)
        let message = try initiator.write(payload: nothing.span)
        #expect(throws: NoiseError.forged) { try responder.read(message.span) }
    }
}
