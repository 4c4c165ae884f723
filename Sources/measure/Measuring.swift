import Base
import Crypto
import DHT
import Glibc
import Host
import Swarm
import Synchronization
import Wire

func report(_ name: String, _ values: [(String, Double)]) {
    let fields = values.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ")
    print("{\"name\": \"\(name)\", \(fields)}")
    fflush(nil)
}

func makeLoop() throws -> EventLoop {
    let loop = try EventLoop()
    try loop.start()
    return loop
}

/// Nodes that make a DHT, on one loop.
func makeNetwork(_ count: Int) throws -> [Node] {
    let loop = try makeLoop()
    var nodes: [Node] = []
    for _ in 0..<count {
        nodes.append(
            try Node(loop, bootstrap: nodes.prefix(1).map(\.endpoint), isServer: true))
    }
    _ = waitUntil { nodes.allSatisfy { $0.state.withLock { $0.isReady } } }
    return nodes
}

func measureStream(_ megabytes: Int, _ network: [Node]) throws {
    let bytes = megabytes << 20
    let bootstrap = network.prefix(2).map(\.endpoint)
    let server = try Node(try makeLoop(), bootstrap: bootstrap)
    let client = try Node(try makeLoop(), bootstrap: bootstrap)
    var receiver: SealedPipe?
    server.onStream = { stream in
        receiver = SealedPipe(stream, isInitiator: false, sends: 0, awaits: bytes)
        receiver?.start()
    }
    var sender: SealedPipe?
    var begin = (at: Instant.zero, cpu: 0.0)
    client.onStream = { stream in
        begin = (monotonicNow(), cpuSeconds())
        sender = SealedPipe(stream, isInitiator: true, sends: bytes, awaits: 0)
        sender?.start()
    }
    server.listen()
    guard waitUntil(.seconds(10), { server.state.withLock { $0.isListening } }),
        client.dial(server.key.publicKey) != nil,
        waitUntil(
            .seconds(120), everyMicroseconds: 2000,
            { receiver?.finishedAt.withLock { $0 != nil } == true })
    else { return print("the stream did not finish: \(client.state.withLock { $0.failed })") }
    guard let end = receiver?.finishedAt.withLock({ $0 }) else { return }
    let seconds = (end - begin.at).milliseconds / 1000
    let cpu = cpuSeconds() - begin.cpu
    let statistics = client.loop.perform { client.node.endpoint.statistics }
    report(
        "udx stream under Noise",
        [
            ("MBPerSecond", rounded(Double(bytes) / 1e6 / seconds, 1)),
            ("cpuSecondsPerGB", rounded(cpu / (Double(bytes) / 1e9))),
            (
                "datagramsPerCall",
                rounded(
                    Double(statistics?.datagramsOut ?? 0)
                        / Double(max(1, statistics?.callsOut ?? 1)), 1)
            ),
        ])
    _ = sender
    client.node.close()
    server.node.close()
}

/// Streams of a direct transport, one at each end.
final class TCPEnd: TransportObserver, @unchecked Sendable {
    let loop: EventLoop
    let transport: DirectTransport
    var onStream: ((any ByteStream) -> Void)?

    init(listens: Bool) throws {
        loop = try makeLoop()
        transport = try DirectTransport(
            loop: loop, workers: try WorkerPool(threads: 1),
            listen: listens ? PeerAddress(host: "127.0.0.1", port: 0) : nil, peers: [])
        try transport.attach(self)
    }

    func transport(_ transport: any Transport, found target: DialTarget) {}
    func transport(
        _ transport: any Transport, opened stream: any ByteStream, dialed: DialTarget?
    ) { onStream?(stream) }
    func transport(
        _ transport: any Transport, dialFailed target: DialTarget, reason: String
    ) { print("tcp: \(reason)") }
    func transportNoticedNetworkChange(_ transport: any Transport) {}
}

func measureTCP(_ megabytes: Int) throws {
    let bytes = megabytes << 20
    let (server, client) = (try TCPEnd(listens: true), try TCPEnd(listens: false))
    var receiver: SealedPipe?
    server.onStream = { stream in
        receiver = SealedPipe(stream, isInitiator: false, sends: 0, awaits: bytes)
        receiver?.start()
    }
    var sender: SealedPipe?
    var begin = (at: Instant.zero, cpu: 0.0)
    client.onStream = { stream in
        begin = (monotonicNow(), cpuSeconds())
        sender = SealedPipe(stream, isInitiator: true, sends: bytes, awaits: 0)
        sender?.start()
    }
    guard let address = server.transport.listenAddress else { return }
    _ = server.loop.perform { server.transport.connect(.zero) }
    _ = client.loop.perform { client.transport.dial(.address(address)) }
    guard
        waitUntil(
            .seconds(120), everyMicroseconds: 2000,
            { receiver?.finishedAt.withLock { $0 != nil } == true }),
        let end = receiver?.finishedAt.withLock({ $0 })
    else { return print("tcp did not finish") }
    let seconds = (end - begin.at).milliseconds / 1000
    let cpu = cpuSeconds() - begin.cpu
    report(
        "tcp + secret stream",
        [
            ("MBPerSecond", rounded(Double(bytes) / 1e6 / seconds, 1)),
            ("cpuSecondsPerGB", rounded(cpu / (Double(bytes) / 1e9))),
        ])
    _ = sender
    client.transport.close()
    server.transport.close()
}

func median(_ values: [Double]) -> Double {
    values.isEmpty ? -1 : values.sorted()[values.count / 2]
}

func measureMeeting(_ network: [Node], rounds: Int) throws {
    let bootstrap = network.prefix(2).map(\.endpoint)
    let server = try Node(try makeLoop(), bootstrap: bootstrap)
    let client = try Node(try makeLoop(), bootstrap: bootstrap)
    server.onStream = { stream in
        SealedPipe(stream, isInitiator: false, sends: 0, awaits: 0).start()
    }
    client.onStream = { stream in SealedPipe(stream, isInitiator: true, sends: 0, awaits: 0).start()
    }
    server.listen()
    _ = waitUntil {
        server.state.withLock { $0.isListening } && client.state.withLock { $0.isReady }
    }
    var connects: [Double] = []
    var lookups: [Double] = []
    for round in 0..<rounds {
        let begin = monotonicNow()
        guard let dial = client.dial(server.key.publicKey) else { return }
        if waitUntil(.seconds(15), { client.state.withLock { $0.dialed.contains(dial) } }) {
            connects.append((monotonicNow() - begin).milliseconds)
        }
        let topic = Bytes32(repeating: UInt8(truncatingIfNeeded: round))
        let start = monotonicNow()
        guard let query = client.lookup(topic) else { return }
        if waitUntil(.seconds(15), { client.state.withLock { $0.endedQueries.contains(query) } }) {
            lookups.append((monotonicNow() - start).milliseconds)
        }
    }
    report(
        "connect through \(network.count) nodes",
        [
            ("medianMilliseconds", rounded(median(connects))),
            ("count", Double(connects.count)),
        ])
    report(
        "lookup in \(network.count) nodes",
        [
            ("medianMilliseconds", rounded(median(lookups))),
            ("count", Double(lookups.count)),
        ])
    client.node.close()
    server.node.close()
}

func measureIdle(_ network: [Node], count: Int) throws {
    let bootstrap = network.prefix(2).map(\.endpoint)
    let server = try Node(try makeLoop(), bootstrap: bootstrap)
    let client = try Node(try makeLoop(), bootstrap: bootstrap)
    var pipes: [SealedPipe] = []
    var others: [SealedPipe] = []
    server.onStream = { stream in
        let pipe = SealedPipe(stream, isInitiator: false, sends: 0, awaits: 0)
        pipes.append(pipe)
        pipe.start()
    }
    client.onStream = { stream in
        let pipe = SealedPipe(stream, isInitiator: true, sends: 0, awaits: 0)
        others.append(pipe)
        pipe.start()
    }
    server.listen()
    _ = waitUntil {
        server.state.withLock { $0.isListening } && client.state.withLock { $0.isReady }
    }
    let before = residentBytes()
    for _ in 0..<count {
        guard let dial = client.dial(server.key.publicKey) else { return }
        _ = waitUntil(.seconds(15)) { client.state.withLock { $0.dialed.contains(dial) } }
    }
    sleep(2)
    let after = residentBytes()
    let made = client.state.withLock { $0.dialed.count }
    let cpu = cpuSeconds()
    let calls = client.loop.perform { client.node.endpoint.statistics.callsIn } ?? 0
    sleep(5)
    let callsAfter = client.loop.perform { client.node.endpoint.statistics.callsIn } ?? 0
    report(
        "\(made) idle connections, both ends",
        [
            ("KiBPerEnd", rounded(Double(after - before) / 1024 / Double(max(1, 2 * made)), 1)),
            ("receiveCallsPerSecond", rounded(Double(callsAfter - calls) / 5, 1)),
            ("cpuPercent", rounded((cpuSeconds() - cpu) / 5 * 100, 1)),
        ])
}
