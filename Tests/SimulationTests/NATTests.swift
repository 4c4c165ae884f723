import Base
import Simulation
import Testing
import Wire

/// Each kind of NAT, seen from both sides.
struct NATTests {
    private static let seed: UInt64 = 7

    /// Whom a host behind a NAT hears after it wrote to one server: that server, another port of
    /// the same host, another host.
    private struct Heard: Equatable {
        var sameEndpoint = false
        var otherPort = false
        var otherHost = false
    }

    @Test(
        arguments: [
            (NATKind.fullCone, true, true), (.addressRestricted, true, false),
            (.portRestricted, false, false), (.symmetric, false, false), (.double, false, false),
        ])
    func `a NAT lets in whom its filtering permits`(
        kind: NATKind, otherPort: Bool, otherHost: Bool
    ) throws {
        let lab = Lab(seed: Self.seed)
        let (server, other) = (lab.addHost(.open), lab.addHost(.open))
        let inside = lab.addHost(kind)
        lab.network.bind(.client, at: server)
        let seen = try #require(lab.send(1, from: inside, to: server))
        var heard = Heard()
        heard.sameEndpoint = lab.send(2, from: server, to: seen) == inside
        heard.otherPort = lab.send(3, from: server, via: .client, to: seen) == inside
        heard.otherHost = lab.send(4, from: other, to: seen) == inside
        #expect(heard == Heard(sameEndpoint: true, otherPort: otherPort, otherHost: otherHost))
    }

    @Test(arguments: [NATKind.fullCone, .addressRestricted, .portRestricted, .double])
    func `a cone shows one endpoint to everybody, with the port that it was bound to`(
        kind: NATKind
    ) throws {
        let lab = Lab(seed: Self.seed)
        let (one, two) = (lab.addHost(.open), lab.addHost(.open))
        let inside = lab.addHost(kind)
        let first = try #require(lab.send(1, from: inside, to: one))
        #expect(try #require(lab.send(2, from: inside, to: two)) == first)
        #expect(first.address == lab.network.publicAddress(of: inside))
        #expect(first.port == lab.network.endpoint(of: .server, at: inside)?.port)
        #expect(first.address != lab.network.address(of: inside))
    }

    @Test func `a symmetric NAT shows another port to each destination`() throws {
        let lab = Lab(seed: Self.seed)
        let servers = (0..<8).map { _ in lab.addHost(.open) }
        let inside = lab.addHost(.symmetric)
        var ports: Set<UInt16> = []
        for server in servers {
            let seen = try #require(lab.send(1, from: inside, to: server))
            #expect(seen.address == lab.network.publicAddress(of: inside))
            #expect(try #require(lab.send(1, from: inside, to: server)) == seen)
            ports.insert(seen.port)
        }
        #expect(ports.count == servers.count)
    }

    @Test func `where UDP is blocked nothing passes, but neighbours hear each other`() throws {
        let lab = Lab(seed: Self.seed)
        let server = lab.addHost(.open)
        let inside = lab.addHost(.udpBlocked)
        #expect(lab.send(1, from: inside, to: server) == nil)
        #expect(lab.network.statistics.filtered == 1)
        let neighbour = lab.network.addHost(in: lab.network.realm(of: inside))
        lab.network.bind(.server, at: neighbour)
        #expect(lab.send(2, from: inside, to: neighbour) != nil)
    }

    @Test(arguments: [NATKind.fullCone, .portRestricted, .symmetric])
    func `a mapping ends after its time of silence from inside`(kind: NATKind) throws {
        let lab = Lab(seed: Self.seed)
        let server = lab.addHost(.open)
        let inside = lab.network.addHost(behind: kind, timeout: .seconds(30))
        lab.network.bind(.server, at: inside)
        let seen = try #require(lab.send(1, from: inside, to: server))
        lab.wait(.seconds(29))
        #expect(lab.send(2, from: server, to: seen) == inside)
        lab.wait(.seconds(2))
        #expect(lab.send(3, from: server, to: seen) == nil, "what comes in keeps nothing open")
    }

    @Test(
        arguments: [NATKind.fullCone, .portRestricted, .double], [NATKind.portRestricted, .double])
    func `two that write to each other at once are through`(left: NATKind, right: NATKind) throws {
        let lab = Lab(seed: Self.seed)
        let server = lab.addHost(.open)
        let (a, b) = (lab.addHost(left), lab.addHost(right))
        let (seenA, seenB) = (
            try #require(lab.send(1, from: a, to: server)),
            try #require(lab.send(1, from: b, to: server))
        )
        if left != .fullCone { #expect(lab.send(2, from: b, to: seenA) == nil) }
        #expect(lab.send(3, from: a, to: seenB) == (left == .fullCone ? nil : b))
        #expect(lab.send(4, from: b, to: seenA) == a)
        #expect(lab.send(5, from: a, to: seenB) == b)
    }

    @Test(arguments: [NATKind.portRestricted, .double])
    func `a short time to live opens the own NATs and arrives nowhere`(kind: NATKind) throws {
        let lab = Lab(seed: Self.seed)
        let server = lab.addHost(.open)
        let (a, b) = (lab.addHost(kind), lab.addHost(.open))
        let seen = try #require(lab.send(1, from: a, to: server))
        let target = try #require(lab.network.endpoint(of: .server, at: b))
        #expect(lab.send(2, from: b, to: seen) == nil)
        #expect(lab.send(3, from: a, to: target, timeToLive: 5) == nil)
        #expect(lab.network.statistics.timeToLiveExceeded == 1)
        #expect(lab.send(4, from: b, to: seen) == a)
    }

    @Test func `neighbours reach each other at home but not around the corner`() throws {
        let lab = Lab(seed: Self.seed)
        let server = lab.addHost(.open)
        let a = lab.addHost(.fullCone)
        let b = lab.network.addHost(in: lab.network.realm(of: a))
        lab.network.bind(.server, at: b)
        let seen = try #require(lab.send(1, from: b, to: server))
        #expect(seen.address == lab.network.publicAddress(of: a))
        #expect(lab.send(2, from: a, to: seen) == nil)
        let local = try #require(lab.network.endpoint(of: .server, at: b))
        let start = lab.network.now
        #expect(lab.send(3, from: a, to: local, timeToLive: 1) == b)
        #expect(lab.network.now - start < .milliseconds(1))
    }

    @Test func `a NAT that does hairpinning turns what is for itself`() throws {
        let lab = Lab(seed: Self.seed)
        var behaviour = NATBehaviour.fullCone
        behaviour.hairpins = true
        let realm = lab.network.addNAT(behaviour)
        let server = lab.addHost(.open)
        let (a, b) = (lab.network.addHost(in: realm), lab.network.addHost(in: realm))
        lab.network.bind(.server, at: a)
        lab.network.bind(.server, at: b)
        let seen = try #require(lab.send(1, from: b, to: server))
        #expect(lab.send(2, from: a, to: seen) == b)
        #expect(lab.lastSource?.address == seen.address)
    }

    @Test func `two hosts with one port behind one NAT get two`() throws {
        let lab = Lab(seed: Self.seed)
        let server = lab.addHost(.open)
        let realm = lab.network.addNATs(.portRestricted)
        let (a, b) = (lab.network.addHost(in: realm), lab.network.addHost(in: realm))
        lab.network.bind(.server, at: a, port: 49737)
        lab.network.bind(.server, at: b, port: 49737)
        let (seenA, seenB) = (
            try #require(lab.send(1, from: a, to: server)),
            try #require(lab.send(2, from: b, to: server))
        )
        #expect(seenA.port == 49737 && seenB.port != 49737)
        #expect(lab.send(3, from: server, to: seenA) == a)
        #expect(lab.send(4, from: server, to: seenB) == b)
    }
}
