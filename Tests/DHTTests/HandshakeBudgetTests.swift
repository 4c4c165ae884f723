import Base
import Testing
import Wire

@testable import DHT

/// Who may make a server compute (threat T11).
struct HandshakeBudgetTests {
    private func host(_ number: Int) -> NetworkAddress { .v4(UInt32(number)) }
    private let relay = HandshakeLane.relay(
        NetworkEndpoint(address: .v4(0x0909_0909), port: 9))

    @Test func `one host has a burst, then a trickle`() {
        var limits = HyperDHTLimits()
        limits.handshakesPerOriginBurst = 5
        limits.handshakesPerOriginPerSecond = 2
        var budget = HandshakeBudget(limits: limits)
        let atOnce = (0..<50).filter { _ in
            budget.spend(lane: .direct, origin: host(1), now: .zero)
        }
        #expect(atOnce.count == 5)
        let later = Instant.zero + .seconds(10)
        let afterTen = (0..<50).filter { _ in
            budget.spend(lane: .direct, origin: host(1), now: later)
        }
        #expect(afterTen.count == 5)
        let isAllowed1 = budget.spend(lane: .direct, origin: host(2), now: later)
        #expect(isAllowed1)
    }

    @Test func `a flood by one way leaves the other ways open`() {
        let limits = HyperDHTLimits()
        var budget = HandshakeBudget(limits: limits)
        var allowed = 0
        for second in 0..<10 {
            for number in 0..<10_000
            where
                budget.spend(
                    lane: .direct, origin: host(number * 7 + second),
                    now: Instant.zero + .seconds(second))
            { allowed += 1 }
        }
        // The burst and nine seconds of the rate.
        #expect(allowed <= limits.handshakesPerLaneBurst + 9 * limits.handshakesPerLanePerSecond)
        #expect(allowed >= 9 * limits.handshakesPerLanePerSecond)
        let isAllowed2 = budget.spend(lane: relay, origin: host(1), now: Instant.zero + .seconds(9))
        #expect(isAllowed2)
        let isAllowed3 = budget.spend(
            lane: .stranger, origin: host(1), now: Instant.zero + .seconds(9))
        #expect(isAllowed3)
    }

    @Test func `accounts of relays that are none any longer are closed`() {
        var limits = HyperDHTLimits()
        limits.handshakesPerOriginBurst = 1
        var budget = HandshakeBudget(limits: limits)
        let isAllowed4 = budget.spend(lane: relay, origin: host(1), now: .zero)
        #expect(isAllowed4)
        let isAllowed5 = budget.spend(lane: relay, origin: host(1), now: .zero)
        #expect(!isAllowed5)
        budget.keep(relays: [])
        let isAllowed6 = budget.spend(lane: relay, origin: host(1), now: .zero)
        #expect(isAllowed6)
    }
}
