import Base
import Swarm
import Testing

/// One device's book with its clock, randomness and effects, as a host would hold them.
private final class Desk {
    var book: PeerBook
    var now = Instant(nanoseconds: 1_000_000_000)
    var random = SeededRandom(seed: 1)
    var effects: [PeerBook.Effect] = []
    var due = Instant.zero

    init(key: UInt8 = 1, limits: SwarmLimits = SwarmLimits()) {
        book = PeerBook(ownKey: Bytes32(repeating: key), limits: limits)
    }

    func take() -> [PeerBook.Effect] {
        due = book.advance(now: now, into: &effects)
        defer { effects = [] }
        return effects
    }

    func pass(_ duration: Duration) { now = now + duration }

    func opened(
        _ connection: UInt64, dialed: DialTarget? = nil, origin: String = "10.0.0.1"
    ) -> Bool {
        book.opened(connection, dialed: dialed, origin: origin, now: now, into: &effects)
    }

    func identified(_ connection: UInt64, key: UInt8, session: UInt8, instance: UInt64 = 0) {
        book.identified(
            connection, key: Bytes32(repeating: key), session: Bytes32(repeating: session),
            instance: instance, now: now, into: &effects)
    }

    func closed(_ connection: UInt64) {
        book.closed(connection, now: now, using: &random)
    }

    func dialFailed(_ target: DialTarget) {
        book.dialFailed(target, now: now, using: &random)
    }
}

private func address(_ port: UInt16) -> DialTarget {
    .address(PeerAddress(host: "127.0.0.1", port: port))
}

@Suite struct PeerBookTests {
    @Test func `an address is dialed once, at once`() {
        let desk = Desk()
        desk.book.add(address(1), source: .option, now: desk.now)
        desk.book.add(address(1), source: .learnt, now: desk.now)
        #expect(desk.take() == [.dial(address(1))])
        desk.pass(.seconds(60))
        #expect(desk.take() == [])
    }

    @Test func `failures are retried after waits that grow from a tenth of a second to thirty`() {
        for seed in UInt64(1)...20 {
            let desk = Desk()
            desk.random = SeededRandom(seed: seed)
            desk.book.add(address(1), source: .option, now: desk.now)
            var waits: [Duration] = []
            for _ in 0..<40 {
                #expect(desk.take() == [.dial(address(1))], "seed \(seed)")
                desk.dialFailed(address(1))
                #expect(desk.take() == [], "seed \(seed)")
                waits.append(desk.due - desk.now)
                desk.now = desk.due
            }
            #expect(waits[0] >= .milliseconds(50) && waits[0] <= .milliseconds(100), "seed \(seed)")
            // The first second has several tries: a daemon that restarts is found again within it.
            #expect(waits.prefix(4).reduce(.zero, +) <= .seconds(1), "seed \(seed)")
            #expect(waits.allSatisfy { $0 <= .seconds(30) }, "seed \(seed)")
            #expect(waits.suffix(10).allSatisfy { $0 >= .seconds(15) }, "seed \(seed)")
            #expect(Set(waits.suffix(10)).count > 1, "no jitter with seed \(seed)")
        }
    }

    @Test func `a good connection that is lost is dialed again at once`() {
        let desk = Desk()
        desk.book.add(address(1), source: .option, now: desk.now)
        _ = desk.take()
        #expect(desk.opened(1, dialed: address(1)))
        desk.identified(1, key: 2, session: 1)
        desk.pass(.seconds(20))
        #expect(desk.take() == [])
        desk.closed(1)
        #expect(desk.take() == [.dial(address(1))])
    }

    @Test func `a connection that never lasts is not redialed in a tight loop`() {
        let desk = Desk()
        desk.book.add(address(1), source: .option, now: desk.now)
        var dials = 0
        let end = desk.now + .seconds(60)
        while desk.now < end {
            for case .dial in desk.take() {
                dials += 1
                #expect(desk.opened(UInt64(dials), dialed: address(1)))
                desk.identified(UInt64(dials), key: 2, session: 1)
                desk.closed(UInt64(dials))
            }
            desk.pass(.milliseconds(10))
        }
        #expect(dials < 20)
    }

    @Test func `resume dials everything at once, however long it had failed`() {
        let desk = Desk()
        for port in UInt16(1)...3 { desk.book.add(address(port), source: .link, now: desk.now) }
        for _ in 0..<10 {
            for case .dial(let address) in desk.take() { desk.dialFailed(address) }
            desk.pass(.seconds(31))
        }
        _ = desk.take()
        for port in UInt16(1)...3 { desk.dialFailed(address(port)) }
        desk.book.pause(into: &desk.effects)
        desk.pass(.seconds(3600))
        #expect(desk.take() == [])
        desk.book.resume(now: desk.now)
        #expect(desk.take() == (1...3).map { .dial(address($0)) })
    }

    @Test func `pause closes what is open and lets nobody in`() {
        let desk = Desk()
        desk.book.add(address(1), source: .option, now: desk.now)
        _ = desk.take()
        #expect(desk.opened(1, dialed: address(1)))
        #expect(desk.opened(2))
        desk.book.pause(into: &desk.effects)
        #expect(
            desk.take() == [
                .close(connection: 1, reason: "syncing is paused"),
                .close(connection: 2, reason: "syncing is paused"),
            ])
        #expect(!desk.opened(3))
        #expect(!desk.opened(4, dialed: address(1)))
    }

    @Test func `a device that dialed itself does not do it again`() {
        let desk = Desk(key: 1)
        desk.book.add(address(1), source: .learnt, now: desk.now)
        _ = desk.take()
        #expect(desk.opened(1, dialed: address(1)))
        desk.identified(1, key: 1, session: 1)
        #expect(desk.take() == [.close(connection: 1, reason: "this device itself")])
        desk.pass(.seconds(3600))
        #expect(desk.take() == [])
    }

    @Test func `one device under two addresses ends with one connection and no more dials`() {
        let desk = Desk(key: 1)
        desk.book.add(address(1), source: .option, now: desk.now)
        desk.book.add(address(2), source: .option, now: desk.now)
        #expect(desk.take().count == 2)
        #expect(desk.opened(1, dialed: address(1)))
        #expect(desk.opened(2, dialed: address(2)))
        desk.identified(1, key: 2, session: 9)
        desk.identified(2, key: 2, session: 5)
        #expect(
            desk.take() == [.close(connection: 1, reason: "a second connection to the same device")]
        )
        desk.pass(.seconds(3600))
        #expect(desk.take() == [])
        // Whichever address it was: when the device is lost, both are tried.
        desk.closed(2)
        #expect(desk.take() == [.dial(address(1)), .dial(address(2))])
    }

    @Test func `a new connection replaces an old one that the other side must have lost`() {
        let desk = Desk(key: 1)
        #expect(desk.opened(1))
        desk.identified(1, key: 2, session: 1)
        desk.pass(.seconds(6))
        #expect(desk.opened(2))
        desk.identified(2, key: 2, session: 9)
        #expect(
            desk.take() == [.close(connection: 1, reason: "a second connection to the same device")]
        )
    }

    @Test func `what says nothing in time is closed, and its address left alone for a while`() {
        let desk = Desk()
        desk.book.add(address(1), source: .option, now: desk.now)
        _ = desk.take()
        #expect(desk.opened(1, dialed: address(1)))
        #expect(desk.opened(2))
        #expect(desk.take() == [])
        #expect(desk.due == desk.now + .seconds(10))
        desk.pass(.seconds(10))
        let reason = "did not say who it is in time"
        #expect(
            desk.take() == [
                .close(connection: 1, reason: reason), .close(connection: 2, reason: reason),
            ])
        desk.pass(.seconds(29))
        #expect(desk.take() == [])
        desk.pass(.seconds(1))
        #expect(desk.take() == [.dial(address(1))])
    }

    @Test func `the oldest stranger makes room for a new one`() {
        var limits = SwarmLimits()
        limits.strangersMax = 2
        let desk = Desk(limits: limits)
        #expect(desk.opened(1) && desk.opened(2))
        desk.identified(1, key: 7, session: 1)
        #expect(desk.opened(3))
        #expect(desk.take() == [])
        #expect(desk.opened(4))
        #expect(
            desk.take() == [.close(connection: 2, reason: "too many connections that say nothing")])
    }

    @Test func `one origin cannot open connections without end; others still can`() {
        let desk = Desk()
        var admitted = 0
        for connection in UInt64(1)...1000 where desk.opened(connection, origin: "10.0.0.66") {
            admitted += 1
        }
        #expect(admitted == 256)
        #expect(desk.opened(2000, origin: "10.0.0.1"))
        desk.pass(.seconds(1))
        admitted = 0
        for connection in UInt64(3001)...4000 where desk.opened(connection, origin: "10.0.0.66") {
            admitted += 1
        }
        #expect(admitted == 32)
    }

    @Test func `who breaks the protocol is held off longer each time`() {
        let desk = Desk()
        desk.book.add(address(1), source: .option, now: desk.now)
        var waits: [Duration] = []
        for connection in UInt64(1)...12 {
            #expect(desk.take() == [.dial(address(1))])
            #expect(desk.opened(connection, dialed: address(1)))
            desk.book.violated(connection, now: desk.now, using: &desk.random)
            #expect(desk.take() == [])
            waits.append(desk.due - desk.now)
            desk.now = desk.due
        }
        #expect(waits[0] >= .seconds(30) && waits[0] <= .seconds(60))
        #expect(waits[11] >= .seconds(1800) && waits[11] <= .seconds(3600))
    }

    @Test func `a key that broke the protocol is not let in by another door`() {
        let desk = Desk()
        #expect(desk.opened(1))
        desk.identified(1, key: 2, session: 1)
        desk.book.violated(1, now: desk.now, using: &desk.random)
        #expect(desk.opened(2))
        desk.identified(2, key: 2, session: 2)
        #expect(desk.take() == [.close(connection: 2, reason: "broke the protocol not long ago")])
        desk.pass(.seconds(61))
        #expect(desk.opened(3))
        desk.identified(3, key: 2, session: 3)
        #expect(desk.take() == [])
    }

    @Test func `peers are limited, and so are dials under way`() {
        var limits = SwarmLimits()
        limits.peersMax = 2
        limits.dialsMax = 3
        let desk = Desk(limits: limits)
        for port in UInt16(1)...10 { desk.book.add(address(port), source: .option, now: desk.now) }
        #expect(desk.take() == (1...3).map { .dial(address($0)) })
        for number in UInt8(1)...3 {
            #expect(desk.opened(UInt64(number), dialed: address(UInt16(number))))
            desk.identified(UInt64(number), key: 10 + number, session: number)
        }
        #expect(desk.take() == [.close(connection: 3, reason: "2 peers are connected already")])
        #expect(!desk.opened(4))
        desk.pass(.seconds(100))
        #expect(desk.take() == [])
    }

    @Test func `when addresses are too many, learnt ones that fail make room`() {
        var limits = SwarmLimits()
        limits.addressesMax = 3
        let desk = Desk(limits: limits)
        desk.book.add(address(1), source: .option, now: desk.now)
        desk.book.add(address(2), source: .learnt, now: desk.now)
        desk.book.add(address(3), source: .learnt, now: desk.now)
        _ = desk.take()
        desk.dialFailed(address(3))
        desk.dialFailed(address(1))
        desk.book.add(address(4), source: .learnt, now: desk.now)
        #expect(desk.book.targets == [address(1), address(2), address(4)])
        desk.dialFailed(address(2))
        desk.book.add(address(5), source: .option, now: desk.now)
        #expect(desk.book.targets.first == address(1))
        #expect(desk.book.targets.contains(address(5)))
        #expect(desk.book.targets.count == 3)
    }

    @Test func `a device that was started anew replaces its connection at once`() {
        let desk = Desk(key: 1)
        #expect(desk.opened(1, dialed: address(1)))
        desk.identified(1, key: 2, session: 1, instance: 7)
        desk.pass(.milliseconds(100))
        // By every other rule the first one would stay.
        #expect(desk.opened(2))
        desk.identified(2, key: 2, session: 9, instance: 8)
        #expect(
            desk.take() == [.close(connection: 1, reason: "a second connection to the same device")]
        )
    }

    @Test func `a device that dialed us is not dialed by its key`() {
        let desk = Desk()
        let device = DialTarget.device(Bytes32(repeating: 5))
        desk.book.add(device, source: .learnt, now: desk.now)
        #expect(
            desk.book.opened(
                1, dialed: nil, remote: device, origin: "10.0.0.1", now: desk.now,
                into: &desk.effects))
        #expect(desk.take() == [])
        desk.identified(1, key: 2, session: 1)
        desk.pass(.seconds(10))
        #expect(desk.take() == [])
        desk.closed(1)
        #expect(desk.take() == [.dial(device)])
    }

    @Test func `devices that were announced and never met are forgotten`() {
        let desk = Desk()
        for number in UInt8(1)...100 {
            desk.book.add(.device(Bytes32(repeating: number)), source: .learnt, now: desk.now)
        }
        for _ in 0..<5000 where !desk.book.targets.isEmpty {
            for case .dial(let target) in desk.take() { desk.dialFailed(target) }
            desk.pass(.milliseconds(100))
        }
        #expect(desk.book.targets.isEmpty)
    }

    @Test func `of two connections to one device that by the better way stays`() {
        for (first, second) in [(0, 1), (1, 0), (2, 1), (1, 2)] {
            let desk = Desk()
            for (connection, quality) in [(UInt64(1), first), (2, second)] {
                #expect(
                    desk.book.opened(
                        connection, dialed: nil, quality: quality, origin: "10.0.0.1",
                        now: desk.now, into: &desk.effects))
                desk.identified(connection, key: 2, session: UInt8(connection))
            }
            let loser: UInt64 = first > second ? 2 : 1
            #expect(
                desk.take() == [
                    .close(connection: loser, reason: "a second connection to the same device")
                ])
        }
    }
}
