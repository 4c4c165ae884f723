import Base
import Testing
import Wire

@testable import DHT

/// The table of `connect.md` 4.7, and the slots for loud punches.
struct PunchScheduleTests {
    private static let host = NetworkAddress.v4(0x0101_0101)
    private static let address = NetworkEndpoint(address: host, port: 7000)

    private func targets(verified: Bool, port: UInt16 = 7000) -> [PunchTarget] {
        [
            PunchTarget(
                endpoint: NetworkEndpoint(address: Self.host, port: port), isVerified: verified)
        ]
    }

    @Test func `the two kinds of NAT choose the strategy`() {
        typealias Strategy = PunchSchedule.Strategy
        let good: [DHT.NATKind] = [.open, .consistent]
        for local in DHT.NATKind.allCases {
            for remote in DHT.NATKind.allCases {
                for isVerified in [false, true] {
                    let expected: Strategy? =
                        if good.contains(local), good.contains(remote) {
                            .consistent
                        } else if good.contains(local), remote == .random, isVerified {
                            .guessPorts(of: Self.host)
                        } else if local == .random, good.contains(remote), isVerified {
                            .manySockets(to: Self.address)
                        } else {
                            nil
                        }
                    let chosen = Strategy.choose(
                        local: local, remote: remote, remotes: targets(verified: isVerified))
                    #expect(chosen == expected, "\(local) \(remote) \(isVerified)")
                }
                #expect(Strategy.choose(local: local, remote: remote, remotes: []) == nil)
            }
        }
    }

    /// All probes with their times, until the schedule is exhausted.
    private func run(
        _ strategy: PunchSchedule.Strategy, isInitiator: Bool, targets: [PunchTarget],
        socketCount: Int, random: inout SeededRandom
    ) -> (probes: [(at: Duration, probe: PunchSchedule.Probe)], end: Duration) {
        var schedule = PunchSchedule(strategy, isInitiator: isInitiator, now: .zero)
        var all: [(Duration, PunchSchedule.Probe)] = []
        var now = Instant.zero
        while !schedule.isExhausted {
            now = max(now, schedule.deadline)
            var probes: [PunchSchedule.Probe] = []
            schedule.fire(
                now: now, targets: targets, socketCount: socketCount, random: &random,
                into: &probes)
            all += probes.map { (now - .zero, $0) }
        }
        return (all, now - .zero)
    }

    @Test func `a consistent punch sends ten times, to unproven hosts twice`() {
        var random = SeededRandom(seed: 1)
        let proven = run(
            .consistent, isInitiator: true, targets: targets(verified: true), socketCount: 1,
            random: &random)
        #expect(proven.probes.map(\.at) == (0..<10).map { .seconds($0) })
        #expect(proven.end == .seconds(10))
        let unproven = run(
            .consistent, isInitiator: false, targets: targets(verified: false), socketCount: 1,
            random: &random)
        // A server begins a second later: the fourth and the eighth try.
        #expect(unproven.probes.map(\.at) == [.seconds(4), .seconds(8)])
    }

    @Test func `guessed ports are spread over one host for 35 seconds`() {
        var random = SeededRandom(seed: 2)
        let run = run(
            .guessPorts(of: Self.host), isInitiator: true, targets: targets(verified: true),
            socketCount: 1, random: &random)
        #expect(run.probes.count == 1750)
        #expect(run.end == .seconds(35))
        #expect(run.probes.allSatisfy { $0.probe.destination.address == Self.host })
        #expect(run.probes.allSatisfy { $0.probe.destination.port >= 1000 })
        #expect(Set(run.probes.map(\.probe.destination.port)).count > 1600)
    }

    @Test func `many sockets take turns, the first lap with a short life`() {
        var random = SeededRandom(seed: 3)
        let run = run(
            .manySockets(to: Self.address), isInitiator: true, targets: targets(verified: true),
            socketCount: 256, random: &random)
        #expect(run.probes.count == 1750)
        #expect(run.probes.first?.at == .milliseconds(100))
        for (index, probe) in run.probes.enumerated() {
            #expect(probe.probe.socketIndex == index % 256)
            #expect(probe.probe.isLowTTL == (index < 256))
        }
    }

    @Test func `one loud punch at a time, and a pause between two`() {
        var slots = PunchSlots(slotsMax: 1, interval: .seconds(20))
        #expect(slots.isFree(now: .zero))
        slots.take()
        #expect(!slots.isFree(now: .zero))
        slots.free(now: .zero, hasPunched: false)
        #expect(slots.isFree(now: .zero))
        slots.take()
        slots.free(now: Instant.zero + .seconds(5), hasPunched: true)
        #expect(!slots.isFree(now: Instant.zero + .seconds(24)))
        #expect(slots.isFree(now: Instant.zero + .seconds(25)))
    }
}
