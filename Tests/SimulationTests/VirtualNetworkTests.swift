import Base
import Simulation
import Testing
import Wire

struct VirtualNetworkTests {
    private static let seed: UInt64 = 11

    @Test func `a pair keeps its delay, both ways, with some jitter`() throws {
        let lab = Lab(seed: Self.seed)
        let (a, b) = (lab.addHost(.open), lab.addHost(.open))
        var delays: [Duration] = []
        for round in 0..<40 {
            let start = lab.network.now
            let (from, to) = round.isMultiple(of: 2) ? (a, b) : (b, a)
            #expect(lab.send(1, from: from, to: to) != nil)
            delays.append(lab.network.now - start)
        }
        let (least, most) = (try #require(delays.min()), try #require(delays.max()))
        #expect(least >= .milliseconds(1))
        #expect(most <= least * 1.11)
        #expect(Set(delays).count > 30)
    }

    @Test func `delays are spread over the pairs around the median`() throws {
        let lab = Lab(seed: Self.seed)
        let hosts = (0..<40).map { _ in lab.addHost(.open) }
        var delays: [Duration] = []
        for left in hosts {
            for right in hosts where left != right {
                let start = lab.network.now
                #expect(lab.send(1, from: left, to: right) != nil)
                delays.append(lab.network.now - start)
            }
        }
        delays.sort()
        #expect((.milliseconds(35)...(.milliseconds(50))).contains(delays[delays.count / 2]))
        #expect(delays[delays.count / 10] < .milliseconds(25))
        #expect(delays[delays.count * 9 / 10] > .milliseconds(75))
    }

    @Test func `so many datagrams are lost as the rate says`() {
        var configuration = VirtualNetwork.Configuration()
        configuration.loss = 0.1
        let lab = Lab(seed: Self.seed, configuration: configuration)
        let (a, b) = (lab.addHost(.open), lab.addHost(.open))
        let arrived = (0..<5000).count { _ in lab.send(1, from: a, to: b) != nil }
        #expect((4400...4600).contains(arrived))
        #expect(lab.network.statistics.lost == 5000 - arrived)
    }

    @Test func `a partition parts and heals`() {
        let lab = Lab(seed: Self.seed)
        let (a, b, c) = (lab.addHost(.open), lab.addHost(.open), lab.addHost(.portRestricted))
        lab.network.setPartition(1, of: a)
        #expect(lab.send(1, from: a, to: b) == nil)
        #expect(lab.send(1, from: c, to: b) != nil)
        lab.network.setPartition(1, of: c)
        #expect(lab.send(1, from: c, to: a) != nil)
        #expect(lab.send(1, from: c, to: b) == nil)
        for host in [a, c] { lab.network.setPartition(0, of: host) }
        #expect(lab.send(1, from: a, to: b) != nil)
        #expect(lab.send(1, from: c, to: b) != nil)
    }

    @Test func `a host that left hears nothing and may come back`() throws {
        let lab = Lab(seed: Self.seed)
        let (a, b) = (lab.addHost(.open), lab.addHost(.open))
        let endpoint = try #require(lab.network.endpoint(of: .server, at: b))
        lab.network.setTimer(lab.network.now + .seconds(1), of: b)
        lab.network.remove(b)
        #expect(lab.send(1, from: a, to: endpoint) == nil)
        lab.network.bind(.server, at: b, port: endpoint.port)
        #expect(lab.send(1, from: a, to: endpoint) == b)
    }

    @Test func `a host that moves is found at its new address only`() throws {
        let lab = Lab(seed: Self.seed)
        let (a, b) = (lab.addHost(.open), lab.addHost(.open))
        let old = try #require(lab.network.endpoint(of: .server, at: b))
        lab.network.move(b, to: .internet)
        let new = try #require(lab.network.endpoint(of: .server, at: b))
        #expect(new.address != old.address && new.port == old.port)
        #expect(lab.send(1, from: a, to: old) == nil)
        #expect(lab.send(1, from: a, to: new) == b)
        lab.network.move(b, to: lab.network.addNATs(.portRestricted))
        #expect(lab.send(1, from: a, to: new) == nil)
        #expect(lab.send(1, from: b, to: a)?.address == lab.network.publicAddress(of: b))
    }

    @Test func `a timer comes once, at the time asked for last`() {
        var network = VirtualNetwork(seed: Self.seed)
        let host = network.addHost()
        let start = network.now
        network.setTimer(start + .seconds(5), of: host)
        network.setTimer(start + .seconds(2), of: host)
        network.setTimer(start + .seconds(3), of: host)
        network.setAlarm(9, at: start + .seconds(4))
        var seen: [String] = []
        while let event = network.next() {
            switch event {
            case .timer: seen.append("timer \(network.now - start)")
            case .alarm(let number): seen.append("alarm \(number) \(network.now - start)")
            case .datagram: seen.append("datagram")
            }
        }
        #expect(seen == ["timer 3.0 seconds", "alarm 9 4.0 seconds"])
        network.setTimer(.distantFuture, of: host)
        #expect(network.next(until: start + .seconds(60)) == nil)
        #expect(network.now == start + .seconds(60))
    }

    @Test func `an uplink passes its rate, keeps its queue and drops the rest`() throws {
        var network = VirtualNetwork(seed: Self.seed)
        let (a, b) = (network.addHost(), network.addHost())
        network.bind(.server, at: a)
        network.bind(.server, at: b)
        network.setUplink(of: a, bytesPerSecond: 100_000, queueBytesMax: 20_000)
        let endpoint = try #require(network.endpoint(of: .server, at: b))
        let start = network.now
        let bytes = [UInt8](repeating: 0, count: 1000)
        for _ in 0..<50 { network.send(bytes.span, from: a, via: .server, to: endpoint) }
        var count = 0
        while network.next() != nil { count += 1 }
        #expect(count == 20)
        #expect((.milliseconds(200)...(.milliseconds(600))).contains(network.now - start))
        #expect(network.statistics.lost == 30)
    }

    @Test func `what is too long or goes nowhere is counted`() throws {
        let lab = Lab(seed: Self.seed)
        let (a, b) = (lab.addHost(.open), lab.addHost(.open))
        let endpoint = try #require(lab.network.endpoint(of: .server, at: b))
        let long = [UInt8](repeating: 0, count: 1473)
        lab.network.send(long.span, from: a, via: .server, to: endpoint)
        lab.network.send(long.span.extracting(first: 1472), from: a, via: .client, to: endpoint)
        lab.network.send(long.span.extracting(first: 1472), from: a, via: .server, to: endpoint)
        while lab.network.next() != nil { #expect(lab.network.payload.count == 1472) }
        #expect(lab.network.statistics.unreachable == 2)
        #expect(lab.network.statistics.delivered == 1)
        #expect(lab.network.traffic(of: b).receivedBytes == 1472)
    }

    /// A storm among hosts behind all kinds of NATs, as one number.
    private func storm(seed: UInt64) -> (sum: UInt64, statistics: VirtualNetwork.Statistics) {
        var configuration = VirtualNetwork.Configuration()
        configuration.loss = 0.05
        var network = VirtualNetwork(seed: seed, configuration: configuration)
        let hosts = (0..<70).map { network.addHost(behind: NATKind.allCases[$0 % 7]) }
        var random = SeededRandom(seed: seed)
        for host in hosts {
            network.bind(.server, at: host)
            network.setTimer(network.now, of: host)
        }
        var known: [NetworkEndpoint] = hosts.compactMap { network.endpoint(of: .server, at: $0) }
        let bytes: [UInt8] = [1, 2, 3]
        var sum: UInt64 = 0
        var count = 0
        while count < 20_000, let event = network.next() {
            count += 1
            switch event {
            case .datagram(let delivery):
                sum = sum &* 31 &+ network.now.nanoseconds &+ UInt64(delivery.host.index)
                known[Int.random(in: 0..<known.count, using: &random)] = delivery.source
            case .timer(let host):
                let target = known[Int.random(in: 0..<known.count, using: &random)]
                network.send(bytes.span, from: host, via: .server, to: target)
                network.setTimer(network.now + .milliseconds(100), of: host)
            case .alarm: break
            }
        }
        return (sum, network.statistics)
    }

    @Test func `the same seed is the same run`() {
        let (one, two, other) = (storm(seed: 1), storm(seed: 1), storm(seed: 2))
        #expect(one.sum == two.sum && one.statistics == two.statistics)
        #expect(one.sum != other.sum)
        #expect(one.statistics.delivered > 1000 && one.statistics.filtered > 100)
    }
}
