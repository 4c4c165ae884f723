import Base
import Glibc

/// Sends back what comes.
final class EchoServer: Conversation {
    func begin(_ session: Session) {
        EventLines.write(
            "connected", ("key", .text(session.remoteKey.hex)), ("path", .text(session.path)))
    }

    func received(_ message: [UInt8], _ session: Session) { session.send(message) }
    func drained(_ session: Session) {}
    func ended(_ session: Session, reason: String) {
        EventLines.write("closed", ("key", .text(session.remoteKey.hex)))
    }
}

/// Sends a stream of known bytes and expects it back.
final class EchoClient: Conversation {
    private let total: Int
    private var sent = 0
    private var echoed = 0
    private let started: ContinuousClock.Instant
    private var connected: ContinuousClock.Instant?

    private static let messageSize = 32 << 10
    private static let queueMax = 1 << 20

    init(bytes: Int, started: ContinuousClock.Instant) {
        total = bytes
        self.started = started
    }

    func begin(_ session: Session) {
        connected = .now
        EventLines.write(
            "connected", ("key", .text(session.remoteKey.hex)), ("path", .text(session.path)),
            ("milliseconds", .number((ContinuousClock.now - started) / .milliseconds(1))))
        fill(session)
    }

    private func fill(_ session: Session) {
        while sent < total, session.queuedBytes < Self.queueMax {
            let count = min(Self.messageSize, total - sent)
            session.send(Contents.stream(from: sent, count: count))
            session.flush()
            sent += count
        }
    }

    func received(_ message: [UInt8], _ session: Session) {
        guard message == Contents.stream(from: echoed, count: message.count) else {
            EventLines.write("failed", ("reason", .text("other bytes came back")))
            exit(1)
        }
        echoed += message.count
        guard echoed == total, let connected else { return }
        let seconds = (ContinuousClock.now - connected) / .seconds(1)
        EventLines.write(
            "echoed", ("bytes", .number(Double(total))),
            ("megabytesPerSecond", .number(Double(total) / 1e6 / seconds)))
        session.finish()
        exit(0)
    }

    func drained(_ session: Session) { fill(session) }

    func ended(_ session: Session, reason: String) {
        EventLines.write("failed", ("reason", .text(reason)))
        exit(1)
    }
}
