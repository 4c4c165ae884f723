import Base
import Crypto
import Glibc
import Hypercore
import Protomux

/// Replicates one log over every connection.
final class LogExchange: Conversation {
    private struct Channel {
        var mux = Protomux()
        var replication: LogReplication
        var id: Protomux.ChannelID
    }

    private let log: Log
    /// How many blocks to wait for; nil to serve for ever.
    private let wanted: UInt64?
    /// The only blocks to fetch; nil for all.
    private let indexes: [UInt64]?
    private var channels: [ObjectIdentifier: Channel] = [:]
    private var sessions: [Session] = []
    private var started = ContinuousClock.now

    init(_ log: Log, wanted: UInt64?, indexes: [UInt64]? = nil) {
        self.log = log
        self.wanted = wanted
        self.indexes = indexes
        if let indexes { log.want(only: indexes) }
    }

    func begin(_ session: Session) {
        started = .now
        let replication = LogReplication(
            log: log, handshakeHash: session.handshakeHash, isInitiator: session.isInitiator)
        var mux = Protomux()
        let id = mux.open(
            LogReplication.protocolName, id: log.discoveryKey.bytes,
            handshake: replication.openHandshake)
        channels[ObjectIdentifier(session)] = Channel(mux: mux, replication: replication, id: id)
        sessions.append(session)
        EventLines.write(
            "connected", ("key", .text(session.remoteKey.hex)), ("path", .text(session.path)))
        send(session)
    }

    func received(_ message: [UInt8], _ session: Session) {
        guard var channel = channels.removeValue(forKey: ObjectIdentifier(session)) else { return }
        var events: [Protomux.Event] = []
        var effects: [LogReplication.Effect] = []
        do {
            try channel.mux.receive(message.span, events: &events)
            for event in events {
                switch event {
                case .opened(channel.id, let handshake):
                    try channel.replication.opened(remoteHandshake: handshake, into: &effects)
                case .message(channel.id, let type, let payload):
                    try channel.replication.receive(
                        type: type, payload: payload.span, into: &effects)
                case .openRequested(let name, let id):
                    channel.mux.reject(protocolName: name, id: id)
                default: break
                }
            }
        } catch {
            fail("\(error)")
        }
        perform(effects, &channel)
        channels[ObjectIdentifier(session)] = channel
        send(session)
        finishIfDone()
    }

    private func perform(_ effects: [LogReplication.Effect], _ channel: inout Channel) {
        for effect in effects {
            switch effect {
            case .send(let type, let payload):
                channel.mux.send(channel.id, type: type, payload: payload)
            case .violation(let text): fail(text)
            default: break
            }
        }
    }

    private func send(_ session: Session) {
        guard let messages = channels[ObjectIdentifier(session)]?.mux.takeMessages() else { return }
        for message in messages { session.send(message) }
    }

    private func finishIfDone() {
        guard let wanted, log.length >= wanted else { return }
        let all = indexes ?? Array(0..<wanted)
        guard all.allSatisfy(log.hasBlock) else { return }
        let seconds = (ContinuousClock.now - started) / .seconds(1)
        var hasher = Blake2bHasher()
        for index in all {
            guard let block = try? log.block(at: index) else { return fail("a block is missing") }
            hasher.update(block)
        }
        EventLines.write(
            "got", ("blocks", .number(Double(all.count))), ("hash", .text(hasher.finalize().hex)),
            ("seconds", .number(seconds)))
        for session in sessions { session.finish() }
        exit(0)
    }

    func drained(_ session: Session) {
        guard var channel = channels.removeValue(forKey: ObjectIdentifier(session)) else { return }
        var effects: [LogReplication.Effect] = []
        do {
            try channel.replication.drained(queuedBytes: session.queuedBytes, into: &effects)
        } catch {
            fail("\(error)")
        }
        perform(effects, &channel)
        channels[ObjectIdentifier(session)] = channel
        send(session)
    }

    func ended(_ session: Session, reason: String) {
        channels[ObjectIdentifier(session)] = nil
        sessions.removeAll { $0 === session }
        EventLines.write("closed", ("key", .text(session.remoteKey.hex)))
    }

    private func fail(_ reason: String) {
        EventLines.write("failed", ("reason", .text(reason.filter { $0 != "\"" })))
        exit(1)
    }
}
