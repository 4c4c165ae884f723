import Base
import Swarm
import Testing
import Wire

private let token = Bytes32(repeating: 9)

private func endpoint(_ host: UInt32, _ port: UInt16) -> NetworkEndpoint {
    NetworkEndpoint(address: .v4(host), port: port)
}

/// A relay with two clients, 1 and 2, whose streams are 100 and 200.
private struct Desk {
    var service: BlindRelayService
    var now = Instant(nanoseconds: 1_000_000_000)
    var effects: [BlindRelayService.Effect] = []
    var lastID: UInt32 = 1000

    init(limits: BlindRelayLimits = BlindRelayLimits()) {
        service = BlindRelayService(limits: limits)
    }

    mutating func open(_ link: UInt64) -> Bool {
        service.opened(link, remote: endpoint(UInt32(link), 5000), socket: .server)
    }

    mutating func say(_ message: BlindRelayMessage, _ link: UInt64) {
        var id = lastID
        service.receive(
            message, from: link, now: now,
            makeStreamID: {
                id += 1
                return id
            }, into: &effects)
        lastID = id
    }

    mutating func pair() {
        _ = open(1)
        _ = open(2)
        say(.pair(isInitiator: true, token: token, streamID: 100), 1)
        say(.pair(isInitiator: false, token: token, streamID: 200), 2)
    }

    mutating func take() -> [BlindRelayService.Effect] {
        defer { effects = [] }
        return effects
    }

    /// - Returns: where the packet went, and what it says.
    mutating func forward(
        _ type: UInt8, to stream: UInt32, from source: NetworkEndpoint, size: Int = 30
    ) -> (NetworkEndpoint, [UInt8])? {
        var packet: [UInt8] = [0xff, 1, type, 0]
        for index in 0..<4 { packet.append(UInt8(truncatingIfNeeded: stream >> (8 * index))) }
        packet += (8..<size).map { UInt8(truncatingIfNeeded: $0) }
        var batch = DatagramBatch()
        service.forward(
            packet.span, streamID: stream, from: source, on: .server, now: now, into: &batch,
            effects: &effects)
        return batch.entries.first.map { ($0.destination, Array(batch.bytes[$0.range])) }
    }
}

@Suite struct BlindRelayTests {
    @Test func `messages are as in the protocol's table`() throws {
        let pair = BlindRelayMessage.pair(isInitiator: true, token: token, streamID: 300)
        #expect(pair.payload == [1] + token.bytes + [0xfd, 0x2c, 0x01, 0])
        #expect(try BlindRelayMessage.decode(type: 0, pair.payload) == pair)
        let unpair = BlindRelayMessage.unpair(token: token)
        #expect(unpair.payload == [0] + token.bytes)
        #expect(try BlindRelayMessage.decode(type: 1, unpair.payload) == unpair)
        #expect(try BlindRelayMessage.decode(type: 2, []) == nil)
        #expect(throws: (any Error).self) {
            try BlindRelayMessage.decode(
                type: 0, [1] + token.bytes + [0xff] + Array(repeating: 0xff, count: 8))
        }
        for count in 0..<pair.payload.count - 2 {
            #expect(throws: (any Error).self) {
                try BlindRelayMessage.decode(type: 0, Array(pair.payload.prefix(count)))
            }
        }
    }

    @Test func `two sides with one token are paired, each told the relay's stream`() {
        var desk = Desk()
        desk.pair()
        #expect(
            desk.take() == [
                .send(1, .pair(isInitiator: true, token: token, streamID: 1001)),
                .send(2, .pair(isInitiator: false, token: token, streamID: 1002)),
            ])
    }

    @Test func `packets pass with the other's stream id and are else unchanged`() throws {
        var desk = Desk()
        desk.pair()
        let first = desk.forward(1, to: 1001, from: endpoint(1, 5000))
        let (place, bytes) = try #require(first)
        #expect(place == endpoint(2, 5000))
        #expect(bytes.prefix(8) == [0xff, 1, 1, 0, 200, 0, 0, 0])
        #expect(bytes.dropFirst(8).elementsEqual((8..<30).map { UInt8($0) }))
        // The second client is seen from another port; from then on packets go there.
        let answer = desk.forward(1, to: 1002, from: endpoint(2, 6000))
        #expect(answer != nil)
        let second = desk.forward(1, to: 1001, from: endpoint(1, 5000))
        #expect(second?.0 == endpoint(2, 6000))
    }

    @Test func `packets of strangers, of other hosts and for no pair go nowhere`() {
        var desk = Desk()
        desk.pair()
        let wrongHost = desk.forward(1, to: 1001, from: endpoint(7, 5000))
        #expect(wrongHost == nil)
        let noPair = desk.forward(1, to: 9, from: endpoint(1, 5000))
        #expect(noPair == nil)
        let tooShort = desk.forward(1, to: 1001, from: endpoint(1, 5000), size: 12)
        #expect(tooShort == nil)
    }

    @Test func `a pair ends with DESTROY, with a connection, with unpair and after a silence`() {
        var desk = Desk()
        desk.pair()
        _ = desk.take()
        let last = desk.forward(0x10, to: 1001, from: endpoint(1, 5000))
        #expect(last != nil)
        #expect(desk.service.pairingCount == 0)
        let freed = desk.take()
        #expect(freed.contains(.free(streamID: 1001)))
        desk.say(.pair(isInitiator: true, token: token, streamID: 100), 1)
        desk.say(.pair(isInitiator: false, token: token, streamID: 200), 2)
        desk.say(.unpair(token: token), 2)
        #expect(desk.service.pairingCount == 0)
        desk.say(.pair(isInitiator: true, token: token, streamID: 100), 1)
        desk.say(.pair(isInitiator: false, token: token, streamID: 200), 2)
        desk.now = desk.now + .seconds(61)
        _ = desk.service.advance(now: desk.now, into: &desk.effects)
        #expect(desk.service.pairingCount == 0)
        desk.say(.pair(isInitiator: true, token: token, streamID: 100), 1)
        desk.say(.pair(isInitiator: false, token: token, streamID: 200), 2)
        desk.service.closed(1, into: &desk.effects)
        #expect(desk.service.pairingCount == 0)
    }

    @Test func `what one client and all of them can hold is bounded`() {
        var limits = BlindRelayLimits()
        limits.linksMax = 2
        limits.pairingsPerLinkMax = 3
        limits.waitingMax = 4
        var desk = Desk(limits: limits)
        let opened = (UInt64(1)...3).map { desk.open($0) }
        #expect(opened == [true, true, false])
        for number in UInt8(0)..<10 {
            desk.say(
                .pair(isInitiator: true, token: Bytes32(repeating: number), streamID: 1), 1)
        }
        let refusals = desk.take().count
        #expect(refusals == 7)
        desk.say(.pair(isInitiator: true, token: Bytes32(repeating: 77), streamID: 1), 2)
        desk.say(.pair(isInitiator: true, token: Bytes32(repeating: 78), streamID: 1), 2)
        #expect(desk.take() == [.send(2, .unpair(token: Bytes32(repeating: 78)))])
        desk.now = desk.now + .seconds(21)
        _ = desk.service.advance(now: desk.now, into: &desk.effects)
        desk.say(.pair(isInitiator: true, token: Bytes32(repeating: 79), streamID: 1), 1)
        #expect(desk.take() == [])
    }

    @Test func `a pair passes on no more bytes a second than its budget`() {
        var limits = BlindRelayLimits()
        limits.bytesPerSecond = 100_000
        limits.burstBytes = 10_000
        var desk = Desk(limits: limits)
        desk.pair()
        var passed = 0
        for _ in 0..<10_000 {
            if desk.forward(1, to: 1001, from: endpoint(1, 5000), size: 1000) != nil {
                passed += 1000
            }
            desk.now = desk.now + .microseconds(200)
        }
        #expect(passed <= 210_000 && passed >= 150_000, "\(passed) in two seconds")
    }
}
