import Base
import CLinux
import Glibc
import Noise
import Swarm

/// One TCP connection. Confined to its loop's thread.
@safe
final class TCPStream: ByteStream, EventSource, @unchecked Sendable {
    private enum State {
        /// Not yet taken by an observer.
        case fresh
        case open
        /// Sends what is queued, then its end, then waits for the other side's end.
        case finishing
        case closed
    }

    let address: String
    let origin: String
    private let loop: EventLoop
    private let limits: HostLimits
    private let descriptor: Descriptor
    private weak var keeper: (any StreamKeeper)?
    private weak var observer: (any ByteStreamObserver)?
    private var number: UInt64 = 0
    private var state = State.fresh
    private var queue = WriteQueue()
    private var token: UInt64?
    private var watched: Readiness = []
    private var hasSentEnd = false
    /// When to give up, if nothing moves before: while bytes wait or the stream is finishing.
    private(set) var deadline: Instant?

    var path: PeerPath { .tcp }
    var handshake: HandshakeResult? { nil }
    var queuedBytes: Int { queue.count }

    /// As the kernel estimates it.
    var roundTripTime: Duration? {
        let microseconds = holdfast_tcp_round_trip(descriptor.number)
        return microseconds > 0 ? .microseconds(microseconds) : nil
    }
    var isFinishing: Bool { state == .finishing }

    /// - Parameter descriptor: connected, non-blocking.
    init(
        _ descriptor: consuming Descriptor, remote: SocketAddress, loop: EventLoop,
        limits: HostLimits, keeper: any StreamKeeper
    ) {
        self.descriptor = descriptor
        address = remote.peerAddress.description
        origin = remote.origin
        self.loop = loop
        self.limits = limits
        self.keeper = keeper
        setOptions()
    }

    func start(observer: any ByteStreamObserver, number: UInt64) {
        guard state == .fresh else { return }
        self.observer = observer
        self.number = number
        state = .open
        do {
            token = try loop.watch(descriptor.number, for: .readable, self)
            watched = .readable
        } catch {
            fail("\(error)")
        }
    }

    func send(_ bytes: [UInt8]) {
        guard state == .open else { return }
        if queue.isEmpty, !bytes.isEmpty { extendDeadline(limits.stallTimeout) }
        queue.append(bytes)
    }

    func flush() {
        guard state == .open || state == .finishing, !queue.isEmpty else { return }
        let before = queue.count
        let attempt = queue.write(to: descriptor.number)
        if case .failed(let code) = attempt { return fail(systemText(code)) }
        if queue.count < before {
            if state == .open {
                deadline = nil
                if !queue.isEmpty { extendDeadline(limits.stallTimeout) }
            }
            if state == .open { observer?.streamDrained(number, queuedBytes: queue.count) }
        }
        watch()
        sendEndIfDone()
    }

    func finish() {
        guard state == .open else { return abort() }
        state = .finishing
        observer = nil
        deadline = nil
        extendDeadline(limits.lingerTimeout)
        flush()
        sendEndIfDone()
    }

    func abort() {
        guard state != .closed else { return }
        state = .closed
        observer = nil
        deadline = nil
        queue.removeAll()
        if let token { loop.unwatch(token, descriptor.number) }
        token = nil
        // Ends it for the other side now; the number is closed when the last reference goes.
        shutdown(descriptor.number, Int32(SHUT_RDWR))
        keeper?.streamEnded(self)
    }

    /// The kernel notices by itself when an address has gone; what was sent there is soon given up.
    func verify(now: Instant) {
        guard state == .open else { return }
        setOption(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 3000)
    }

    /// Its deadline has come.
    func expire() {
        fail("took nothing of \(queue.count) bytes in time")
    }

    func ready(_ events: Readiness) {
        if events.contains(.writable) { flush() }
        if !events.isDisjoint(with: [.readable, .failed]) { readAvailable() }
    }

    private func readAvailable() {
        var rest = limits.readBytesPerTurn
        while rest > 0, state == .open || state == .finishing {
            let buffer = unsafe loop.readBuffer
            // The kernel writes within the buffer, which nobody else uses meanwhile.
            let attempt = attempt {
                unsafe recv(descriptor.number, buffer.baseAddress, buffer.count, 0)
            }
            switch attempt {
            case .wouldBlock: return
            case .failed(let code): return fail(systemText(code))
            case .done(0): return fail("the other side closed it")
            case .done(let count):
                rest -= count
                if state == .open {
                    // Just written by the kernel; the observer may not keep a span.
                    let bytes = unsafe UnsafeBufferPointer(
                        start: buffer.baseAddress?.assumingMemoryBound(to: UInt8.self),
                        count: count)
                    observer?.streamReceived(number, unsafe bytes.span)
                }
                if count < buffer.count { return }
            }
        }
    }

    private func fail(_ reason: String) {
        let observer = state == .open ? observer : nil
        abort()
        observer?.streamClosed(number, reason: reason)
    }

    private func sendEndIfDone() {
        guard state == .finishing, queue.isEmpty, !hasSentEnd else { return }
        hasSentEnd = true
        // Closing with unread bytes would reset the connection and lose what was sent last.
        shutdown(descriptor.number, Int32(SHUT_WR))
    }

    private func watch() {
        guard let token else { return }
        let wanted: Readiness = queue.isEmpty ? .readable : [.readable, .writable]
        guard wanted != watched else { return }
        watched = wanted
        loop.change(token, descriptor.number, to: wanted)
    }

    private func extendDeadline(_ wait: Duration) {
        deadline = monotonicNow() + wait
        keeper?.streamHasDeadline()
    }

    private func setOptions() {
        // Small messages go at once; a dead peer is noticed in about a minute. Should one of
        // these fail, the stream only works less well.
        setOption(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        setOption(SOL_SOCKET, SO_KEEPALIVE, 1)
        setOption(Int32(IPPROTO_TCP), TCP_KEEPIDLE, 30)
        setOption(Int32(IPPROTO_TCP), TCP_KEEPINTVL, 10)
        setOption(Int32(IPPROTO_TCP), TCP_KEEPCNT, 3)
    }

    private func setOption(_ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        // Four bytes of a local.
        unsafe _ = setsockopt(descriptor.number, level, name, &value, 4)
    }
}

/// Who made a stream, counts it and watches its deadline.
protocol StreamKeeper: AnyObject {
    func streamEnded(_ stream: TCPStream)
    func streamHasDeadline()
}
