internal import Base
internal import Wire

/// Handing on what the node says to the machine that it concerns, or to the host.
extension HyperDHT {
    mutating func handle(
        _ event: DHTEvent, now: Instant, into effects: inout HyperDHTEffects
    ) {
        switch event {
        case .replied(let id, let reply):
            guard let owner = requests.removeValue(forKey: id) else { break }
            return answered(owner, reply, now: now)
        case .timedOut(let id):
            guard let owner = requests.removeValue(forKey: id) else { break }
            return answered(owner, nil, now: now)
        case .queryReply(let id, let reply):
            guard let owner = queries[id] else { break }
            return found(owner, reply)
        case .queryCommitted(let id, _):
            guard queries[id] == nil else { return }
        case .queryEnded(let id, let closest, _):
            guard let owner = queries.removeValue(forKey: id) else { break }
            return searchEnded(owner, closest, now: now)
        case .request(let request):
            guard request.target == listener.target, listener.isListening else { break }
            return handle(request, now: now)
        case .addressChanged, .becamePersistent, .becameEphemeral:
            listener.announcer.refresh()
        case .ready, .online(true):
            look()
            listener.announcer.nodesAnswer(shared: &shared)
        case .online(false), .degraded: break
        }
        effects.events.append(.node(event))
    }

    /// - Parameter reply: nil if none came.
    private mutating func answered(_ owner: RequestOwner, _ reply: DHTReply?, now: Instant) {
        look()
        switch owner {
        case .handshake(let tag, let relay):
            dials[tag]?.handshakeAnswered(by: relay, reply: reply, now: now, shared: &shared)
        case .holepunch(let tag):
            dials[tag]?.holepunchAnswered(reply, now: now, shared: &shared)
        case .lanPing(let tag):
            dials[tag]?.lanAnswered(reply != nil, now: now, shared: &shared)
        case .sample(let tag, let socket):
            dials[tag]?.sampled(via: socket, reply: reply, now: now, shared: &shared)
            listener[tag]?.sampled(via: socket, reply: reply, now: now, shared: &shared)
        case .announcer(let request):
            listener.announcer.answered(request, reply: reply, now: now, shared: &shared)
            listener.forgetOldRelays()
        }
    }

    private mutating func found(_ owner: QueryOwner, _ reply: DHTReply) {
        guard case .dial(let tag) = owner, let value = reply.value,
            let record = try? PeerRecord(decoding: value)
        else { return }
        guard record.publicKey == dials[tag]?.remoteKey else { return }
        dials[tag]?.found(reply.from, shared: &shared)
    }

    private mutating func searchEnded(_ owner: QueryOwner, _ closest: [DHTReply], now: Instant) {
        look()
        switch owner {
        case .dial(let tag): dials[tag]?.searchEnded(shared: &shared)
        case .announcer:
            listener.announcer.searchEnded(closest: closest, now: now, shared: &shared)
        }
    }
}
