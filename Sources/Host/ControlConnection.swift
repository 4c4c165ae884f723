import Base
import Glibc

/// One request on the control socket, on the daemon's side. Confined to its loop's thread.
final class ControlConnection: EventSource, @unchecked Sendable {
    private enum State { case reading, waiting, writing, closed }

    private let descriptor: Descriptor
    private let loop: EventLoop
    private let received: (ControlConnection, [UInt8]) -> Void
    private let ended: (ControlConnection) -> Void
    private var state = State.reading
    private var line: [UInt8] = []
    private var queue = WriteQueue()
    private var token: UInt64?
    private(set) var deadline = Instant.distantFuture

    private static let replyTimeout: Duration = .seconds(10)

    init(
        _ descriptor: consuming Descriptor, loop: EventLoop,
        received: @escaping (ControlConnection, [UInt8]) -> Void,
        ended: @escaping (ControlConnection) -> Void
    ) {
        self.descriptor = descriptor
        self.loop = loop
        self.received = received
        self.ended = ended
    }

    func start(deadline: Instant) {
        self.deadline = deadline
        token = try? loop.watch(descriptor.number, for: .readable, self)
        if token == nil { close() }
    }

    func reply(_ answer: [UInt8]) {
        guard state == .waiting else { return }
        guard answer.count <= ControlSocket.responseBytesMax else { return close() }
        state = .writing
        deadline = monotonicNow() + Self.replyTimeout
        queue.append(answer + [UInt8(ascii: "\n")])
        write()
    }

    func close() {
        guard state != .closed else { return }
        state = .closed
        if let token { loop.unwatch(token, descriptor.number) }
        token = nil
        shutdown(descriptor.number, Int32(SHUT_RDWR))
        ended(self)
    }

    func ready(_ events: Readiness) {
        switch state {
        case .reading: read()
        // Whoever asked is gone, or sends what nobody asked for.
        case .waiting: close()
        case .writing: write()
        case .closed: break
        }
    }

    private func read() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while state == .reading {
            let attempt = attempt {
                // The kernel writes within the array.
                unsafe buffer.withUnsafeMutableBytes {
                    unsafe recv(descriptor.number, $0.baseAddress, $0.count, 0)
                }
            }
            switch attempt {
            case .wouldBlock: return
            case .failed, .done(0): return close()
            case .done(let count):
                line += buffer[..<count]
                if let end = line.firstIndex(of: UInt8(ascii: "\n")) {
                    state = .waiting
                    // As long as the work takes; the client has its own limit and hangs up.
                    deadline = .distantFuture
                    return received(self, Array(line[..<end]))
                }
                guard line.count <= ControlSocket.requestBytesMax else { return close() }
            }
        }
    }

    private func write() {
        switch queue.write(to: descriptor.number) {
        case .wouldBlock:
            if let token { loop.change(token, descriptor.number, to: .writable) }
        case .done, .failed: close()
        }
    }
}
