// modules: Base Wire Crypto Noise DHT
import Base
import Crypto
import DHT
import Wire

/// The bytes are what a network does to a node: datagrams with their lengths in front and a flag byte
/// that says from whom and on which socket; between them the owner asks, serves, waits and sleeps.
///
/// Some datagrams are made good where the fuzzer cannot: the transaction number of a request of ours,
/// the id of the source, a token that the node gave out.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    // The whole input as one message first, so that published ones are good inputs.
    decode(bytes)
    var session = Session(isEphemeral: count & 1 == 0)
    session.receive(bytes, flags: 0)
    session.run(bytes)
    return 0
}

/// What is read is written again as it was understood.
private func decode(_ bytes: [UInt8]) {
    check(AnnounceMessage.self, bytes)
    check(MutableValue.self, bytes)
    check(MutablePutMessage.self, bytes)
    check(PeerRecord.self, bytes)
    check(LookupReply.self, bytes)
    check(HandshakeMessage.self, bytes)
    check(HolepunchMessage.self, bytes)
    check(PluginMessage.self, bytes)
}

private func check<Message: DHTMessage>(_ type: Message.Type, _ bytes: [UInt8]) {
    guard let message = try? Message(decoding: bytes) else { return }
    guard let again = try? Message(decoding: message.encoded()) else {
        preconditionFailure("\(type) cannot read what it wrote")
    }
    precondition(again == message)
}

private struct Session {
    static let sources: [NetworkEndpoint] = [
        .init(address: .v4(0x0b00_0001), port: 1), .init(address: .v4(0x0b00_0002), port: 49737),
        .init(address: .v4(0x7f00_0001), port: 9), .init(address: .v4(0xc0a8_0001), port: 9),
        .init(address: .v4(0), port: 0), .init(address: .v6(high: 1, low: 1), port: 1),
        .init(address: .v4(0x0c00_0003), port: 3), .init(address: .v4(0x0c00_0004), port: 4),
    ]
    static let keyPair = KeyPair(seed: Bytes32(repeating: 1))
    static let target = Blake2b.hash256(keyPair.publicKey.bytes)

    var node: DHTNode
    var effects = DHTEffects()
    var now = Instant(nanoseconds: 1_000_000_000)
    /// The last request that the node sent: whom it asked, and the number.
    var asked: (NetworkEndpoint, [UInt8])?
    var token: [UInt8]?

    init(isEphemeral: Bool) {
        var configuration = DHTConfiguration(
            bootstrap: [Self.sources[0], Self.sources[1], Self.sources[4]])
        if !isEphemeral {
            configuration.mode = .persistent
            configuration.isFirewalled = false
            configuration.publicAddress = Self.sources[7]
        }
        node = DHTNode(configuration: configuration, seed: Bytes32(repeating: 2), now: now)
        node.start(now: now, into: &effects)
        settle()
    }

    mutating func run(_ bytes: [UInt8]) {
        var reader = WireReader(bytes.span)
        while !reader.isAtEnd {
            guard let flags = try? reader.readUInt8() else { return }
            if flags >= 0xf0 {
                act(flags & 15)
            } else if let datagram = try? reader.readBuffer(max: 2048) {
                receive(datagram, flags: flags)
            } else {
                return
            }
        }
        // Whatever was begun comes to an end.
        for _ in 0..<40 {
            now = max(now, node.deadline)
            if now == .distantFuture { break }
            _ = node.advance(now: now, into: &effects)
            settle()
        }
    }

    mutating func receive(_ bytes: [UInt8], flags: UInt8) {
        var datagram = bytes
        var source = Self.sources[Int(flags & 7)]
        if datagram.count >= 4, flags & 8 != 0, let asked {
            source = asked.0
            datagram.replaceSubrange(2..<4, with: asked.1)
        }
        if datagram.count > 42, flags & 16 != 0, datagram[1] & 1 != 0, let id = NodeID.of(source) {
            datagram.replaceSubrange(10..<42, with: id.bytes)
        }
        let start = datagram.count > 1 && datagram[1] & 1 != 0 ? 42 : 10
        if datagram.count >= start + 32, flags & 32 != 0, datagram[1] & 2 != 0, let token {
            datagram.replaceSubrange(start..<(start + 32), with: token)
        }
        node.receive(
            datagram.span, from: source, on: flags & 64 != 0 ? .server : .client, now: now,
            into: &effects)
        settle()
    }

    private mutating func act(_ number: UInt8) {
        let (keyPair, target) = (Self.keyPair, Self.target)
        switch number {
        case 0: now = now + .milliseconds(100)
        case 1: now = now + .seconds(6)
        case 2: now = now + .seconds(700)
        case 3: _ = node.lookup(target, now: now, into: &effects)
        case 4:
            _ = node.announce(
                target, keyPair: keyPair, relayAddresses: [Self.sources[0]], clear: true, now: now,
                into: &effects)
        case 5: _ = node.unannounce(target, keyPair: keyPair, now: now, into: &effects)
        case 6: _ = node.mutableGet(keyPair.publicKey, now: now, into: &effects)
        case 7:
            _ = node.mutablePut(
                keyPair: keyPair, sequence: 1, value: [1], now: now, into: &effects)
        case 8: _ = node.immutableGet(target, now: now, into: &effects)
        case 9: _ = node.immutablePut([1, 2], now: now, into: &effects)
        case 10: node.serve(target)
        case 11: node.stopServing(target)
        case 12: node.suspend(now: now, into: &effects)
        case 13: node.resume(now: now, into: &effects)
        case 14:
            let id = node.request(
                DHTRequest(.ping), to: Self.sources[5], now: now, into: &effects)
            node.cancel(id)
        default: _ = node.findPeer(keyPair.publicKey, now: now, into: &effects)
        }
        _ = node.advance(now: now, into: &effects)
        settle()
    }

    /// Looks at what the node wants to send, and remembers what a peer would learn from it.
    private mutating func settle() {
        for entry in effects.datagrams.entries {
            let datagram = Array(effects.datagrams.bytes[entry.range])
            precondition(datagram.count >= 10 && datagram.count < 4096)
            precondition(entry.destination.port != 0)
            if datagram[0] == 0x03 {
                asked = (entry.destination, Array(datagram[2..<4]))
            } else if datagram[1] & 2 != 0 {
                let start = datagram[1] & 1 != 0 ? 42 : 10
                token = Array(datagram[start..<(start + 32)])
            }
        }
        for case .request(let request) in effects.events {
            precondition(request.target == Self.target)
        }
        effects.removeAll()
        precondition(node.tableCount <= 5120)
    }
}
