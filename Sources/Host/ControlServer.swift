package import Base
import CLinux
import Glibc

/// Answers the command line on the share's control socket, on the event loop.
///
/// One request line, one response line, a connection each. Only this user and root are heard
/// (threat T22): the socket is 0600 from the moment it exists, and the kernel tells who connects.
package final class ControlServer: LoopMember, EventSource, @unchecked Sendable {
    /// Called on the loop with a request line; `reply` is to be called once, from any thread, with
    /// the response line. Both without their newlines.
    package typealias Handler =
        @Sendable (_ line: [UInt8], _ reply: @escaping @Sendable ([UInt8]) -> Void) -> Void

    package static let clientsMax = 32
    private static let requestTimeout: Duration = .seconds(5)
    private static let sweepInterval: Duration = .milliseconds(500)

    private let loop: EventLoop
    private let folder: String
    private let log: any LogSink
    private let handler: Handler
    private let descriptor: Descriptor
    private var token: UInt64?
    private var clients: [ObjectIdentifier: ControlConnection] = [:]
    private var isHeldOff = false
    private var sweepAt = Instant.distantFuture

    /// Binds the socket, in place of one that a daemon left behind.
    ///
    /// - Throws: `HostError.system` with EADDRINUSE if a daemon answers there.
    package init(
        loop: EventLoop, folder: String, log: any LogSink, handler: @escaping Handler
    ) throws(HostError) {
        self.loop = loop
        self.folder = folder
        self.log = log
        self.handler = handler
        try Self.removeStale(in: folder)
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = try Descriptor(socket(AF_UNIX, type, 0), "making a socket")
        let number = descriptor.number
        // Before the bind: Linux gives the socket file the mode that the socket has.
        try check(fchmod(number, 0o600), "restricting the control socket")
        try unsafe ControlSocket.withAddress(in: folder) { pointer, length throws(HostError) in
            try check(unsafe bind(number, pointer, length), "making \(folder)/control.sock")
        }
        try check(listen(number, Int32(Self.clientsMax)), "listening on the control socket")
        self.descriptor = descriptor
    }

    /// A server of typed messages; what is no request is answered with an error.
    package convenience init(
        loop: EventLoop, folder: String, log: any LogSink,
        answer:
            @escaping @Sendable (
                _ request: ControlRequest, _ reply: @escaping @Sendable (ControlResponse) -> Void
            ) -> Void
    ) throws(HostError) {
        try self.init(loop: loop, folder: folder, log: log) { line, reply in
            let send: @Sendable (ControlResponse) -> Void = { response in
                reply((try? JSONText.encode(response)) ?? [])
            }
            guard let request = try? JSONText.decode(ControlRequest.self, from: line) else {
                let message = "the daemon does not know this request: is it of another version?"
                return send(ControlResponse(error: .init(message: message, exitCode: 1)))
            }
            answer(request, send)
        }
    }

    /// Begins to answer. From any thread.
    package func start() {
        loop.submit { [self] in
            loop.add(self)
            do {
                token = try loop.watch(descriptor.number, for: .readable, self)
            } catch {
                log.write("the control socket does not work: \(error)")
            }
        }
    }

    /// Takes the socket file away and hangs up on everybody. Waits for that; replies that are
    /// ready have been given to the kernel before.
    package func stop() {
        _ = loop.perform { [self] in
            if let token { loop.unwatch(token, descriptor.number) }
            token = nil
            loop.remove(self)
            for client in Array(clients.values) { client.close() }
            // The path is a terminated copy for the time of the call.
            unsafe _ = unlink("\(folder)/\(ControlSocket.name)")
        }
    }

    package func run(now: Instant) -> Instant {
        guard now >= sweepAt else { return sweepAt }
        sweepAt = .distantFuture
        if isHeldOff, let token { loop.change(token, descriptor.number, to: .readable) }
        isHeldOff = false
        for client in Array(clients.values) where now >= client.deadline { client.close() }
        if !clients.isEmpty { sweepAt = now + Self.sweepInterval }
        return sweepAt
    }

    func ready(_ events: Readiness) {
        while clients.count < Self.clientsMax {
            // No address is asked for.
            let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            let connection = accept4(descriptor.number, nil, nil, flags)
            guard connection >= 0 else {
                if errno != EAGAIN, let token {
                    // Most likely the system is out of descriptors: again with the next sweep.
                    loop.change(token, descriptor.number, to: [])
                    isHeldOff = true
                    sweepAt = min(sweepAt, monotonicNow() + Self.sweepInterval)
                }
                return
            }
            accept(Descriptor(connection))
        }
        // All places are taken: the newest must wait until the sweep frees one.
        clients.values.min { $0.deadline < $1.deadline }?.close()
    }

    private func accept(_ connection: consuming Descriptor) {
        guard let peer = try? ControlSocket.peer(of: connection.number) else { return }
        guard peer.user == geteuid() || peer.user == 0 else {
            log.write("refused a control request of uid \(peer.user)")
            return
        }
        let client = ControlConnection(connection, loop: loop) { [weak self] client, line in
            self?.handle(client, line)
        } ended: { [weak self] client in
            self?.clients[ObjectIdentifier(client)] = nil
        }
        clients[ObjectIdentifier(client)] = client
        client.start(deadline: monotonicNow() + Self.requestTimeout)
        sweepAt = min(sweepAt, monotonicNow() + Self.sweepInterval)
    }

    private func handle(_ client: ControlConnection, _ line: [UInt8]) {
        handler(line) { [loop] answer in
            loop.submit { client.reply(answer) }
        }
    }

    private static func removeStale(in folder: String) throws(HostError) {
        do throws(HostError) {
            close(try ControlSocket.connect(in: folder))
        } catch .notRunning {
            // Left behind, or never there. What else it is that refuses, bind will say.
            unsafe _ = unlink("\(folder)/\(ControlSocket.name)")
            return
        }
        throw .system(code: EADDRINUSE, action: "making \(folder)/control.sock")
    }
}
