import Base
import Crypto
import Foundation
import Testing
import Wire

@testable import DHT

/// Floods: what strangers can make a node keep, send and compute (threat T11). `HOLDFAST_FLOOD` sets
/// the number of packets of each kind.
struct FloodTests {
    static let count =
        ProcessInfo.processInfo.environment["HOLDFAST_FLOOD"].flatMap { Int($0) } ?? 5000

    private static let limits: DHTLimits = {
        var limits = DHTLimits()
        limits.recordsMax = 2000
        limits.valuesMax = 500
        limits.valueBytesMax = 100_000
        limits.originsMax = 1000
        return limits
    }()

    private func source(_ random: inout SeededRandom) -> PackedEndpoint {
        PackedEndpoint(
            host: UInt32.random(in: 0x0b00_0000...0x5fff_ffff, using: &random),
            port: UInt16.random(in: 1...UInt16.max, using: &random))
    }

    /// Hands a hundred thousand packets a second to a node, and checks that it stays small.
    private func flood(
        seed: UInt64, limits: DHTLimits = limits,
        _ packet: (inout SeededRandom, AmplificationTests.Victim) -> ([UInt8], PackedEndpoint)
    ) -> (victim: AmplificationTests.Victim, sent: Int) {
        let victim = AmplificationTests.Victim(limits: limits)
        var random = SeededRandom(seed: seed)
        var sent = 0
        for _ in 0..<Self.count {
            victim.now = victim.now + .microseconds(10)
            let (datagram, from) = packet(&random, victim)
            sent += victim.hand(datagram, from: from.endpoint)
            if victim.node.deadline <= victim.now {
                _ = victim.node.advance(now: victim.now, into: &victim.effects)
                victim.effects.removeAll()
            }
        }
        let node = victim.node
        #expect(node.budgets.originCount <= limits.originsMax)
        #expect(node.requests.count <= 2 * DHTLimits.newcomerPingsMax + DHTLimits.downChecksMax + 8)
        #expect(node.newcomers.count <= DHTLimits.newcomerPingsMax)
        #expect(node.delayedPings.count <= DHTLimits.delayedPingsMax)
        #expect(node.storage.records.count <= limits.recordsMax)
        #expect(node.storage.forwards.count <= limits.recordsMax)
        #expect(node.storage.refreshes.count <= limits.recordsMax)
        #expect(node.storage.bumps.count <= limits.recordsMax)
        #expect(node.storage.mutables.count <= limits.valuesMax)
        #expect(node.storage.immutables.count <= 100_000 / 1000 + 2)
        #expect(node.tableCount <= 256 * 20)
        return (victim, sent)
    }

    @Test func `noise`() {
        let (_, sent) = flood(seed: 80) { random, _ in
            let size = Int.random(in: 0...300, using: &random)
            let first: UInt8 = Bool.random(using: &random) ? 0x03 : 0x13
            return ([first] + random.bytes(size), source(&random))
        }
        print("noise: \(sent) B sent for \(Self.count) packets")
    }

    @Test func `announcements with made-up tokens`() {
        let (victim, _) = flood(seed: 81) { random, victim in
            let target = Bytes32(using: &random)
            let body = DHTRequest(
                .announce, target: target, value: [5] + random.bytes(33 + 64),
                token: Bytes32(using: &random))
            return (victim.request(body), source(&random))
        }
        #expect(victim.node.storage.records.count <= 40)
    }

    @Test func `announcements of somebody who has every address, with good tokens`() {
        let keyPair = DHTNodeTests.keyPair(1)
        let (victim, _) = flood(seed: 82) { random, victim in
            let from = source(&random)
            let target = Bytes32(using: &random)
            let token = victim.node.tokens.issue(to: from.host, now: victim.now)
            // Signing is dear for the flooder as well: most are not signed.
            let isSigned = UInt8.random(in: 0..<16, using: &random) == 0
            let message =
                isSigned
                ? AnnounceMessage.signed(
                    .announce, by: keyPair, target: target, node: victim.node.tableID,
                    token: token, refresh: Bytes32(using: &random), bump: 1
                ).encoded() : [5] + random.bytes(32) + [0] + random.bytes(64)
            let body = DHTRequest(.announce, target: target, value: message, token: token)
            return (victim.request(body), from)
        }
        // Two thousand at once and a thousand a second, of which one in sixteen is signed.
        #expect(victim.node.storage.records.count <= 2000)
    }

    @Test func `values of somebody who has every address`() {
        _ = flood(seed: 83) { random, victim in
            let from = source(&random)
            let value = random.bytes(1000)
            let token = victim.node.tokens.issue(to: from.host, now: victim.now)
            let body = DHTRequest(
                .immutablePut, target: Blake2b.hash256(value), value: value, token: token)
            return (victim.request(body), from)
        }
    }

    @Test func `nodes that do not exist`() {
        let before = AmplificationTests.Victim(limits: Self.limits).node.tableCount
        let (victim, _) = flood(seed: 84) { random, _ in
            let from = source(&random)
            var datagram: [UInt8] = [0x03, 0x05, 1, 1, 8, 8, 8, 8, 0x49, 0xc2]
            datagram += from.id.bytes
            datagram.append(0)
            return (datagram, from)
        }
        #expect(victim.node.tableCount <= before)
    }

    @Test func `requests from one place leave others what they need`() {
        let (victim, _) = flood(seed: 85) { random, victim in
            let host = 0x0b0c_0d00 | UInt32.random(in: 0...255, using: &random)
            return (
                victim.request(DHTRequest(.lookup, target: victim.topic)),
                PackedEndpoint(host: host, port: 5)
            )
        }
        let asker = NetworkEndpoint(address: .v4(0x0c00_0001), port: 9)
        let answer = victim.hand(
            victim.request(DHTRequest(.lookup, target: victim.topic)), from: asker)
        #expect(answer > 1000)
    }

    @Test func `delayed pings, hints and holes that lead nowhere`() {
        _ = flood(seed: 86) { random, victim in
            let from = source(&random)
            let body: DHTRequest =
                switch UInt8.random(in: 0..<4, using: &random) {
                case 0: .init(.delayedPing, value: [0, 16, 0, 0])
                case 1: .init(.downHint, value: random.bytes(6))
                case 2: .init(.peerHolepunch, target: victim.topic, value: random.bytes(40))
                default: .init(.peerHandshake, target: victim.topic, value: random.bytes(40))
                }
            return (victim.request(body), from)
        }
    }
}
