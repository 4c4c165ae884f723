package import Base
package import Noise
import Protomux
import Wire

/// The secret stream and the one channel of a connection to a blind relay, as either side sees it.
package struct BlindRelayLink: Sendable {
    private var stream: SecretStream
    private var mux = Protomux()
    private let clientKey: Bytes32
    private var channel: Protomux.ChannelID?
    private var sentAt: Instant
    private var receivedAt: Instant

    private enum Limits {
        static let frameSizeMax = 4096
        static let keepAliveInterval = Duration.seconds(5)
        static let silenceMax = Duration.seconds(20)
    }

    /// - Parameters:
    ///   - isClient: whether this side dialed.
    ///   - clientKey: the dialing side's public key on this connection: names the channel.
    ///   - headerNonce: 24 random bytes.
    package init(
        isClient: Bool, handshake: HandshakeResult, clientKey: Bytes32, headerNonce: [UInt8],
        now: Instant
    ) {
        stream = SecretStream(
            role: isClient ? .initiator : .responder, session: handshake, headerNonce: headerNonce,
            frameSizeMax: Limits.frameSizeMax)
        self.clientKey = clientKey
        sentAt = now
        receivedAt = now
    }

    /// Appends what is to be sent first.
    package mutating func start(into output: inout [UInt8]) {
        stream.start(into: &output)
        channel = mux.open(BlindRelayMessage.protocolName, id: clientKey.bytes)
        takeOutput(into: &output)
    }

    package mutating func send(
        _ message: BlindRelayMessage, now: Instant, into output: inout [UInt8]
    ) {
        guard let channel else { return }
        sentAt = now
        mux.send(channel, type: message.type, payload: message.payload)
        takeOutput(into: &output)
    }

    /// Takes in bytes; messages and what is to be sent in turn are appended.
    ///
    /// - Returns: what is wrong with the connection, if anything is.
    package mutating func receive(
        _ bytes: Span<UInt8>, now: Instant, messages: inout [BlindRelayMessage],
        output: inout [UInt8]
    ) -> String? {
        receivedAt = now
        var events: [SecretStream.Event] = []
        do {
            try stream.receive(bytes, events: &events, output: &output)
        } catch {
            return "secret stream: \(error)"
        }
        for case .message(let message) in events {
            if let problem = take(message, into: &messages) { return problem }
        }
        takeOutput(into: &output)
        return nil
    }

    /// Keeps the connection alive.
    ///
    /// - Returns: when to call again; nil if the other side has been silent for too long.
    package mutating func advance(now: Instant, output: inout [UInt8]) -> Instant? {
        guard now < receivedAt + Limits.silenceMax else { return nil }
        if now >= sentAt + Limits.keepAliveInterval, stream.isConnected {
            let nothing: [UInt8] = []
            stream.send(nothing.span, into: &output)
            sentAt = now
        }
        return min(sentAt + Limits.keepAliveInterval, receivedAt + Limits.silenceMax)
    }

    private mutating func take(
        _ message: [UInt8], into messages: inout [BlindRelayMessage]
    ) -> String? {
        var events: [Protomux.Event] = []
        do {
            try mux.receive(message.span, events: &events)
        } catch {
            return "channels: \(error)"
        }
        for event in events {
            switch event {
            case .opened: break
            case .closed: return "the relay channel was closed"
            case .openRequested(let name, let id): mux.reject(protocolName: name, id: id)
            case .message(_, let type, let payload):
                do {
                    if let known = try BlindRelayMessage.decode(type: type, payload) {
                        messages.append(known)
                    }
                } catch {
                    return "relay channel: \(error)"
                }
            }
        }
        return nil
    }

    private mutating func takeOutput(into output: inout [UInt8]) {
        guard stream.isConnected else { return }
        for message in mux.takeMessages() { stream.send(message.span, into: &output) }
    }
}
