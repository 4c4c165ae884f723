package import Base
internal import Crypto
internal import Wire

/// Queries: the walks, and the writes to the closest nodes at their end (`dht.md` 8).
extension DHTNode {
    /// Begins a walk. `.queryReply` and `.queryCommitted` events follow, and one `.queryEnded`.
    package mutating func query(
        _ query: DHTQuery, now: Instant, into effects: inout DHTEffects
    ) -> QueryID {
        let id = nextQueryID()
        ticksToRefresh = Ticks.refresh
        begin(query, id, isBackground: false, now: now, into: &effects)
        return id
    }

    /// Forgets a query: no event follows.
    package mutating func cancel(_ id: QueryID) {
        guard queries.removeValue(forKey: id) != nil else { return }
        dropRequests(of: id)
    }

    mutating func begin(
        _ plan: DHTQuery, _ id: QueryID, isBackground: Bool, now: Instant,
        into effects: inout DHTEffects
    ) {
        queries[id] = IterativeQuery(plan, isBackground: isBackground, ownID: table.id)
        stepQuery(id, now: now, into: &effects)
    }

    // MARK: The walk

    /// Asks whom the query wants asked now, and ends it if there is nobody left.
    mutating func stepQuery(_ id: QueryID, now: Instant, into effects: inout DHTEffects) {
        guard var query = queries.removeValue(forKey: id) else { return }
        guard query.phase == .visiting else {
            queries[id] = query
            return
        }
        let plan = query.plan
        if query.isBackground { query.concurrency = requests.count < 3 ? DHTLimits.concurrency : 2 }
        while true {
            if query.wantsTable { addTable(to: &query) }
            while let node = query.next() {
                send(
                    DHTRequest(plan.command, target: plan.target, value: plan.value), to: node,
                    purpose: .query(id), retries: plan.isForced ? 0 : plan.retries,
                    isForced: plan.isForced, now: now, into: &effects)
                if query.isBackground, requests.count >= 3 { query.concurrency = 2 }
            }
            if !query.isDone || !query.wantsTable { break }
        }
        let isDone = query.isDone
        queries[id] = query
        if isDone { endVisits(id, now: now, into: &effects) }
    }

    private func addTable(to query: inout IterativeQuery) {
        query.addTable(
            table.closest(to: query.plan.target).map(\.endpoint),
            bootstrap: configuration.bootstrap.compactMap(PackedEndpoint.init))
    }

    mutating func queryReplied(
        _ id: QueryID, _ reply: DHTReply, wasSlow: Bool, now: Instant,
        into effects: inout DHTEffects
    ) {
        guard let node = PackedEndpoint(reply.from),
            let hints = queries[id]?.replied(reply, from: node, wasSlow: wasSlow),
            let query = queries[id]
        else { return }
        for hint in hints { send(hint, now: now, into: &effects) }
        if query.isBackground {
            bootstrapReplied(
                id, node, isFirst: query.answers == 1, now: now, into: &effects)
        } else if reply.error == 0, query.plan.filter.passes(reply) {
            effects.events.append(.queryReply(id, reply))
            if query.plan.endsWithFirst {
                endVisits(id, now: now, into: &effects)
                return
            }
        }
        if query.phase == .visiting { clear(id, query.plan, reply, now: now, into: &effects) }
        stepQuery(id, now: now, into: &effects)
    }

    mutating func queryFailed(
        _ id: QueryID, _ node: PackedEndpoint, wasSlow: Bool, now: Instant,
        into effects: inout DHTEffects
    ) {
        guard let hints = queries[id]?.failed(node, wasSlow: wasSlow) else { return }
        for hint in hints { send(hint, now: now, into: &effects) }
        stepQuery(id, now: now, into: &effects)
    }

    private mutating func send(
        _ hint: IterativeQuery.DownHint, now: Instant, into effects: inout DHTEffects
    ) {
        guard downHintsLeft > 0 else { return }
        downHintsLeft -= 1
        var writer = WireWriter(reserving: 6)
        writer.writeEndpointBytes(hint.dead.endpoint)
        send(
            DHTRequest(.downHint, value: writer.bytes), to: hint.to, purpose: .notice, retries: 0,
            now: now, into: &effects)
    }

    // MARK: The writes

    /// Takes back an older record of the key that is about to be announced, or was, where the answer
    /// shows one or may have left it out.
    private mutating func clear(
        _ id: QueryID, _ plan: DHTQuery, _ reply: DHTReply, now: Instant,
        into effects: inout DHTEffects
    ) {
        guard let keyPair = plan.clearing, reply.error == 0, let node = reply.id,
            let token = reply.token, let value = reply.value,
            Self.mayHold(keyPair.publicKey, value, plan.command)
        else { return }
        queries[id]?.writesInFlight += 1
        let message = AnnounceMessage.signed(
            .unannounce, by: keyPair, target: plan.target, node: node, token: token)
        send(
            DHTRequest(.unannounce, target: plan.target, value: message.encoded(), token: token),
            to: PackedEndpoint(reply.from), purpose: .clear(id), now: now, into: &effects)
    }

    private static func mayHold(
        _ publicKey: Bytes32, _ value: [UInt8], _ command: DHTCommand
    ) -> Bool {
        if command == .findPeer {
            return (try? PeerRecord(decoding: value))?.publicKey == publicKey
        }
        guard let reply = try? LookupReply(decoding: value) else { return false }
        return reply.peers.count >= DHTLimits.peersPerReplyMax
            || reply.peers.contains { $0.publicKey == publicKey }
    }

    private mutating func endVisits(_ id: QueryID, now: Instant, into effects: inout DHTEffects) {
        dropRequests(of: id)
        guard let query = queries[id] else { return }
        if query.writesInFlight > 0 {
            queries[id]?.phase = .clearing
        } else {
            commit(id, now: now, into: &effects)
        }
    }

    private mutating func commit(_ id: QueryID, now: Instant, into effects: inout DHTEffects) {
        guard let query = queries[id] else { return }
        queries[id]?.phase = .committing
        for reply in query.closest {
            guard let request = query.plan.commitRequest(for: reply) else { continue }
            queries[id]?.writesInFlight += 1
            send(
                request, to: PackedEndpoint(reply.from), purpose: .commit(id), now: now,
                into: &effects)
        }
        if queries[id]?.writesInFlight == 0 { end(id, now: now, into: &effects) }
    }

    /// A commit, or an unannouncement before it, was answered or given up.
    mutating func writeSettled(
        _ id: QueryID, reply: DHTReply?, _ purpose: PendingRequest.Purpose, now: Instant,
        into effects: inout DHTEffects
    ) {
        guard queries[id] != nil else { return }
        queries[id]?.writesInFlight -= 1
        if purpose == .commit(id), let reply {
            if reply.error == 0 { queries[id]?.committed += 1 }
            effects.events.append(.queryCommitted(id, reply))
        }
        guard let query = queries[id], query.writesInFlight == 0 else { return }
        switch query.phase {
        case .visiting: break
        case .clearing: commit(id, now: now, into: &effects)
        case .committing: end(id, now: now, into: &effects)
        }
    }

    private mutating func end(_ id: QueryID, now: Instant, into effects: inout DHTEffects) {
        guard let query = queries.removeValue(forKey: id) else { return }
        if query.isBackground {
            backgroundQueryEnded(id, now: now, into: &effects)
        } else {
            effects.events.append(
                .queryEnded(id, closest: query.closest, committed: query.committed))
        }
    }

    private mutating func dropRequests(of id: QueryID) {
        _ = requests.removeAll { $0.purpose == .query(id) }
        refused.removeAll { $0.purpose == .query(id) }
    }
}

extension DHTQuery {
    /// What one of the closest nodes is sent at the end, if it gave what that takes.
    func commitRequest(for reply: DHTReply) -> DHTRequest? {
        guard let token = reply.token else { return nil }
        switch commit {
        case .none:
            return nil
        case .same:
            return DHTRequest(command, target: target, value: value, token: token)
        case .send(let command, let value):
            return DHTRequest(command, target: target, value: value, token: token)
        case .announce(let keyPair, let relayAddresses, let bump):
            guard let node = reply.id else { return nil }
            let message = AnnounceMessage.signed(
                .announce, by: keyPair, target: target, node: node, token: token,
                relayAddresses: relayAddresses, bump: bump)
            return DHTRequest(.announce, target: target, value: message.encoded(), token: token)
        case .unannounce(let keyPair):
            guard let node = reply.id else { return nil }
            let message = AnnounceMessage.signed(
                .unannounce, by: keyPair, target: target, node: node, token: token)
            return DHTRequest(.unannounce, target: target, value: message.encoded(), token: token)
        }
    }
}

extension DHTReplyFilter {
    /// Whether the owner of the query wants to see this reply.
    func passes(_ reply: DHTReply) -> Bool {
        switch self {
        case .any:
            return true
        case .mutable(let publicKey, let atLeast):
            guard let value = reply.value, let content = try? MutableValue(decoding: value) else {
                return false
            }
            return content.sequence >= atLeast && content.isSigned(by: publicKey)
        case .immutable(let hash):
            return reply.value.map { Blake2b.hash256($0) == hash } ?? false
        }
    }
}
