import Base
import Host
import Noise
import Share
import Swarm
import Synchronization
import Testing

/// A share that the tests steer: notes what it is told, says what it is told to say.
final class FakeHandler: ConnectionHandler {
    struct State {
        var opened: [ConnectionID] = []
        var initiated: Set<ConnectionID> = []
        var closed: [ConnectionID: String] = [:]
        var received: [ConnectionID: Int] = [:]
        var digest: [ConnectionID: UInt64] = [:]
        var queued: [ConnectionID: Int] = [:]
        var queuedMost = 0
        var effects: [ShareEffect] = []
        var lines: [String] = []
        var wakeAt = Instant.distantFuture
        var advances = 0
        /// What to do when a connection opens, and with bytes that come.
        var onOpen: (@Sendable (ConnectionID, Bool) -> [ShareEffect])?
        var onBytes: (@Sendable (ConnectionID, [UInt8]) -> [ShareEffect])?
        /// Bytes still to send to each, in pieces of `pieceBytes`, holding back at `holdBack`.
        var toSend: [ConnectionID: Int] = [:]
        var pieceBytes = 100_000
        var holdBack = 1 << 20
    }

    let state = Mutex(State())

    var open: [ConnectionID] { state.withLock { s in s.opened.filter { s.closed[$0] == nil } } }

    func say(_ effects: [ShareEffect]) { state.withLock { $0.effects += effects } }

    func connectionOpened(
        _ id: ConnectionID, isInitiator: Bool, address: String, handshake: HandshakeResult?
    ) {
        let action = state.withLock { state in
            state.opened.append(id)
            if isInitiator { state.initiated.insert(id) }
            return state.onOpen
        }
        if let action { say(action(id, isInitiator)) }
    }

    func connectionReceived(_ id: ConnectionID, _ bytes: Span<UInt8>) {
        var copy: [UInt8] = []
        copy.reserveCapacity(bytes.count)
        for index in 0..<bytes.count { copy.append(bytes[index]) }
        let action = state.withLock { [copy] state in
            state.received[id, default: 0] += copy.count
            var digest = state.digest[id, default: 0xcbf2_9ce4_8422_2325]
            // Every byte counts towards the digest, at the price of debug speed for one in 64.
            for index in stride(from: 0, to: copy.count, by: 64) {
                digest = (digest ^ UInt64(copy[index])) &* 0x100_0000_01b3
            }
            state.digest[id] = digest
            return state.onBytes
        }
        if let action { say(action(id, copy)) }
    }

    func networkChanged() {}

    func connectionDrained(_ id: ConnectionID, queuedBytes: Int) {
        state.withLock { $0.queued[id] = queuedBytes }
    }

    func connectionClosed(_ id: ConnectionID, reason: String) {
        state.withLock { state in
            precondition(state.closed[id] == nil, "closed twice")
            state.closed[id] = reason
            state.toSend[id] = nil
        }
    }

    func advance(into effects: inout [ShareEffect]) -> Instant {
        state.withLock { state in
            state.advances += 1
            effects += state.effects
            state.effects = []
            for id in state.toSend.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
                while let rest = state.toSend[id], rest > 0,
                    state.queued[id, default: 0] < state.holdBack
                {
                    let count = min(rest, state.pieceBytes)
                    effects.append(.send(id, [UInt8](repeating: 7, count: count)))
                    state.toSend[id] = rest - count
                    state.queued[id, default: 0] += count
                    state.queuedMost = max(state.queuedMost, state.queued[id, default: 0])
                }
            }
            return state.wakeAt
        }
    }
}

/// Lines instead of a file.
final class LineLog: LogSink {
    private let lines = Mutex<[String]>([])
    func write(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

/// One device on loopback: a loop, a transport, a driver and a fake share.
struct Device {
    let loop: EventLoop
    let workers: WorkerPool
    let transport: DirectTransport
    let handler = FakeHandler()
    let driver: ShareDriver
    let log = LineLog()
    let clock: HostClock
    let key: Bytes32

    /// - Parameter identifies: whether every connection is taken for a peer at once, whose key is
    ///   that of its number.
    init(
        peers: [PeerAddress] = [], listens: Bool = true, key: UInt8 = 1, identifies: Bool = true,
        limits: HostLimits = HostLimits(), swarmLimits: SwarmLimits = SwarmLimits()
    ) throws {
        loop = try EventLoop()
        workers = try WorkerPool(threads: 1)
        clock = HostClock(loop: loop)
        self.key = Bytes32(repeating: key)
        transport = try DirectTransport(
            loop: loop, workers: workers,
            listen: listens ? PeerAddress(host: "127.0.0.1", port: 0) : nil, peers: peers,
            limits: limits)
        driver = ShareDriver(
            loop: loop, handler: handler, transports: [transport], topics: testTopics,
            ownKey: self.key,
            log: log, limits: limits, swarmLimits: swarmLimits)
        if identifies {
            handler.state.withLock { state in
                state.onOpen = { id, _ in [identification(id)] }
            }
        }
    }

    var address: PeerAddress {
        get throws { try #require(transport.listenAddress) }
    }

    func start() throws {
        try loop.start()
        try transport.attach(driver)
        driver.start()
    }

    func stop() {
        driver.stop()
        transport.close()
        loop.stop()
        workers.stop()
    }

    func say(_ effects: [ShareEffect]) {
        handler.say(effects)
        clock.wake()
    }
}

/// As if the peer had proved a key, a different one for each connection.
func identification(_ id: ConnectionID) -> ShareEffect {
    var random = SeededRandom(seed: id.rawValue)
    return .identified(
        id, key: Bytes32(random.bytes(32)) ?? .zero, session: Bytes32(random.bytes(32)) ?? .zero)
}

let testTopics = ShareTopics(data: .zero, bootstrap: Bytes32(repeating: 1))
