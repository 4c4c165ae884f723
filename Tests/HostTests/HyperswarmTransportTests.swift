import Base
import Crypto
import DHT
import Glibc
import Noise
import Share
import Swarm
import Synchronization
import Testing
import Wire

@testable import Host

let loopbackHost = NetworkAddress.v4(0x7f00_0001)

/// A network of a few DHT nodes on loopback, on one event loop.
final class LocalNetwork {
    let loop: EventLoop
    private(set) var nodes: [SwarmNode] = []
    var bootstrap: [PeerAddress] = []

    init(nodes count: Int) throws {
        loop = try EventLoop()
        try loop.start()
        for _ in 0..<count {
            var random = SystemRandomNumberGenerator()
            var options = SwarmNodeOptions(
                keyPair: KeyPair(using: &random), bootstrap: try bootstrap.map(Self.endpoint))
            options.address = loopbackHost
            options.serverPorts = [freePort()]
            options.mode = .persistent
            options.isFirewalled = false
            options.publicAddress = NetworkEndpoint(
                address: loopbackHost, port: options.serverPorts[0])
            let node = SwarmNode(loop: loop, options: options)
            try node.open()
            nodes.append(node)
            if bootstrap.count < 2 {
                bootstrap.append(
                    PeerAddress(host: "127.0.0.1", port: options.serverPorts[0]))
            }
        }
    }

    private static func endpoint(_ address: PeerAddress) throws -> NetworkEndpoint {
        NetworkEndpoint(address: try #require(NetworkAddress(address.host)), port: address.port)
    }

    func stop() {
        for node in nodes { node.close() }
        loop.stop()
    }
}

/// A port that nobody has at the moment.
func freePort() -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(descriptor) }
    guard let address = SocketAddress(NetworkEndpoint(address: loopbackHost, port: 0)) else {
        return 0
    }
    _ = address.withPointer { bind(descriptor, $0, $1) }
    return SocketAddress.filled { getsockname(descriptor, $0, $1) }.address?.port ?? 0
}

/// One device whose transport is hyperswarm alone.
final class SwarmDevice {
    let loop: EventLoop
    let workers: WorkerPool
    let transport: HyperswarmTransport
    let handler = FakeHandler()
    let driver: ShareDriver
    let log = LineLog()
    let key: KeyPair

    init(_ network: LocalNetwork, key: UInt8, memory: SwarmMemory = SwarmMemory()) throws {
        loop = try EventLoop()
        workers = try WorkerPool(threads: 1)
        self.key = KeyPair(seed: Bytes32(repeating: key))
        var options = HyperswarmOptions(nodeKey: self.key, bootstrap: network.bootstrap)
        options.memory = memory
        transport = HyperswarmTransport(loop: loop, workers: workers, options: options)
        driver = ShareDriver(
            loop: loop, handler: handler, transports: [transport], topics: testTopics,
            ownKey: self.key.publicKey, log: log)
        handler.state.withLock { state in
            // Both sides write at once, as a share does: it is by packets that they find each other.
            state.onOpen = { id, _ in [identification(id), .send(id, [1, 2, 3])] }
        }
    }

    func start(isMember: Bool = true) throws {
        try loop.start()
        try transport.attach(driver)
        driver.start(isMember: isMember)
    }

    func stop() {
        driver.stop()
        transport.close()
        loop.stop()
        workers.stop()
    }
}

@Suite(.serialized) struct HyperswarmTransportTests {
    @Test func `two devices that know only a topic and the DHT find each other`() throws {
        let network = try LocalNetwork(nodes: 3)
        defer { network.stop() }
        let (alice, bob) = (try SwarmDevice(network, key: 1), try SwarmDevice(network, key: 2))
        defer {
            alice.stop()
            bob.stop()
        }
        let begin = monotonicNow()
        try alice.start()
        try bob.start()
        #expect(
            eventually(within: .seconds(15)) {
                !alice.handler.open.isEmpty && !bob.handler.open.isEmpty
            }, "\(alice.log.all) \(bob.log.all)")
        print("found each other after \(monotonicNow() - begin)")
    }

    /// Two devices that have met, and what they know then.
    private func memories(_ network: LocalNetwork) throws -> [SwarmMemory] {
        let devices = [try SwarmDevice(network, key: 1), try SwarmDevice(network, key: 2)]
        defer { for device in devices { device.stop() } }
        for device in devices { try device.start() }
        #expect(
            eventually(within: .seconds(15)) {
                devices.allSatisfy { $0.transport.memory.peers.contains { !$0.addresses.isEmpty } }
            }, "\(devices.map(\.log.all))")
        return devices.map(\.transport.memory)
    }

    private func reunion(_ network: LocalNetwork, _ memories: [SwarmMemory]) throws -> Duration {
        let begin = monotonicNow()
        let devices = [
            try SwarmDevice(network, key: 1, memory: memories[0]),
            try SwarmDevice(network, key: 2, memory: memories[1]),
        ]
        defer { for device in devices { device.stop() } }
        for device in devices { try device.start() }
        #expect(
            eventually(within: .seconds(40)) { devices.allSatisfy { !$0.handler.open.isEmpty } },
            "\(devices.map(\.log.all))")
        return monotonicNow() - begin
    }

    @Test func `devices that met once need no bootstrap node, only some node of the DHT`() throws {
        let network = try LocalNetwork(nodes: 3)
        defer { network.stop() }
        let memories = try memories(network)
        #expect(memories.allSatisfy { $0.nodes.count == 3 && $0.peers.count == 1 }, "\(memories)")
        for node in network.nodes.prefix(2) { node.close() }
        let nodesOnly = memories.map { SwarmMemory(nodes: $0.nodes) }
        print("by nodes alone after \(try reunion(network, nodesOnly))")
        print("by nodes and addresses after \(try reunion(network, memories))")
        // Names that nobody knows stand for nothing.
        network.bootstrap = [PeerAddress(host: "nowhere.invalid", port: 1)]
        print("without the names' addresses after \(try reunion(network, memories))")
    }

    @Test func `a peer at an address that is good still is met without any DHT`() throws {
        let network = try LocalNetwork(nodes: 3)
        defer { network.stop() }
        let met = try memories(network)
        for node in network.nodes { node.close() }
        let alice = try SwarmDevice(network, key: 1, memory: met[0])
        defer { alice.stop() }
        try alice.start()
        let port = try #require(alice.transport.serverPort)
        let peer = SwarmMemory.Peer(
            key: alice.key.publicKey,
            addresses: [NetworkEndpoint(address: loopbackHost, port: port)])
        let carol = try SwarmDevice(
            network, key: 2, memory: SwarmMemory(nodes: met[1].nodes, peers: [peer]))
        defer { carol.stop() }
        let begin = monotonicNow()
        try carol.start()
        #expect(
            eventually(within: .seconds(15)) {
                !alice.handler.open.isEmpty && !carol.handler.open.isEmpty
            }, "\(alice.log.all) \(carol.log.all)")
        print("met without a DHT after \(monotonicNow() - begin)")
    }

    @Test func `what is remembered is bounded, each thing once, the newest first`() throws {
        let places = (1...300).map {
            NetworkEndpoint(address: .v4(0x0a00_0000 + UInt32($0)), port: 4000)
        }
        let nowhere = NetworkEndpoint(address: .v4(0), port: 1)
        let closed = NetworkEndpoint(address: loopbackHost, port: 0)
        var memory = SwarmMemory(nodes: [nowhere, closed] + places + places)
        #expect(memory.nodes == Array(places.prefix(64)))
        memory.note([places[70], places[3]])
        #expect(memory.nodes.prefix(3) == [places[70], places[3], places[0]])
        #expect(memory.nodes.count == 64)
        for number in 0..<200 {
            memory.note(Bytes32(repeating: UInt8(number)), addresses: Array(places[number...]))
        }
        #expect(memory.peers.count == 64)
        #expect(memory.peers.first?.addresses == Array(places[199..<203]))
        memory.note(Bytes32(repeating: 150), addresses: [])
        #expect(memory.peers.first?.addresses == Array(places[150..<154]))
        #expect(SwarmMemory(nodes: memory.nodes, peers: memory.peers) == memory)
    }
}
