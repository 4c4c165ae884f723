internal import Base
internal import Wire

/// Carrying out what the machines of the connection part want.
extension HyperDHT {
    /// Dies on the way, after it has opened our own NAT.
    private static let lowTTL: UInt8 = 5
    private static let normalTTL: UInt8 = 64

    mutating func perform(
        _ action: ConnectAction, now: Instant, into effects: inout HyperDHTEffects
    ) {
        switch action {
        case .request(let owner, let request, let destination, let socket, let retries):
            let id = node.request(
                request, to: destination, via: socket, retries: retries, now: now,
                into: &effects.node)
            requests[id] = owner
        case .cancelRequests(let tag): cancelRequests(of: tag, keepingLANPing: false)
        case .cancelPunchRequests(let tag): cancelRequests(of: tag, keepingLANPing: true)
        case .findPeer(let owner, let target, let startNodes):
            let id = node.query(
                DHTQuery(.findPeer, target: target, startNodes: startNodes, retries: 3), now: now,
                into: &effects.node)
            queries[id] = owner
        case .cancelQuery(let owner):
            for id in queries.filter({ $0.value == owner }).keys.sorted() {
                node.cancel(id)
                queries[id] = nil
            }
        case .probe(let destination, let socket, let isLowTTL):
            effects.datagrams.bytes.append(0)
            effects.datagrams.close(
                to: destination, via: socket,
                timeToLive: isLowTTL ? Self.lowTTL : Self.normalTTL)
        case .reply(let request, let value, let socket):
            node.reply(
                to: request, value: value, closerNodes: false, via: socket, into: &effects.node)
        case .relay(let request, let transaction, let destination, let socket):
            node.relay(
                request, transaction: transaction, to: destination, via: socket,
                into: &effects.node)
        case .event(let event): emit(event, into: &effects)
        }
    }

    private mutating func cancelRequests(of tag: ConnectionTag, keepingLANPing: Bool) {
        let cancelled = requests.filter {
            if keepingLANPing, case .lanPing = $0.value { return false }
            return $0.value.tag == tag
        }
        for id in cancelled.keys.sorted() {
            node.cancel(id)
            requests[id] = nil
        }
    }

    /// Books what the event means for streams and sockets, and hands it on.
    private mutating func emit(_ event: HyperDHTEvent, into effects: inout HyperDHTEffects) {
        switch event {
        case .connected(let tag, let established):
            live[tag] = LiveConnection(
                streamID: established.localStreamID, socket: established.socket)
            if let dial = dials[tag] {
                relayCache.remember(dial.relaysToRemember, of: dial.remoteKey)
            }
        case .rerouted(let tag, _, _, let socket, _): live[tag]?.socket = socket
        case .failed(let tag, _, _):
            // A relayed connection lives on without its punch.
            guard live[tag] == nil else { return }
            for id in streams.filter({ $0.value == tag }).keys { streams[id] = nil }
        default: break
        }
        effects.events.append(event)
    }
}
