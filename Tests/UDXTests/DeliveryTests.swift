import Base
import Simulation
import Testing
import UDX

/// Two streams over links that lose, delay, reorder and repeat, from seeds: every byte arrives once, in
/// order, and both sides close.
struct DeliveryTests {
    /// Transfers random bytes both ways and checks every step.
    private func check(
        _ conditions: UDXLinkConditions, bytes: Int, seed: UInt64,
        configuration: UDXConfiguration = UDXConfiguration(), firstSequence: UInt32 = 0
    ) -> UDXLink {
        print("seed \(seed), \(conditions)")
        var random = SeededRandom(seed: seed)
        let (fromA, fromB) = (random.bytes(bytes), random.bytes(bytes / 10))
        var link = UDXLink(
            conditions, seed: seed, configuration: configuration, firstSequence: firstSequence)
        link.a.stream.write(fromA.span)
        link.b.stream.write(fromB.span)
        link.a.stream.finish()
        link.b.stream.finish()
        link.a.act(now: link.now)
        link.b.act(now: link.now)
        let limit = link.now + .seconds(3600)
        var steps = 0
        while link.step(until: limit), steps < 2_000_000 {
            steps += 1
            // Whoever has acted has nothing left that is due: the owner does not spin.
            if link.a.stream.deadline <= link.now || link.b.stream.deadline <= link.now {
                Issue.record("due again at once, seed \(seed)")
                break
            }
        }
        #expect(link.b.received == fromA, "seed \(seed)")
        #expect(link.a.received == fromB, "seed \(seed)")
        #expect(link.a.events.contains(.ended), "seed \(seed)")
        #expect(link.b.events.contains(.ended), "seed \(seed)")
        #expect(link.a.stream.closeReason == .finished, "seed \(seed)")
        #expect(link.b.stream.closeReason == .finished, "seed \(seed)")
        return link
    }

    /// Ten megabits and forty milliseconds, which keeps the runs short.
    private func conditions(_ random: inout SeededRandom) -> UDXLinkConditions {
        var conditions = UDXLinkConditions()
        conditions.bitsPerSecond = [1e6, 10e6, 100e6, 1e9].randomElement(using: &random) ?? 1e6
        conditions.delay = .microseconds(Int64.random(in: 50...60_000, using: &random))
        conditions.queueBytes = Int.random(in: 6_000...400_000, using: &random)
        conditions.loss = Double.random(in: 0...0.3, using: &random)
        conditions.reordering = Double.random(in: 0...0.3, using: &random)
        conditions.lateness = .microseconds(Int64.random(in: 100...40_000, using: &random))
        conditions.duplication = Double.random(in: 0...0.2, using: &random)
        conditions.mtu = [1200, 1280, 1420, 1500].randomElement(using: &random) ?? 1200
        return conditions
    }

    @Test(arguments: 1...24 as ClosedRange<UInt64>)
    func `whatever the link does, what arrives is what was sent`(seed: UInt64) {
        var random = SeededRandom(seed: seed ^ 0x5eed)
        let conditions = conditions(&random)
        _ = check(
            conditions, bytes: 150_000, seed: seed,
            firstSequence: [0, 1, .max - 30, 0x7fff_ffe0].randomElement(using: &random) ?? 0)
    }

    @Test(arguments: [0, 0.01, 0.05, 0.1, 0.2, 0.3])
    func `loss costs time and nothing else`(loss: Double) {
        var conditions = UDXLinkConditions()
        conditions.loss = loss
        _ = check(conditions, bytes: 300_000, seed: UInt64(loss * 1000))
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `a small window is never overrun by much, and never stops the stream`(seed: UInt64) {
        var configuration = UDXConfiguration()
        configuration.receiveWindow = 20_000
        var conditions = UDXLinkConditions()
        conditions.loss = 0.05
        _ = check(conditions, bytes: 100_000, seed: seed, configuration: configuration)
    }

    @Test func `sizes above 1300 that vanish are found out, and nothing is lost by it`() {
        var conditions = UDXLinkConditions()
        conditions.mtu = 1300
        let link = check(conditions, bytes: 5_000_000, seed: 7)
        #expect(link.a.stream.statistics.timeouts == 0)
        #expect((1284...1300).contains(link.a.stream.pathMTUBytes))
    }

    @Test func `on a path of 1500 bytes packets soon fill it`() {
        let link = check(UDXLinkConditions(), bytes: 1_000_000, seed: 8)
        #expect(link.a.stream.pathMTUBytes == 1500)
        #expect(link.a.stream.statistics.packetsSent < UInt64(1_000_000 / 1452 + 150))
    }

    @Test func `a link that is dead for five seconds is survived`() {
        var link = UDXLink(UDXLinkConditions(), seed: 9)
        let bytes = [UInt8](repeating: 3, count: 2_000_000)
        link.a.stream.write(bytes.span)
        link.a.act(now: link.now)
        let start = link.now
        while link.step(until: start + .milliseconds(200)) {}
        link.a.setConditions { $0.loss = 1 }
        link.b.setConditions { $0.loss = 1 }
        while link.step(until: start + .milliseconds(5200)) {}
        link.a.setConditions { $0.loss = 0 }
        link.b.setConditions { $0.loss = 0 }
        while link.b.received.count < bytes.count, link.step(until: start + .seconds(15)) {}
        #expect(link.b.received == bytes)
        #expect(!link.a.stream.isClosed)
    }
}
