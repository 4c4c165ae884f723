import Base
import Crypto
import Host
import Noise
import Swarm
import Synchronization

/// One end of a secret stream over any byte stream: sends so many bytes, or counts what comes.
/// Confined to its loop's thread, but for what is atomic.
final class SealedPipe: ByteStreamObserver, @unchecked Sendable {
    private let stream: any ByteStream
    private var secret: SecretStream
    private var toSend: Int
    private static let message = [UInt8](repeating: 0x5a, count: 64 << 10)
    let received = Atomic(0)
    /// When as much had come as was awaited.
    let finishedAt = Mutex<Instant?>(nil)
    private let awaited: Int
    /// Of one message, on its way out and in.
    private var sealed: [UInt8] = []
    private var opened: [UInt8] = []

    /// Bytes that may wait in the stream before more is given to it.
    private static let queuedMost = 1 << 20

    init(_ stream: any ByteStream, isInitiator: Bool, sends: Int, awaits: Int) {
        self.stream = stream
        toSend = sends
        awaited = awaits
        let (one, two) = (Bytes32(repeating: 1), Bytes32(repeating: 2))
        // Of measuring only: both ends make up the same keys.
        let session =
            stream.handshake
            ?? HandshakeResult(
                sendKey: isInitiator ? one : two, receiveKey: isInitiator ? two : one,
                handshakeHash: [UInt8](repeating: 3, count: 64), remotePublicKey: nil)
        var random = SecureRandom()
        secret = SecretStream(
            role: isInitiator ? .initiator : .responder, session: session,
            headerNonce: random.bytes(24))
    }

    func start() {
        stream.start(observer: self, number: 0)
        var output: [UInt8] = []
        secret.start(into: &output)
        stream.send(output)
        fill()
    }

    private func fill() {
        while toSend > 0, stream.queuedBytes < Self.queuedMost {
            let message = Self.message
            sealed.removeAll(keepingCapacity: true)
            sealed.reserveCapacity(message.count + 32)
            // The last one may be longer than asked for.
            secret.send(message.span, into: &sealed)
            toSend -= message.count
            stream.send(sealed)
        }
        stream.flush()
    }

    func streamReceived(_ number: UInt64, _ bytes: Span<UInt8>) {
        var output: [UInt8] = []
        var (count, offset) = (0, 0)
        do {
            while let found = try secret.next(
                in: bytes, from: &offset, into: &opened, output: &output)
            {
                if case .message = found { count += opened.count }
            }
        } catch {
            print("broken: \(error)")
            return stream.abort()
        }
        let total = received.add(count, ordering: .relaxed).newValue
        if awaited > 0, total >= awaited {
            finishedAt.withLock { $0 = $0 ?? monotonicNow() }
        }
    }

    func streamDrained(_ number: UInt64, queuedBytes: Int) { fill() }

    func streamClosed(_ number: UInt64, reason: String) { print("closed: \(reason)") }
}
