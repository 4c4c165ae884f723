import Base
import Crypto
import DHT
import Noise
import Swarm
import Synchronization
import Testing
import Wire

@testable import Host

/// One end of a stream that writes whenever the queue gets shorter, from within the report.
private final class Pump: SwarmNodeObserver, ByteStreamObserver, Sendable {
    struct State {
        var stream: SwarmStream?
        var toSend = 0
        var received = 0
        var reason: String?
        var isListening = false
    }

    let state = Mutex(State())

    init(sends: Int) { state.withLock { $0.toSend = sends } }

    func node(_ node: SwarmNode, connected stream: SwarmStream, dial: DialID?) {
        state.withLock { $0.stream = stream }
        stream.start(observer: self, number: 1)
        stream.send([1])
        fill(stream)
    }

    private func fill(_ stream: SwarmStream) {
        while stream.queuedBytes < 1 << 20,
            state.withLock({ state in
                state.toSend -= 10_000
                return state.toSend >= 0
            })
        {
            stream.send([UInt8](repeating: 7, count: 10_000))
            stream.flush()
        }
    }

    func streamReceived(_ number: UInt64, _ bytes: Span<UInt8>) {
        let count = bytes.count
        state.withLock { $0.received += count }
    }

    func streamDrained(_ number: UInt64, queuedBytes: Int) {
        if let stream = state.withLock({ $0.stream }) { fill(stream) }
    }

    func streamClosed(_ number: UInt64, reason: String) {
        state.withLock { $0.reason = reason }
    }

    func node(_ node: SwarmNode, dialFailed dial: DialID, _ reason: ConnectFailure) {
        state.withLock { $0.reason = reason.rawValue }
    }
    func node(_ node: SwarmNode, isListeningAt relays: [NetworkEndpoint]) {
        state.withLock { $0.isListening = true }
    }
    func node(_ node: SwarmNode, reports event: DHTEvent) {}
    func nodeChangedNetwork(_ node: SwarmNode) {}
}

@Suite(.serialized) struct SwarmStreamTests {
    @Test func `an observer may write while it is told that the queue got shorter`() throws {
        let network = try LocalNetwork(nodes: 3)
        defer { network.stop() }
        let (left, right) = (Pump(sends: 20_000_000), Pump(sends: 0))
        let nodes = try [left, right].map { pump in
            var random = SystemRandomNumberGenerator()
            let bootstrap = try network.bootstrap.map {
                NetworkEndpoint(
                    address: try #require(NetworkAddress($0.host)), port: $0.port)
            }
            let node = SwarmNode(
                loop: network.loop,
                options: SwarmNodeOptions(keyPair: KeyPair(using: &random), bootstrap: bootstrap))
            node.observer = pump
            try node.open()
            return node
        }
        defer { for node in nodes { node.close() } }
        let (client, server) = (nodes[0], nodes[1])
        let key = try #require(
            network.loop.perform {
                server.call { core, now, effects in
                    core.listen(now: now, into: &effects)
                    return core.keyPair.publicKey
                }
            })
        try #require(eventually { right.state.withLock { $0.isListening } })
        _ = network.loop.perform {
            client.call { core, now, effects in core.connect(to: key, now: now, into: &effects) }
        }
        #expect(
            eventually(within: .seconds(30)) { right.state.withLock { $0.received } == 20_000_001 })
        // The end of one side reaches the other.
        _ = network.loop.perform { left.state.withLock { $0.stream }?.finish() }
        #expect(eventually { right.state.withLock { $0.reason } == "the other side closed it" })
        #expect(eventually { network.loop.perform { client.streamCount } == 0 })
    }
}
