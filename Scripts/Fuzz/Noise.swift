// modules: Base Wire Crypto Noise
import Base
import Crypto
import Noise

/// Streams in each state that a peer can meet them in, made once.
private struct Streams {
    var responder: SecretStream
    var waiting: SecretStream
    var awaitingHeader: SecretStream
    var sender: SecretStream
    var receiver: SecretStream

    init() {
        func pair(_ byte: UInt8) -> KeyPair { KeyPair(seed: Bytes32(repeating: byte)) }
        func stream(_ role: Role, _ byte: UInt8) -> SecretStream {
            SecretStream(
                role: role, keyPair: pair(byte), ephemeral: pair(byte + 1),
                headerNonce: [UInt8](repeating: byte, count: 24))
        }
        sender = stream(.initiator, 1)
        receiver = stream(.responder, 3)
        responder = receiver
        var events: [SecretStream.Event] = []
        var (one, two, three, four): ([UInt8], [UInt8], [UInt8], [UInt8]) = ([], [], [], [])
        sender.start(into: &one)
        waiting = sender
        do {
            try receiver.receive(one.span, events: &events, output: &two)
            try sender.receive(two.span, events: &events, output: &three)
            awaitingHeader = sender
            try receiver.receive(three.span, events: &events, output: &four)
            try sender.receive(four.span, events: &events, output: &one)
        } catch {
            fatalError("\(error)")
        }
    }
}

private let streams = Streams()
private let handshakes: [Handshake] = {
    func pair(_ byte: UInt8) -> KeyPair { KeyPair(seed: Bytes32(repeating: byte)) }
    return [
        Handshake(pattern: .ik, role: .responder, staticKey: pair(1), ephemeralKey: pair(2)),
        Handshake(pattern: .xx, role: .responder, staticKey: pair(1), ephemeralKey: pair(2)),
        Handshake(pattern: .nn, role: .responder, staticKey: pair(1), ephemeralKey: pair(2)),
    ]
}()
private let unordered = UnorderedMessages(
    role: .initiator, handshakeHash: [UInt8](repeating: 1, count: 64), counter: 0)

/// The first byte picks the state; the second how the bytes are cut.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    guard bytes.count >= 2 else { return 0 }
    let rest = Array(bytes[2...])
    let cut = Int(bytes[1])
    switch bytes[0] % 8 {
    case 0: receive(rest, by: streams.responder, cut)
    case 1: receive(rest, by: streams.waiting, cut)
    case 2: receive(rest, by: streams.awaitingHeader, cut)
    case 3: receive(rest, by: streams.receiver, cut)
    case 4, 5: exchange(rest, cut, isHonest: bytes[0] % 8 == 4)
    case 6: _ = try? unordered.open(rest.span)
    default:
        var handshake = handshakes[cut % handshakes.count]
        if (try? handshake.read(rest.span)) != nil { _ = try? handshake.write(payload: rest.span) }
    }
    return 0
}

private func receive(_ bytes: [UInt8], by stream: SecretStream, _ cut: Int) {
    var stream = stream
    var events: [SecretStream.Event] = []
    var output: [UInt8] = []
    var offset = 0
    while offset < bytes.count {
        let end = min(bytes.count, offset + max(1, cut))
        do {
            try stream.receive(
                bytes.span.extracting(offset..<end), events: &events, output: &output)
        } catch {
            precondition(!events.contains { if case .message = $0 { true } else { false } })
            return
        }
        offset = end
    }
}

/// Messages of sizes that the bytes say, cut as they say. A dishonest carrier changes one byte: then
/// what arrives must be a true beginning of what was sent.
private func exchange(_ bytes: [UInt8], _ cut: Int, isHonest: Bool) {
    var (sender, receiver) = (streams.sender, streams.receiver)
    var (wire, sent): ([UInt8], [SecretStream.Event]) = ([], [])
    for byte in bytes.prefix(40) {
        let message = [UInt8](repeating: byte, count: Int(byte) * 5)
        sender.send(message.span, into: &wire)
        if !message.isEmpty { sent.append(.message(message)) }
    }
    if !isHonest, !wire.isEmpty { wire[(cut &* 7919) % wire.count] ^= 1 << UInt8(cut & 7) }
    var (events, output): ([SecretStream.Event], [UInt8]) = ([], [])
    var offset = 0
    while offset < wire.count {
        let end = min(wire.count, offset + cut * 3 + 1)
        do {
            try receiver.receive(
                wire.span.extracting(offset..<end), events: &events, output: &output)
        } catch {
            precondition(!isHonest, "\(error)")
            break
        }
        offset = end
    }
    precondition(isHonest ? events == sent : sent.starts(with: events))
}
