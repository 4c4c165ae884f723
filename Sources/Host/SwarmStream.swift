package import Base
import DHT
package import Noise
package import Swarm
package import UDX
package import Wire

/// One UDX stream of a `SwarmNode`. Confined to its loop's thread.
package final class SwarmStream: ByteStream, @unchecked Sendable {
    private enum State {
        /// Known to the DHT and not yet connected.
        case reserved
        /// Connected, not yet taken by an observer.
        case fresh
        case open
        /// Sends what is queued, then its end, then waits for the other side's.
        case finishing
        case closed
    }

    enum Limits {
        /// How long a closed stream may take to send what it still has.
        static let lingerTime = Duration.seconds(5)
        /// How long the other side may take to show that it is there, after the network changed.
        static let verifyTime = Duration.seconds(2)
        /// Worth an acknowledgement of its own before it is handed on.
        static let muchReceived = 64 << 10
    }

    let tag: ConnectionTag
    private unowned let node: SwarmNode
    private var udx: UDXStream
    private var state = State.reserved
    private weak var observer: (any ByteStreamObserver)?
    private var number: UInt64 = 0
    package private(set) var handshake: HandshakeResult?
    package private(set) var path = PeerPath.direct
    /// Bytes that came in this turn.
    private var received: [UInt8] = []
    private var events: [UDXEvent] = []
    /// What the observer was last told.
    private var reportedBytes = 0
    private var isReporting = false
    /// In the node's list of streams to flush.
    var isTouched = false
    /// When the node's heap has it.
    var scheduledAt = Instant.distantFuture
    private var lingerAt = Instant.distantFuture
    private var verifyAt = Instant.distantFuture
    private var verifiedPackets: UInt64 = 0

    init(tag: ConnectionTag, streamID: UInt32, node: SwarmNode) {
        self.tag = tag
        self.node = node
        localID = streamID
        udx = UDXStream(localID: streamID)
    }

    var isRelayed: Bool { state != .reserved && state != .closed && path == .relayed }
    package let localID: UInt32
    package var address: String { remote.map { "\($0)" } ?? "?" }
    package var origin: String { remote.map { "\($0.address)" } ?? "?" }
    package private(set) var remote: NetworkEndpoint?
    package private(set) var socket: SocketID?
    package var roundTripTime: Duration? { look { $0.roundTripTime } }
    package var queuedBytes: Int { look { $0.queuedBytes } }
    package var statistics: UDXStatistics { look { $0.statistics } }
    var deadline: Instant { min(look { $0.deadline }, lingerAt, verifyAt) }
    var isFlushing: Bool { state == .finishing && look { $0.unacknowledgedBytes } > 0 }
    /// Much has come that was not handed on yet.
    var hasMuchReceived: Bool { received.count >= Limits.muchReceived }

    /// Reads the stream where it lies. A getter called on a property of a class gets a copy first,
    /// which retains everything in it.
    private func look<Value>(_ body: (inout UDXStream) -> Value) -> Value { body(&udx) }

    // MARK: What the owner does

    package func start(observer: any ByteStreamObserver, number: UInt64) {
        guard state == .fresh else { return }
        self.observer = observer
        self.number = number
        state = .open
        node.touch(self)
    }

    package func send(_ bytes: [UInt8]) {
        guard state == .open || state == .fresh else { return }
        udx.write(bytes.span)
        reportedBytes = queuedBytes
        node.touch(self)
    }

    package func flush() {
        guard state != .closed else { return }
        node.flush(self)
    }

    package func finish() {
        guard state == .open || state == .fresh else { return abort() }
        state = .finishing
        observer = nil
        udx.finish()
        lingerAt = monotonicNow() + Limits.lingerTime
        node.touch(self)
    }

    package func abort() {
        guard state != .closed else { return }
        node.destroy(&udx)
        close()
    }

    package func verify(now: Instant) {
        guard state == .open else { return }
        verifiedPackets = udx.statistics.packetsReceived
        verifyAt = now + Limits.verifyTime
        node.touch(self)
    }

    // MARK: What the node does

    func connect(_ established: Established, now: Instant) {
        guard state == .reserved else { return }
        state = .fresh
        handshake = established.handshake
        path = PeerPath(established.path)
        (remote, socket) = (established.remote, established.socket)
        udx.connect(
            remoteID: established.remoteStreamID, remote: established.remote,
            via: established.socket, now: now)
        node.touch(self)
    }

    func reroute(
        remoteStreamID: UInt32, remote: NetworkEndpoint, socket: SocketID, path: ConnectionPath,
        now: Instant
    ) {
        guard state != .closed else { return }
        self.path = PeerPath(path)
        (self.remote, self.socket) = (remote, socket)
        udx.changeRemote(remoteID: remoteStreamID, remote: remote, via: socket, now: now)
        node.sendEmptyMessage(&udx)
        node.touch(self)
    }

    /// Whether a packet that came this way may be a sign of another path.
    func isElsewhere(_ source: NetworkEndpoint, _ socket: SocketID) -> Bool {
        guard let current = self.socket else { return true }
        return current != socket || (path == .relayed && remote != source)
    }

    /// Takes one datagram. The node flushes the stream when the turn ends.
    func receive(_ datagram: Span<UInt8>, now: Instant) {
        if received.capacity == 0 { received = node.takeBuffer() }
        udx.receive(datagram, now: now, received: &received, events: &events)
    }

    /// Hands on what came in, and then what happened.
    func deliver() {
        // Before it is taken, what came stays where it is.
        guard state != .fresh, state != .reserved else { return }
        if !received.isEmpty, state == .open {
            var bytes: [UInt8] = []
            swap(&bytes, &received)
            observer?.streamReceived(number, bytes.span)
            bytes.removeAll(keepingCapacity: true)
            node.giveBack(bytes)
        } else if received.capacity > 0 {
            // Acknowledgements only, or nobody reads any more.
            received.removeAll(keepingCapacity: true)
            node.giveBack(received)
            received = []
        }
        takeEvents()
    }

    /// Appends what may leave now. Calls nobody: the batch is the node's own.
    func fill(_ batch: inout DatagramBatch, now: Instant) { udx.flush(now: now, into: &batch) }

    /// Tells that the queue got shorter, if it did.
    func reportDrained() {
        let queued = queuedBytes
        guard queued < reportedBytes, state == .open, !isReporting else { return }
        reportedBytes = queued
        isReporting = true
        observer?.streamDrained(number, queuedBytes: queued)
        isReporting = false
    }

    /// Its deadline has come.
    func advance(now: Instant) {
        if now >= lingerAt { return abort() }
        if now >= verifyAt {
            verifyAt = .distantFuture
            if udx.statistics.packetsReceived == verifiedPackets {
                return fail("silent since the network changed")
            }
        }
        udx.advance(now: now, events: &events)
        node.touch(self)
        takeEvents()
    }

    func fail(_ reason: String) {
        let observer = state == .open ? observer : nil
        abort()
        observer?.streamClosed(number, reason: reason)
    }

    private func takeEvents() {
        guard !events.isEmpty else { return }
        let happened = events
        events.removeAll(keepingCapacity: true)
        for event in happened {
            switch event {
            case .message, .drained, .remoteChanged: break
            case .ended:
                // Both directions end together; one that is finishing already waits for the rest.
                guard state == .open else { break }
                let observer = observer
                finish()
                observer?.streamClosed(number, reason: "the other side closed it")
            case .closed(let reason):
                let observer = state == .open ? observer : nil
                close()
                observer?.streamClosed(number, reason: Self.text(of: reason))
            }
        }
    }

    private static func text(of reason: UDXCloseReason) -> String {
        switch reason {
        case .finished: "both sides closed it"
        case .reset: "the other side closed it"
        case .timedOut: "the other side does not answer"
        }
    }

    private func close() {
        guard state != .closed else { return }
        state = .closed
        observer = nil
        node.flushLast(&udx)
        node.forget(self)
    }
}

extension PeerPath {
    init(_ path: ConnectionPath) {
        switch path {
        case .direct: self = .direct
        case .lan: self = .lan
        case .punched: self = .punched
        case .relayed: self = .relayed
        }
    }
}
