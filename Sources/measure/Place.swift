import Base
import Crypto
import DHT
import Glibc
import Host
import Synchronization
import Wire

let loopback = NetworkAddress.v4(0x7f00_0001)

/// A node on loopback that remembers the streams it got and how its dials and queries ended.
final class Node: SwarmNodeObserver, @unchecked Sendable {
    struct State {
        var streams: [SwarmStream] = []
        var dialed: Set<DialID> = []
        var failed: [ConnectFailure] = []
        var isReady = false
        var isListening = false
        var endedQueries: Set<QueryID> = []
    }

    let state = Mutex(State())
    let node: SwarmNode
    let loop: EventLoop
    let key: KeyPair
    /// Called on the loop with each stream that comes; else it is kept.
    var onStream: ((SwarmStream) -> Void)?

    init(_ loop: EventLoop, bootstrap: [NetworkEndpoint], isServer: Bool = false) throws {
        var random = SystemRandomNumberGenerator()
        key = KeyPair(using: &random)
        var options = SwarmNodeOptions(keyPair: key, bootstrap: bootstrap)
        options.address = loopback
        options.serverPorts = [0]
        if isServer {
            options.mode = .persistent
            options.isFirewalled = false
            let port = Self.freePort()
            options.serverPorts = [port]
            options.publicAddress = NetworkEndpoint(address: loopback, port: port)
        }
        self.loop = loop
        node = SwarmNode(loop: loop, options: options)
        node.observer = self
        try node.open()
    }

    private static let ports = Atomic<UInt16>(23_000)
    private static func freePort() -> UInt16 {
        ports.add(1, ordering: .relaxed).newValue
    }

    var endpoint: NetworkEndpoint {
        let port = loop.perform { [node] in node.serverPort } ?? nil
        return NetworkEndpoint(address: loopback, port: port ?? 0)
    }

    func listen() {
        _ = loop.perform { [node] in
            node.call { core, now, effects in core.listen(now: now, into: &effects) }
        }
    }

    func dial(_ key: Bytes32) -> DialID? {
        loop.perform { [node] in
            node.call { core, now, effects in core.connect(to: key, now: now, into: &effects) }
        }
    }

    func lookup(_ topic: Bytes32) -> QueryID? {
        loop.perform { [node] in
            node.ask { node, now, effects in node.lookup(topic, now: now, into: &effects) }
        }
    }

    func node(_ node: SwarmNode, connected stream: SwarmStream, dial: DialID?) {
        if let onStream { onStream(stream) }
        state.withLock { state in
            state.streams.append(stream)
            if let dial { state.dialed.insert(dial) }
        }
    }

    func node(_ node: SwarmNode, dialFailed dial: DialID, _ reason: ConnectFailure) {
        state.withLock { $0.failed.append(reason) }
    }

    func node(_ node: SwarmNode, isListeningAt relays: [NetworkEndpoint]) {
        state.withLock { $0.isListening = true }
    }

    func node(_ node: SwarmNode, reports event: DHTEvent) {
        state.withLock { state in
            switch event {
            case .ready: state.isReady = true
            case .queryEnded(let id, _, _): state.endedQueries.insert(id)
            default: break
            }
        }
    }

    func nodeChangedNetwork(_ node: SwarmNode) {}
}

/// Waits for something, by looking again and again: often where time is measured, seldom where CPU is.
func waitUntil(
    _ limit: Duration = .seconds(60), everyMicroseconds pause: UInt32 = 20,
    _ condition: () -> Bool
) -> Bool {
    let end = monotonicNow() + limit
    while !condition() {
        if monotonicNow() > end { return false }
        usleep(pause)
    }
    return true
}

/// CPU seconds of this process so far.
func cpuSeconds() -> Double {
    var time = timespec()
    // Cannot fail with a known clock and a pointer to a local.
    unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Resident bytes of this process.
func residentBytes() -> Int {
    let text = readFile("/proc/self/statm")
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
}

private func readFile(_ path: String) -> String {
    let descriptor = unsafe open(path, O_RDONLY)
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 256)
    // At most as many bytes as there are.
    let count = unsafe read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
}

extension Duration {
    var milliseconds: Double { Double(nanosecondsClamped) / 1e6 }
}

func rounded(_ value: Double, _ digits: Int = 2) -> Double {
    let scale = pow(10, Double(digits))
    return (value * scale).rounded() / scale
}
