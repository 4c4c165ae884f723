import Base
import CLinux
import Glibc
import Swarm

/// One try to connect to the first address of a list that answers. Confined to its loop's thread.
final class TCPDial: EventSource {
    typealias Completion = (Result<(Int32, SocketAddress), HostError>) -> Void

    let target: PeerAddress
    private let loop: EventLoop
    private let timeout: Duration
    private var rest: ArraySlice<SocketAddress>
    private var socket: (descriptor: Int32, token: UInt64, remote: SocketAddress)?
    private var completion: Completion?
    private(set) var deadline: Instant

    /// - Parameter completion: called once, with a connected descriptor that is the callee's to
    ///   close, unless `cancel` comes first.
    init(
        _ target: PeerAddress, _ addresses: [SocketAddress], loop: EventLoop, timeout: Duration,
        completion: @escaping Completion
    ) {
        self.target = target
        self.loop = loop
        self.timeout = timeout
        rest = addresses[...]
        self.completion = completion
        deadline = monotonicNow() + timeout
    }

    func start() { tryNext(after: .unknownHost(target.host)) }

    func cancel() {
        completion = nil
        closeSocket()
    }

    func expire() {
        tryNext(after: .system(code: ETIMEDOUT, action: "connecting to \(target)"))
    }

    func ready(_ events: Readiness) {
        guard let socket else { return }
        var code: Int32 = 0
        var length = socklen_t(4)
        // Four bytes into a local.
        unsafe _ = getsockopt(socket.descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        guard code == 0 else {
            return tryNext(after: .system(code: code, action: "connecting to \(target)"))
        }
        self.socket = nil
        loop.unwatch(socket.token, socket.descriptor)
        finish(.success((socket.descriptor, socket.remote)))
    }

    private func tryNext(after last: HostError) {
        closeSocket()
        var last = last
        while let remote = rest.popFirst() {
            do {
                try connect(to: remote)
                deadline = monotonicNow() + timeout
                return
            } catch {
                last = error
            }
        }
        finish(.failure(last))
    }

    private func connect(to remote: SocketAddress) throws(HostError) {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(remote.family, type, 0)
        try check(descriptor, "making a socket")
        let attempt = attempt {
            unsafe remote.withPointer { Int(unsafe Glibc.connect(descriptor, $0, $1)) }
        }
        do throws(HostError) {
            switch attempt {
            case .done, .wouldBlock, .failed(code: EINPROGRESS): break
            case .failed(let code):
                throw HostError.system(code: code, action: "connecting to \(target)")
            }
            let token = try loop.watch(descriptor, for: .writable, self)
            socket = (descriptor, token, remote)
        } catch {
            close(descriptor)
            throw error
        }
    }

    private func closeSocket() {
        guard let socket else { return }
        self.socket = nil
        loop.unwatch(socket.token, socket.descriptor)
        close(socket.descriptor)
    }

    private func finish(_ result: Result<(Int32, SocketAddress), HostError>) {
        guard let completion else {
            if case .success(let (descriptor, _)) = result { close(descriptor) }
            return
        }
        self.completion = nil
        completion(result)
    }
}
