import Base
import Glibc
import Host
import Share
import Swarm
import Synchronization
import Testing

@Suite(.serialized) struct ShareDriverTests {
    /// Two devices, connected; stopped when `body` is done.
    private func withPair(
        limits: HostLimits = HostLimits(), _ body: (Device, Device) throws -> Void
    ) throws {
        let alice = try Device(key: 1, limits: limits)
        let bob = try Device(peers: [try alice.address], key: 2, limits: limits)
        defer {
            alice.stop()
            bob.stop()
        }
        try alice.start()
        try bob.start()
        try #require(eventually { alice.handler.open.count == 1 && bob.handler.open.count == 1 })
        try body(alice, bob)
    }

    @Test func `a dial opens a connection on both sides, with one initiator`() throws {
        try withPair { alice, bob in
            #expect(alice.handler.state.withLock { $0.initiated.isEmpty })
            #expect(bob.handler.state.withLock { $0.initiated.count == 1 })
        }
    }

    @Test func `what is sent arrives, both ways at once, in order and whole`() throws {
        try withPair { alice, bob in
            let bytes = 30_000_000
            for (device, peer) in [(alice, bob), (bob, alice)] {
                let id = try #require(device.handler.open.first)
                device.handler.state.withLock {
                    $0.toSend[id] = bytes
                    $0.pieceBytes = 77_777
                }
                device.clock.wake()
                _ = peer
            }
            for device in [alice, bob] {
                let id = try #require(device.handler.open.first)
                #expect(eventually { device.handler.state.withLock { $0.received[id] == bytes } })
                #expect(device.handler.state.withLock { $0.queuedMost } <= (1 << 20) + 77_777)
            }
        }
    }

    @Test func `order is kept between small and large pieces`() throws {
        var random = SeededRandom(seed: 5)
        var pieces: [[UInt8]] = []
        for _ in 0..<500 {
            let size = Int.random(in: 0...9, using: &random) == 0 ? 50_000 : 30
            pieces.append(random.bytes(Int.random(in: 0...size, using: &random)))
        }
        let all = pieces.flatMap(\.self)
        let got = Mutex<[UInt8]>([])
        try withPair { alice, bob in
            let id = try #require(bob.handler.open.first)
            alice.handler.state.withLock {
                $0.onBytes = { _, bytes in
                    got.withLock { $0 += bytes }
                    return []
                }
            }
            bob.say(pieces.map { .send(id, $0) })
            #expect(eventually { got.withLock { $0.count } == all.count })
            #expect(got.withLock { $0 == all })
        }
    }

    @Test func `a close sends what is queued first`() throws {
        try withPair { alice, bob in
            let id = try #require(bob.handler.open.first)
            bob.say([
                .send(id, [UInt8](repeating: 1, count: 5_000_000)),
                .close(id, reason: "enough"),
            ])
            let other = try #require(alice.handler.open.first)
            #expect(eventually { alice.handler.state.withLock { $0.closed[other] != nil } })
            #expect(alice.handler.state.withLock { $0.received[other] } == 5_000_000)
            #expect(bob.handler.state.withLock { $0.closed[id] } == "enough")
            #expect(bob.log.all.contains { $0.hasSuffix(": enough") })
        }
    }

    @Test func `a peer that reads nothing is held back, then dropped`() throws {
        var limits = HostLimits()
        limits.queueBytesMax = 4 << 20
        limits.stallTimeout = .milliseconds(600)
        let alice = try Device(limits: limits)
        defer { alice.stop() }
        try alice.start()
        // One that is held back by its queue, and stalls.
        let lazy = try #require(PlainSocket(to: try alice.address))
        try #require(eventually { alice.handler.open.count == 1 })
        let id = try #require(alice.handler.open.first)
        alice.handler.state.withLock { $0.toSend[id] = 1 << 30 }
        alice.clock.wake()
        #expect(eventually { alice.handler.state.withLock { $0.closed[id] != nil } })
        #expect(alice.handler.state.withLock { $0.queuedMost } <= (1 << 20) + 100_000)
        #expect(alice.log.all.contains { $0.contains("in time") }, "\(alice.log.all)")
        // One to whom the share sends without asking.
        let greedy = try #require(PlainSocket(to: try alice.address))
        try #require(eventually { alice.handler.open.count == 1 })
        let second = try #require(alice.handler.open.first)
        for _ in 0..<200 { alice.say([.send(second, [UInt8](repeating: 1, count: 1 << 20))]) }
        #expect(
            eventually {
                alice.handler.state.withLock { $0.closed[second] != nil }
            })
        withExtendedLifetime((lazy, greedy)) {}
    }

    @Test func `an abrupt end is told once`() throws {
        let alice = try Device()
        defer { alice.stop() }
        try alice.start()
        for _ in 0..<20 {
            let client = try #require(PlainSocket(to: try alice.address))
            client.send([1, 2, 3])
            client.reset()
        }
        #expect(eventually { alice.handler.state.withLock { $0.closed.count } == 20 })
    }

    @Test func `two hundred connections at once all get their bytes back`() throws {
        let alice = try Device(identifies: true, swarmLimits: generous)
        alice.handler.state.withLock { $0.onBytes = { id, bytes in [.send(id, bytes)] } }
        defer { alice.stop() }
        try alice.start()
        var clients: [PlainSocket] = []
        for _ in 0..<200 { clients.append(try #require(PlainSocket(to: try alice.address))) }
        for (index, client) in clients.enumerated() {
            client.send([UInt8](repeating: UInt8(index), count: 1000))
        }
        for (index, client) in clients.enumerated() {
            var buffer = [UInt8](repeating: 0, count: 1000)
            #expect(recv(client.descriptor, &buffer, 1000, Int32(MSG_WAITALL)) == 1000)
            #expect(buffer.allSatisfy { $0 == UInt8(index) })
        }
        #expect(alice.handler.open.count == 200)
    }

    @Test func `silent and babbling strangers are dropped; peers notice nothing`() throws {
        var swarm = SwarmLimits()
        swarm.identifyTimeout = .milliseconds(500)
        swarm.strangersMax = 16
        // Only connections that begin with a 7 are peers; a 0 breaks the protocol.
        let alice = try Device(identifies: false, swarmLimits: swarm)
        alice.handler.state.withLock {
            $0.onBytes = { id, bytes in
                switch bytes.first {
                case 7: [identification(id), .send(id, bytes)]
                case 0: [.reject(id, reason: "garbage")]
                default: []
                }
            }
        }
        defer { alice.stop() }
        try alice.start()
        let peer = try #require(PlainSocket(to: try alice.address))
        peer.send([7])
        try #require(eventually { alice.handler.state.withLock { $0.received.count } == 1 })
        // Slow ones, silent ones, and ones that talk nonsense.
        var rude: [PlainSocket] = []
        for index in 0..<60 {
            let client = try #require(PlainSocket(to: try alice.address))
            if index % 3 == 1 { client.send([1]) }
            if index % 3 == 2 { client.send([0, 0, 0]) }
            rude.append(client)
        }
        let start = monotonicNow()
        for round in 0..<20 {
            peer.send([7, UInt8(round)])
            var answer = [UInt8](repeating: 0, count: 2)
            #expect(recv(peer.descriptor, &answer, round == 0 ? 1 : 2, 0) > 0)
        }
        #expect(monotonicNow() - start < .seconds(2))
        #expect(eventually { alice.handler.open.count == 1 })
        for client in rude { #expect(client.isClosed(withinMilliseconds: 2000)) }
        #expect(!peer.isClosed(withinMilliseconds: 0))
    }

    @Test func `a device that restarts on its port is found again within a second`() throws {
        let alice = try Device(key: 1)
        let address = try alice.address
        let bob = try Device(peers: [address], key: 2)
        defer { bob.stop() }
        try alice.start()
        try bob.start()
        try #require(eventually { bob.handler.open.count == 1 })
        alice.stop()
        try #require(eventually { bob.handler.open.isEmpty })
        usleep(300_000)
        let loop = try EventLoop()
        let workers = try WorkerPool(threads: 1)
        let transport = try DirectTransport(
            loop: loop, workers: workers, listen: address, peers: [])
        let again = FakeHandler()
        let driver = ShareDriver(
            loop: loop, handler: again, transports: [transport], topics: testTopics,
            ownKey: Bytes32(repeating: 1), log: LineLog())
        try loop.start()
        try transport.attach(driver)
        driver.start()
        #expect(eventually(within: .seconds(1)) { again.open.count == 1 })
        driver.stop()
        loop.stop()
        workers.stop()
    }

    @Test func `connections beyond the limit wait or are turned away, and room is used again`()
        throws
    {
        var limits = HostLimits()
        limits.streamsMax = 4
        let alice = try Device(limits: limits)
        defer { alice.stop() }
        try alice.start()
        var clients: [PlainSocket] = []
        for _ in 0..<20 { clients.append(try #require(PlainSocket(to: try alice.address))) }
        usleep(200_000)
        #expect(alice.handler.open.count == 4)
        clients = []
        try #require(eventually { alice.handler.open.isEmpty })
        let late = try #require(PlainSocket(to: try alice.address))
        #expect(eventually { alice.handler.open.count == 1 })
        withExtendedLifetime(late) {}
    }

    @Test func `pause closes and refuses, resume connects at once`() throws {
        try withPair { alice, bob in
            bob.driver.setPaused(true)
            #expect(eventually { alice.handler.open.isEmpty && bob.handler.open.isEmpty })
            let stranger = try #require(PlainSocket(to: try bob.address))
            #expect(stranger.isClosed(withinMilliseconds: 2000))
            bob.driver.setPaused(false)
            #expect(eventually(within: .seconds(1)) { bob.handler.open.count == 1 })
        }
    }

    @Test func `an address that answers nothing is said once`() throws {
        // A port that was just given back.
        let free = try Device().address
        let bob = try Device(peers: [free], listens: false)
        defer { bob.stop() }
        try bob.start()
        #expect(eventually { !bob.log.all.isEmpty })
        usleep(500_000)
        #expect(bob.log.all.count == 1)
        #expect(bob.driver.dialStates.first?.target == .address(free))
        #expect(bob.driver.dialStates.first?.problem != nil)
    }

    @Test func `names are resolved off the loop`() throws {
        let alice = try Device(key: 1)
        let port = try alice.address.port
        let bob = try Device(peers: [PeerAddress(host: "localhost", port: port)], key: 2)
        defer {
            alice.stop()
            bob.stop()
        }
        try alice.start()
        try bob.start()
        #expect(eventually { bob.handler.open.count == 1 })
    }

    @Test func `the handler is called when it asked for it, and when it is woken`() throws {
        let alice = try Device()
        defer { alice.stop() }
        try alice.start()
        try #require(eventually { alice.handler.state.withLock { $0.advances > 0 } })
        usleep(20_000)
        let before = alice.handler.state.withLock { $0.advances }
        usleep(100_000)
        #expect(alice.handler.state.withLock { $0.advances } == before, "an idle loop must sleep")
        alice.clock.wake()
        #expect(eventually { alice.handler.state.withLock { $0.advances } > before })
        let at = monotonicNow() + .milliseconds(50)
        alice.handler.state.withLock { $0.wakeAt = at }
        alice.clock.wake()
        #expect(eventually { monotonicNow() > at })
        alice.handler.state.withLock { $0.wakeAt = .distantFuture }
        let after = alice.handler.state.withLock { $0.advances }
        #expect(after > before + 1)
    }

    @Test func `the preferred port is taken when it is free, and any other when it is not`() throws
    {
        let workers = try WorkerPool(threads: 1)
        defer { workers.stop() }
        func listening(preferring port: UInt16) throws -> DirectTransport {
            try DirectTransport(
                loop: try EventLoop(), workers: workers,
                listen: PeerAddress(host: "127.0.0.1", port: 0), preferredPort: port, peers: [])
        }
        let first = try listening(preferring: 0)
        let port = try #require(first.listenAddress?.port)
        let second = try listening(preferring: port)
        #expect(second.listenAddress?.port != port)
        let free = try #require(try listening(preferring: 0).listenAddress?.port)
        #expect(try listening(preferring: free).listenAddress?.port == free)
        withExtendedLifetime((first, second)) {}
    }

    @Test func `a port that is taken says so`() throws {
        let alice = try Device()
        let address = try alice.address
        let loop = try EventLoop()
        let workers = try WorkerPool(threads: 1)
        defer { workers.stop() }
        #expect {
            _ = try DirectTransport(loop: loop, workers: workers, listen: address, peers: [])
        } throws: { error in
            "\(error)" == "listening on \(address): Address already in use"
        }
    }

    private var generous: SwarmLimits {
        var limits = SwarmLimits()
        limits.peersMax = 1000
        limits.originBurst = 1000
        return limits
    }
}
