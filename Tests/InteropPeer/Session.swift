import Base
import Crypto
import Host
import Noise
import Swarm

/// What runs over a connection once it is there.
protocol Conversation: AnyObject {
    func begin(_ session: Session)
    func received(_ message: [UInt8], _ session: Session)
    func drained(_ session: Session)
    func ended(_ session: Session, reason: String)
}

/// One connection and its secret stream. Confined to the loop's thread.
final class Session: ByteStreamObserver {
    let isInitiator: Bool
    let handshakeHash: [UInt8]
    let remoteKey: Bytes32
    private let stream: SwarmStream
    private let conversation: any Conversation
    private var secret: SecretStream
    private var output: [UInt8] = []
    private var events: [SecretStream.Event] = []

    init?(_ stream: SwarmStream, isInitiator: Bool, _ conversation: any Conversation) {
        guard let handshake = stream.handshake, let key = handshake.remotePublicKey else {
            return nil
        }
        var random = SecureRandom()
        self.stream = stream
        self.isInitiator = isInitiator
        self.conversation = conversation
        handshakeHash = handshake.handshakeHash
        remoteKey = key
        secret = SecretStream(
            role: isInitiator ? .initiator : .responder, session: handshake,
            headerNonce: random.bytes(24))
    }

    var path: String { "\(stream.path)" }
    var queuedBytes: Int { stream.queuedBytes }

    func start() {
        stream.start(observer: self, number: 0)
        secret.start(into: &output)
        conversation.begin(self)
        flush()
    }

    func send(_ message: [UInt8]) { secret.send(message.span, into: &output) }

    func flush() {
        if !output.isEmpty { stream.send(output) }
        output.removeAll(keepingCapacity: true)
    }

    func finish() {
        flush()
        stream.finish()
    }

    func streamReceived(_ number: UInt64, _ bytes: Span<UInt8>) {
        events.removeAll(keepingCapacity: true)
        do {
            try secret.receive(bytes, events: &events, output: &output)
        } catch {
            stream.abort()
            return conversation.ended(self, reason: "\(error)")
        }
        let happened = events
        for case .message(let message) in happened { conversation.received(message, self) }
        flush()
    }

    func streamDrained(_ number: UInt64, queuedBytes: Int) {
        conversation.drained(self)
        flush()
    }

    func streamClosed(_ number: UInt64, reason: String) {
        conversation.ended(self, reason: reason)
    }
}
