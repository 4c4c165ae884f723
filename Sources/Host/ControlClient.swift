import Base
import Glibc

/// Asks a running daemon. Blocks, with a limit.
package struct ControlClient: Sendable {
    /// The share's folder, which holds the socket.
    package let folder: String

    package init(folder: String) { self.folder = folder }

    /// Sends one request and waits for its answer.
    ///
    /// - Returns: the answer, and the daemon's process id (0 if it cannot be told).
    /// - Throws: `HostError.notRunning` if there is no daemon.
    package func ask(
        _ request: ControlRequest, timeout: Duration = .seconds(30)
    ) throws(HostError) -> (response: ControlResponse, process: Int32) {
        let line = try JSONText.encode(request)
        let (answer, process) = try ask(line, timeout: timeout)
        return (try JSONText.decode(ControlResponse.self, from: answer), process)
    }

    /// - Parameter line: without its newline.
    package func ask(
        _ line: [UInt8], timeout: Duration
    ) throws(HostError) -> (answer: [UInt8], process: Int32) {
        let deadline = monotonicNow() + timeout
        let descriptor = Descriptor(try ControlSocket.connect(in: folder))
        let (user, process) = try ControlSocket.peer(of: descriptor.number)
        guard user == geteuid() || user == 0 || geteuid() == 0 else { throw .foreignUser(user) }
        guard !Self.hasEnded(process) else { throw .notRunning }
        try send(line + [UInt8(ascii: "\n")], to: descriptor.number, deadline)
        return (try receiveLine(from: descriptor.number, deadline), process)
    }

    /// Who listens here; nil if nobody does, or if it cannot be told.
    package var process: Int32? {
        guard let opened = try? ControlSocket.connect(in: folder) else { return nil }
        let descriptor = Descriptor(opened)
        guard let peer = try? ControlSocket.peer(of: descriptor.number), peer.process > 0 else {
            return nil
        }
        return peer.process
    }

    /// Whether somebody listens here who has been killed: threads that wait in the kernel for the
    /// process's own mount keep its sockets, its lock and that mount.
    package var isAnsweredByNobody: Bool { process.map { Self.hasEnded($0) } ?? false }

    /// Whether a process's first thread is no more, by proc_pid_stat(5).
    private static func hasEnded(_ process: Int32) -> Bool {
        // The name before the state is in parentheses, and may have any in it.
        guard process > 0, let text = try? readWhole("/proc/\(process)/stat", limitBytes: 4096),
            let end = text.lastIndex(of: UInt8(ascii: ")")), end + 2 < text.count
        else { return false }
        return [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(text[end + 2])
    }

    private func send(
        _ bytes: [UInt8], to descriptor: Int32, _ deadline: Instant
    ) throws(HostError) {
        var queue = WriteQueue()
        queue.append(bytes)
        while true {
            switch queue.write(to: descriptor) {
            case .done: return
            case .wouldBlock: try wait(descriptor, POLLOUT, deadline)
            // A server that turns us away may have answered before it closed.
            case .failed(EPIPE): return
            case .failed(let code): throw .system(code: code, action: "asking the daemon")
            }
        }
    }

    private func receiveLine(
        from descriptor: Int32, _ deadline: Instant
    ) throws(HostError) -> [UInt8] {
        var line: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let attempt = attempt {
                // The kernel writes within the array.
                unsafe buffer.withUnsafeMutableBytes {
                    unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
                }
            }
            switch attempt {
            case .wouldBlock: try wait(descriptor, POLLIN, deadline)
            case .failed(let code): throw .system(code: code, action: "hearing the daemon")
            case .done(0): throw .malformed("the daemon: it hung up without an answer")
            case .done(let count):
                if let end = buffer[..<count].firstIndex(of: UInt8(ascii: "\n")) {
                    return line + buffer[..<end]
                }
                line += buffer[..<count]
                guard line.count <= ControlSocket.responseBytesMax else {
                    throw .tooLarge(limitBytes: ControlSocket.responseBytesMax)
                }
            }
        }
    }
}

/// Waits until a descriptor is ready for what `events` says.
func wait(_ descriptor: Int32, _ events: Int32, _ deadline: Instant) throws(HostError) {
    while true {
        let rest = deadline - monotonicNow()
        guard rest > .zero else { throw .timedOut("waiting for an answer") }
        let milliseconds = Int32(clamping: rest.nanosecondsClamped / 1_000_000 + 1)
        var poller = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        // One local structure.
        let count = unsafe poll(&poller, 1, milliseconds)
        if count > 0 { return }
        if count < 0, errno != EINTR {
            throw .system(code: errno, action: "waiting for a descriptor")
        }
    }
}
