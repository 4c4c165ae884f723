import Base
import Crypto
import Noise
import Swarm
import Wire

/// One connection between a blind relay and one of its clients, at either end. Confined to its
/// loop's thread.
final class RelayConnection: ByteStreamObserver {
    private let stream: SwarmStream
    private var link: BlindRelayLink
    private let heard: (BlindRelayMessage) -> Void
    private let ended: () -> Void
    private(set) var dueAt: Instant
    private var isOver = false

    /// - Parameters:
    ///   - clientKey: of the side that dialed.
    ///   - heard: gets what the other side says.
    ///   - ended: called once, unless `close` is.
    init?(
        _ stream: SwarmStream, isClient: Bool, clientKey: Bytes32, now: Instant,
        heard: @escaping (BlindRelayMessage) -> Void, ended: @escaping () -> Void
    ) {
        guard let handshake = stream.handshake else { return nil }
        var random = SecureRandom()
        self.stream = stream
        self.heard = heard
        self.ended = ended
        link = BlindRelayLink(
            isClient: isClient, handshake: handshake, clientKey: clientKey,
            headerNonce: random.bytes(SecretStreamState.headerSize), now: now)
        dueAt = now
    }

    var remote: NetworkEndpoint? { stream.remote }
    var socket: SocketID? { stream.socket }

    func start() {
        stream.start(observer: self, number: 0)
        var output: [UInt8] = []
        link.start(into: &output)
        stream.send(output)
    }

    func send(_ message: BlindRelayMessage) {
        var output: [UInt8] = []
        link.send(message, now: monotonicNow(), into: &output)
        stream.send(output)
    }

    func close() {
        guard !isOver else { return }
        isOver = true
        stream.finish()
    }

    /// Keeps the connection alive, or gives it up.
    func run(now: Instant) {
        guard !isOver, now >= dueAt else { return }
        var output: [UInt8] = []
        if let next = link.advance(now: now, output: &output) {
            dueAt = next
            if !output.isEmpty { stream.send(output) }
        } else {
            stream.abort()
            end()
        }
    }

    func streamReceived(_ number: UInt64, _ bytes: Span<UInt8>) {
        guard !isOver else { return }
        var messages: [BlindRelayMessage] = []
        var output: [UInt8] = []
        let problem = link.receive(
            bytes, now: monotonicNow(), messages: &messages, output: &output)
        if !output.isEmpty { stream.send(output) }
        for message in messages { heard(message) }
        if problem != nil {
            stream.abort()
            end()
        }
    }

    func streamDrained(_ number: UInt64, queuedBytes: Int) {}

    func streamClosed(_ number: UInt64, reason: String) { end() }

    private func end() {
        guard !isOver else { return }
        isOver = true
        ended()
    }
}
