import Base
import CLinux
import Glibc
import Swarm

/// A listening TCP socket. Confined to its loop's thread once it is opened.
@safe
final class TCPListener: EventSource {
    let address: SocketAddress
    private let descriptor: Descriptor
    private let loop: EventLoop
    private let limits: HostLimits
    private let accepted: (Int32, SocketAddress) -> Void
    private var token: UInt64?
    private var pause: Duration
    /// Not watched until then: the system had no descriptor left.
    private(set) var resumesAt: Instant?

    private static let pauseLongest: Duration = .seconds(1)
    private static let backlog: Int32 = 1024

    /// Binds and listens; nothing is accepted before `open` and `accept`.
    ///
    /// - Parameter accepted: owns the non-blocking descriptor it is given.
    init(
        _ address: SocketAddress, loop: EventLoop, limits: HostLimits,
        accepted: @escaping (Int32, SocketAddress) -> Void
    ) throws(HostError) {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let text = address.peerAddress
        let descriptor = try Descriptor(socket(address.family, type, 0), "making a socket")
        let number = descriptor.number
        var yes: Int32 = 1
        var no: Int32 = 0
        // Four bytes of a local each. A restarted daemon gets its port back at once.
        unsafe _ = setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        if address.family == AF_INET6 {
            unsafe _ = setsockopt(number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &no, 4)
        }
        try check(
            unsafe address.withPointer { unsafe bind(number, $0, $1) }, "listening on \(text)")
        try check(listen(number, Self.backlog), "listening on \(text)")
        let bound = unsafe SocketAddress.filled { unsafe getsockname(number, $0, $1) }
        guard let own = bound.address else {
            throw .system(code: errno, action: "asking for a socket's own address")
        }
        self.descriptor = descriptor
        self.address = own
        self.loop = loop
        self.limits = limits
        self.accepted = accepted
        pause = limits.acceptPause
    }

    /// Belongs to the loop from here on; connections wait in the backlog until `accept`.
    func open() throws(HostError) {
        token = try loop.watch(descriptor.number, for: [], self)
    }

    func accept() {
        guard let token, resumesAt == nil else { return }
        loop.change(token, descriptor.number, to: .readable)
    }

    func close() {
        if let token { loop.unwatch(token, descriptor.number) }
        token = nil
    }

    /// Leaves new connections in the backlog until `run` finds that the time has come.
    func holdOff(now: Instant) {
        guard let token, resumesAt == nil else { return }
        loop.change(token, descriptor.number, to: [])
        resumesAt = now + pause
        pause = min(pause * 2, Self.pauseLongest)
    }

    func run(now: Instant) {
        guard let at = resumesAt, now >= at, let token else { return }
        resumesAt = nil
        loop.change(token, descriptor.number, to: .readable)
    }

    func ready(_ events: Readiness) {
        for _ in 0..<limits.acceptsPerTurn where resumesAt == nil && token != nil {
            var code: Int32 = 0
            let (connection, remote) = unsafe SocketAddress.filled { address, length in
                let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
                let result = unsafe accept4(descriptor.number, address, length, flags)
                if result < 0 { code = errno }
                return result
            }
            guard connection >= 0 else {
                switch code {
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: holdOff(now: monotonicNow())
                // A connection that died in the backlog; there may be more.
                case ECONNABORTED, EINTR, EPROTO, EPERM: continue
                default: break
                }
                return
            }
            pause = limits.acceptPause
            if let remote {
                accepted(connection, remote)
            } else {
                Glibc.close(connection)
            }
        }
    }
}
