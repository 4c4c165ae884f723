import Base
import Host
import Swarm
import Synchronization
import Testing
import Wire

/// Notes what is found.
private final class Finder: TransportObserver, Sendable {
    let found = Mutex<[DialTarget]>([])
    func transport(_ transport: any Transport, found target: DialTarget) {
        found.withLock { $0.append(target) }
    }
    func transport(
        _ transport: any Transport, opened stream: any ByteStream, dialed: DialTarget?
    ) {}
    func transport(
        _ transport: any Transport, dialFailed target: DialTarget, reason: String
    ) {}
    func transportNoticedNetworkChange(_ transport: any Transport) {}
    var all: [DialTarget] { found.withLock { $0 } }
}

private final class Station: Sendable {
    let loop: EventLoop
    let transport: LANTransport
    let finder = Finder()

    init(group: UInt16, port: UInt16) throws {
        loop = try EventLoop()
        try loop.start()
        var options = LANTransport.Options()
        options.isLoopbackOnly = true
        // A group and port of this test's own.
        options.group = NetworkEndpoint(address: .v4(0xefff_0000 | UInt32(group)), port: group)
        transport = LANTransport(loop: loop, options: options, port: { port })
        transport.attach(finder)
    }

    func perform(_ body: @escaping @Sendable (LANTransport) -> Void) {
        _ = loop.perform { [transport] in body(transport) }
    }

    func stop() {
        transport.close()
        loop.stop()
    }
}

@Suite struct LANTransportTests {
    @Test func `stations with one topic find each other's port, and others do not`() throws {
        let group = UInt16.random(in: 40_000...48_000)
        let stations = try (UInt16(1)...3).map { try Station(group: group, port: 5000 + $0) }
        defer { for station in stations { station.stop() } }
        try #require(stations.allSatisfy { $0.transport.problem == nil })
        let (data, other) = (Bytes32(repeating: 1), Bytes32(repeating: 2))
        stations[0].perform { $0.connect(data) }
        stations[1].perform { $0.connect(data) }
        stations[2].perform { $0.connect(other) }
        let wanted = { (port: UInt16) in
            DialTarget.address(PeerAddress(host: "127.0.0.1", port: port))
        }
        #expect(eventually { stations[0].finder.all.contains(wanted(5002)) })
        #expect(eventually { stations[1].finder.all.contains(wanted(5001)) })
        #expect(Set(stations[0].finder.all) == [wanted(5002)])
        #expect(stations[2].finder.all.isEmpty)
    }

    @Test func `one who only looks finds, and is not found`() throws {
        let group = UInt16.random(in: 40_000...48_000)
        let (member, joiner) = (
            try Station(group: group, port: 5001), try Station(group: group, port: 5002)
        )
        defer {
            member.stop()
            joiner.stop()
        }
        let bootstrap = Bytes32(repeating: 1)
        member.perform { $0.connect(bootstrap) }
        joiner.perform { $0.lookup(bootstrap) }
        #expect(eventually { !joiner.finder.all.isEmpty })
        #expect(member.finder.all.isEmpty)
    }
}
