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

    init(_ network: LocalNetwork, key: UInt8) throws {
        loop = try EventLoop()
        workers = try WorkerPool(threads: 1)
        self.key = KeyPair(seed: Bytes32(repeating: key))
        transport = HyperswarmTransport(
            loop: loop, workers: workers,
            options: HyperswarmOptions(nodeKey: self.key, bootstrap: network.bootstrap))
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
}
