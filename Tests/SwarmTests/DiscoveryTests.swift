import Base
import Swarm
import Testing

/// A discovery with its clock and randomness, as a host would hold them.
private struct Desk {
    var discovery: Discovery
    var now = Instant(nanoseconds: 1_000_000_000)
    var random = SeededRandom(seed: 7)
    var due = Instant.zero

    init(limits: DiscoveryLimits = DiscoveryLimits()) { discovery = Discovery(limits: limits) }

    mutating func take() -> [Discovery.Effect] {
        var effects: [Discovery.Effect] = []
        due = discovery.advance(now: now, into: &effects)
        return effects
    }

    mutating func join(_ topic: Bytes32, announces: Bool, looksUp: Bool) -> Discovery.SessionID? {
        discovery.join(topic, announces: announces, looksUp: looksUp, now: now)
    }

    mutating func ended(_ topic: Bytes32, replies: Int = 20, peers: Int = 1) {
        discovery.ended(topic, replies: replies, peers: peers, now: now, using: &random)
    }
}

private let data = Bytes32(repeating: 1)
private let bootstrap = Bytes32(repeating: 2)

@Suite struct DiscoveryTests {
    @Test func `a topic is announced at once, then every ten to twelve minutes`() {
        var desk = Desk()
        _ = desk.join(data, announces: true, looksUp: true)
        #expect(desk.take() == [.announce(topic: data, clears: true)])
        #expect(desk.take() == [])
        for _ in 0..<20 {
            desk.ended(data)
            #expect(desk.take() == [])
            #expect(desk.due - desk.now >= .seconds(600) && desk.due - desk.now <= .seconds(720))
            desk.now = desk.due
            #expect(desk.take() == [.announce(topic: data, clears: false)])
        }
    }

    @Test func `searches that meet nobody are repeated after waits that grow to a minute`() {
        var desk = Desk()
        _ = desk.join(bootstrap, announces: false, looksUp: true)
        var waits: [Duration] = []
        for _ in 0..<12 {
            #expect(desk.take() == [.lookup(topic: bootstrap)])
            desk.ended(bootstrap, peers: 0)
            #expect(desk.take() == [])
            waits.append(desk.due - desk.now)
            desk.now = desk.due
        }
        #expect(waits[0] <= .seconds(1))
        #expect(waits.allSatisfy { $0 <= .seconds(60) })
        #expect(waits[11] >= .seconds(30))
    }

    @Test func `without answers the waits grow to half a minute, and it counts as offline`() {
        var desk = Desk()
        _ = desk.join(data, announces: true, looksUp: true)
        #expect(!desk.discovery.isOffline)
        for _ in 0..<10 {
            #expect(desk.take() == [.announce(topic: data, clears: true)])
            desk.ended(data, replies: 0, peers: 0)
            #expect(desk.discovery.isOffline)
            #expect(desk.take() == [])
            #expect(desk.due - desk.now <= .seconds(30))
            desk.now = desk.due
        }
        #expect(desk.take().count == 1)
        desk.ended(data)
        #expect(!desk.discovery.isOffline && desk.discovery.isFlushed)
    }

    @Test func `a lost peer is searched for at once, and a few times soon after`() {
        var desk = Desk()
        _ = desk.join(data, announces: true, looksUp: true)
        _ = desk.take()
        desk.ended(data)
        desk.now = desk.now + .seconds(60)
        desk.discovery.searchAgain(now: desk.now)
        var times: [Duration] = []
        let begin = desk.now
        while true {
            guard !desk.take().isEmpty else {
                guard desk.due - begin < .seconds(60) else { break }
                desk.now = desk.due
                continue
            }
            times.append(desk.now - begin)
            desk.ended(data)
        }
        #expect(times.first == .zero)
        #expect(times.count == 5, "\(times)")
        #expect(times.count { $0 <= .seconds(5) } >= 3, "\(times)")
    }

    @Test(arguments: [0, 5, 50, 700], [0, 1, 20])
    func `losing peers all the time does not make a flood of queries`(
        queryTicks: Int, replies: Int
    ) {
        for seed in UInt64(1)...50 {
            var desk = Desk()
            desk.random = SeededRandom(seed: seed)
            _ = desk.join(data, announces: true, looksUp: true)
            var queries = 0
            var endsAt = 0
            for tick in 0..<1000 {
                desk.discovery.searchAgain(now: desk.now)
                let count = desk.take().count
                if count > 0 { endsAt = tick + queryTicks }
                queries += count
                // A peer is lost before the query ends, and another after.
                desk.discovery.searchAgain(now: desk.now)
                if tick >= endsAt { desk.ended(data, replies: replies, peers: min(1, replies)) }
                desk.now = desk.now + .milliseconds(10)
            }
            #expect((1...20).contains(queries), "\(queries) in ten seconds, seed \(seed)")
        }
    }

    @Test func `a peer that is lost during a query is searched for soon after it`() {
        var desk = Desk()
        _ = desk.join(data, announces: true, looksUp: true)
        #expect(desk.take().count == 1)
        desk.now = desk.now + .milliseconds(100)
        desk.discovery.searchAgain(now: desk.now)
        #expect(desk.take() == [])
        desk.ended(data)
        #expect(desk.take() == [])
        #expect(desk.due - desk.now == .milliseconds(400))
    }

    @Test func `sessions of one topic share its queries, and the last one withdraws it`() {
        var desk = Desk()
        let first = desk.join(data, announces: true, looksUp: false)
        let second = desk.join(data, announces: true, looksUp: true)
        #expect(desk.take() == [.announce(topic: data, clears: true)])
        desk.ended(data)
        if let first { desk.discovery.leave(first, now: desk.now) }
        #expect(desk.take() == [])
        #expect(desk.discovery.looksUp(data))
        if let second { desk.discovery.leave(second, now: desk.now) }
        #expect(desk.take() == [.withdraw(topic: data)])
        #expect(desk.due == .distantFuture)
    }

    @Test func `announcements wait until this device can be reached, searches do not`() {
        var desk = Desk()
        desk.discovery.mayAnnounce = false
        _ = desk.join(data, announces: true, looksUp: true)
        _ = desk.join(bootstrap, announces: true, looksUp: false)
        #expect(desk.take() == [.lookup(topic: data)])
        desk.ended(data)
        #expect(desk.take() == [])
        desk.discovery.mayAnnounce = true
        #expect(
            desk.take() == [
                .announce(topic: data, clears: true), .announce(topic: bootstrap, clears: true),
            ])
    }

    @Test func `a joiner that was admitted announces what it only looked for`() {
        var desk = Desk()
        let joining = desk.join(bootstrap, announces: false, looksUp: true)
        #expect(desk.take() == [.lookup(topic: bootstrap)])
        // Admitted while the query is under way.
        _ = desk.join(bootstrap, announces: true, looksUp: false)
        if let joining { desk.discovery.leave(joining, now: desk.now) }
        #expect(desk.take() == [])
        desk.ended(bootstrap)
        #expect(desk.take() == [.announce(topic: bootstrap, clears: true)])
        #expect(!desk.discovery.looksUp(bootstrap))
    }

    @Test func `a topic that is left while it is asked about leaves nothing behind`() {
        var desk = Desk()
        let session = desk.join(data, announces: true, looksUp: true)
        _ = desk.take()
        if let session { desk.discovery.leave(session, now: desk.now) }
        #expect(desk.take() == [.cancel(topic: data), .withdraw(topic: data)])
        desk.ended(data)
        #expect(desk.take() == [])
    }

    @Test func `topics are bounded`() {
        var limits = DiscoveryLimits()
        limits.topicsMax = 3
        var desk = Desk(limits: limits)
        for number in UInt8(0)..<3 {
            #expect(desk.join(Bytes32(repeating: number), announces: true, looksUp: true) != nil)
        }
        #expect(desk.join(Bytes32(repeating: 9), announces: true, looksUp: true) == nil)
    }
}
