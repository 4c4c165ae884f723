import Base
import DHT
import Swarm
import Wire

/// A node's connections to blind relays, and what is to be paired there. Confined to its loop's
/// thread.
final class RelayClients {
    private final class Relay {
        var dial: DialID?
        var connection: RelayConnection?
        /// By the connection that wants to be relayed; kept while it runs over the relay.
        var wishes: [ConnectionTag: RelayWish] = [:]
        var idleSince: Instant?
    }

    private enum Limits {
        static let relaysMax = 8
        static let wishesPerRelayMax = 32
        /// A connection to a relay that nobody needs is kept for so long.
        static let idleTime = Duration.seconds(10)
    }

    private unowned let node: SwarmNode
    private let ownKey: Bytes32
    private var relays: [Bytes32: Relay] = [:]

    init(node: SwarmNode, ownKey: Bytes32) {
        self.node = node
        self.ownKey = ownKey
    }

    /// Carries out `.relayWanted`.
    func want(_ tag: ConnectionTag, _ wish: RelayWish) {
        if relays[wish.relayKey] == nil {
            guard relays.count < Limits.relaysMax, wish.relayKey != ownKey else {
                return fail(tag)
            }
            let relay = Relay()
            relays[wish.relayKey] = relay
            relay.dial = node.call { core, now, effects in
                core.connect(to: wish.relayKey, now: now, into: &effects)
            }
        }
        guard let relay = relays[wish.relayKey], relay.wishes.count < Limits.wishesPerRelayMax
        else { return fail(tag) }
        relay.wishes[tag] = wish
        relay.idleSince = nil
        if relay.connection != nil { pair(tag, wish, at: relay) }
    }

    /// - Returns: whether the dial is one to a relay.
    func connected(_ stream: SwarmStream, dial: DialID) -> Bool {
        guard let (key, relay) = relays.first(where: { $0.value.dial == dial }) else {
            return false
        }
        relay.dial = nil
        let connection = RelayConnection(
            stream, isClient: true, clientKey: ownKey, now: monotonicNow(),
            heard: { [weak self] in self?.take($0, from: relay) },
            ended: { [weak self] in self?.lost(key) })
        guard let connection else {
            lost(key)
            return true
        }
        relay.connection = connection
        connection.start()
        for (tag, wish) in relay.wishes.sorted(by: { $0.key < $1.key }) {
            pair(tag, wish, at: relay)
        }
        return true
    }

    /// - Returns: whether the dial was one to a relay.
    func failed(_ dial: DialID) -> Bool {
        guard let key = relays.first(where: { $0.value.dial == dial })?.key else { return false }
        lost(key)
        return true
    }

    /// The connection has a path of its own now. What is on its way through the relay may still
    /// arrive: the relay notices by itself that nothing follows.
    func leave(_ tag: ConnectionTag) {
        for key in relays.keys.sorted() {
            guard let relay = relays[key], relay.wishes.removeValue(forKey: tag) != nil,
                relay.wishes.isEmpty
            else { continue }
            relay.idleSince = monotonicNow()
        }
    }

    /// The connection is over.
    func release(_ tag: ConnectionTag) {
        for key in relays.keys.sorted() {
            guard let relay = relays[key], let wish = relay.wishes.removeValue(forKey: tag) else {
                continue
            }
            relay.connection?.send(.unpair(token: wish.token))
            if relay.wishes.isEmpty { relay.idleSince = monotonicNow() }
        }
    }

    /// - Returns: when to call again.
    func run(now: Instant) -> Instant {
        guard !relays.isEmpty else { return .distantFuture }
        var due = Instant.distantFuture
        for key in relays.keys.sorted() {
            guard let relay = relays[key], let connection = relay.connection else { continue }
            if let idleSince = relay.idleSince {
                guard now < idleSince + Limits.idleTime else {
                    relays[key] = nil
                    connection.close()
                    continue
                }
                due = min(due, idleSince + Limits.idleTime)
            }
            connection.run(now: now)
            due = min(due, connection.dueAt)
        }
        return due
    }

    func close() {
        let all = relays
        relays = [:]
        for (_, relay) in all.sorted(by: { $0.key < $1.key }) { relay.connection?.close() }
    }

    // MARK: Detail

    private func pair(_ tag: ConnectionTag, _ wish: RelayWish, at relay: Relay) {
        guard let connection = relay.connection, let remote = connection.remote,
            let socket = connection.socket
        else { return }
        node.call { core, _, _ in core.relayReached(tag, socket: socket, remote: remote) }
        connection.send(
            .pair(
                isInitiator: wish.isInitiator, token: wish.token, streamID: wish.localStreamID))
    }

    private func take(_ message: BlindRelayMessage, from relay: Relay) {
        switch message {
        case .pair(_, let token, let streamID):
            guard let tag = tag(of: token, at: relay), let remote = relay.connection?.remote,
                let socket = relay.connection?.socket
            else { return }
            node.call { core, now, effects in
                core.relayPaired(
                    tag, socket: socket, remote: remote, remoteStreamID: streamID, now: now,
                    into: &effects)
            }
        case .unpair(let token):
            guard let tag = tag(of: token, at: relay) else { return }
            relay.wishes[tag] = nil
            if relay.wishes.isEmpty { relay.idleSince = monotonicNow() }
            node.relayEnded(tag)
        }
    }

    private func tag(of token: Bytes32, at relay: Relay) -> ConnectionTag? {
        relay.wishes.first { $0.value.token == token }?.key
    }

    private func lost(_ key: Bytes32) {
        guard let relay = relays.removeValue(forKey: key) else { return }
        for tag in relay.wishes.keys.sorted() { node.relayEnded(tag) }
    }

    private func fail(_ tag: ConnectionTag) {
        node.call { core, now, effects in core.relayFailed(tag, now: now, into: &effects) }
    }
}
