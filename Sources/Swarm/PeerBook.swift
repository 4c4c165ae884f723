package import Base

/// Whom to dial and which connections to keep, for one share on one device; the same policy for
/// every transport.
///
/// A value without I/O: the host tells what happened and carries out the effects. Addresses come
/// from options, links and peers. A failed address is dialed again after a wait that grows from
/// `SwarmLimits.retryFirst` to `retryLongest`; a good connection that is lost is dialed again at
/// once. Two devices often dial each other at the same moment, or find each other under several
/// addresses: one connection is kept, the same on both sides (`prefers`).
package struct PeerBook: Sendable {
    package enum Effect: Equatable, Sendable {
        case dial(DialTarget)
        /// Send what is queued, then close; `closed` need not be told.
        case close(connection: UInt64, reason: String)
    }

    /// Where an address came from; the later ones yield to the earlier when room is short.
    package enum Source: Int, Comparable, Sendable {
        case option, link, learnt
        package static func < (left: Source, right: Source) -> Bool {
            left.rawValue < right.rawValue
        }
    }

    struct Candidate {
        enum State: Equatable { case waiting, dialing, connected(UInt64) }

        let target: DialTarget
        var source: Source
        var state = State.waiting
        /// In a row.
        var failures = 0
        var strikes = 0
        var retryAt: Instant
        /// Who answered there last.
        var key: Bytes32?
    }

    struct Connection {
        let number: UInt64
        let isInitiator: Bool
        /// Of two connections to one device, that of the greater quality stays.
        let quality: Int
        let origin: String
        let opened: Instant
        var peer: Peer?
    }

    /// What a connection proved.
    struct Peer {
        let key: Bytes32
        /// The same on both sides, different for every connection.
        let session: Bytes32
        /// Of the process behind it; 0 if it does not say.
        let instance: UInt64
        let since: Instant
    }

    let ownKey: Bytes32
    let limits: SwarmLimits
    var candidates: [Candidate] = []
    /// In the order they opened.
    var connections: [Connection] = []
    var origins: OriginBudget
    var penalties: Penalties
    package private(set) var isPaused = false
    /// Nothing to do before; `zero` when something changed.
    private var due = Instant.zero

    /// - Parameter ownKey: this device's public key: decides between two connections to one peer,
    ///   and tells when a device has dialed itself.
    package init(ownKey: Bytes32, limits: SwarmLimits = SwarmLimits()) {
        self.ownKey = ownKey
        self.limits = limits
        origins = OriginBudget(limits: limits)
        penalties = Penalties(limits: limits)
    }

    /// What can be dialed, in the order it came.
    package var targets: [DialTarget] { candidates.map(\.target) }

    /// Learns whom to dial; it is dialed with the next `advance`.
    package mutating func add(_ target: DialTarget, source: Source, now: Instant) {
        guard target.isDialable else { return }
        due = .zero
        if let index = index(of: target) {
            candidates[index].source = min(candidates[index].source, source)
            return
        }
        if candidates.count >= limits.addressesMax {
            guard let worst = worstCandidate(), candidates[worst].source >= source else { return }
            candidates.remove(at: worst)
        }
        candidates.append(Candidate(target: target, source: source, retryAt: now))
    }

    package mutating func dialFailed(
        _ target: DialTarget, now: Instant, using random: inout some RandomNumberGenerator
    ) {
        due = .zero
        guard let index = index(of: target), candidates[index].state == .dialing else { return }
        candidates[index].state = .waiting
        delay(index, now: now, using: &random)
        forgetHopeless(index)
    }

    /// A stream is there.
    ///
    /// - Parameters:
    ///   - connection: never used before.
    ///   - dialed: the target of an effect `dial`; nil if the peer came to us.
    ///   - remote: what would be dialed to reach who came to us, as far as the stream tells: it is
    ///     not dialed while this connection lives.
    ///   - origin: what limits on strangers count by.
    /// - Returns: false to refuse it at once.
    package mutating func opened(
        _ connection: UInt64, dialed: DialTarget?, remote: DialTarget? = nil, quality: Int = 0,
        origin: String, now: Instant, into effects: inout [Effect]
    ) -> Bool {
        due = .zero
        let candidate = dialed.flatMap(index(of:))
        if isPaused {
            if let candidate { candidates[candidate].state = .waiting }
            return false
        }
        if dialed == nil {
            guard peerCount < limits.peersMax, origins.take(origin, now: now) else { return false }
            makeRoomForStranger(into: &effects)
        }
        if let candidate {
            candidates[candidate].state = .connected(connection)
        } else if let known = remote.flatMap(index(of:)), candidates[known].state == .waiting {
            candidates[known].state = .connected(connection)
        }
        connections.append(
            Connection(
                number: connection, isInitiator: dialed != nil, quality: quality, origin: origin,
                opened: now))
        return true
    }

    /// The other end has proved its key, and that it may be here.
    ///
    /// - Parameters:
    ///   - session: a value that both sides of this connection and of no other have, such as the
    ///     handshake hash.
    ///   - instance: the other end's number for its running process.
    package mutating func identified(
        _ connection: UInt64, key: Bytes32, session: Bytes32, instance: UInt64 = 0, now: Instant,
        into effects: inout [Effect]
    ) {
        due = .zero
        guard let index = connections.firstIndex(where: { $0.number == connection }),
            connections[index].peer == nil
        else { return }
        connections[index].peer = Peer(
            key: key, session: session, instance: instance, since: now)
        if let candidate = candidateIndex(of: connection) { candidates[candidate].key = key }
        if key == ownKey {
            close(connection, "this device itself", into: &effects)
        } else if penalties.isBarred(key, now: now) {
            if let candidate = candidateIndex(of: connection) {
                candidates[candidate].retryAt = now + limits.penaltyFirst
            }
            close(connection, "broke the protocol not long ago", into: &effects)
        } else if let other = connections.first(where: {
            $0.number != connection && $0.peer?.key == key
        }) {
            let loser =
                prefers(connections[index], over: other, now: now) ? other.number : connection
            close(loser, "a second connection to the same device", into: &effects)
        } else if peerCount > limits.peersMax {
            close(connection, "\(limits.peersMax) peers are connected already", into: &effects)
        }
    }

    /// The stream ended, by the other side, by a failure or because the share closed it.
    package mutating func closed(
        _ connection: UInt64, now: Instant, using random: inout some RandomNumberGenerator
    ) {
        due = .zero
        guard let gone = remove(connection) else { return }
        let candidate = release(connection)
        if let peer = gone.peer, now >= peer.since + limits.settledAfter {
            // A good peer went: it, or the network, may be back in a moment under any address.
            for index in candidates.indices where candidates[index].key == peer.key {
                candidates[index].failures = 0
                candidates[index].retryAt = now
            }
        } else if let candidate {
            delay(candidate, now: now, using: &random)
        }
    }

    /// The other end broke the protocol: its stream is to be closed by the caller, and its key,
    /// address and origin are held off.
    package mutating func violated(
        _ connection: UInt64, now: Instant, using random: inout some RandomNumberGenerator
    ) {
        due = .zero
        guard let gone = remove(connection) else { return }
        let backoff = Backoff(
            first: limits.penaltyFirst, longest: limits.penaltyLongest, growthQuarters: 8)
        if let candidate = release(connection) {
            candidates[candidate].retryAt =
                now + backoff.wait(after: candidates[candidate].strikes, using: &random)
            candidates[candidate].strikes = min(candidates[candidate].strikes + 1, 64)
        }
        if !gone.isInitiator {
            origins.charge(gone.origin, cost: limits.violationCost, now: now)
        }
        if let peer = gone.peer {
            penalties.strike(peer.key, now: now) { backoff.wait(after: $0, using: &random) }
        }
    }

    /// Closes everything; nothing is dialed or let in until `resume`.
    package mutating func pause(
        reason: String = "syncing is paused", into effects: inout [Effect]
    ) {
        due = .zero
        isPaused = true
        for index in candidates.indices where candidates[index].state == .dialing {
            candidates[index].state = .waiting
        }
        for connection in connections.map(\.number) {
            close(connection, reason, into: &effects)
        }
    }

    /// Dials everything known at once: after a pause, a sleep, a change of network.
    package mutating func resume(now: Instant) {
        due = .zero
        isPaused = false
        retryAll(now: now)
    }

    /// Everything known is worth a try at once: the network has changed, or a search was started
    /// for a peer that was lost.
    package mutating func retryAll(now: Instant) {
        due = .zero
        for index in candidates.indices where candidates[index].strikes == 0 {
            candidates[index].failures = 0
            candidates[index].retryAt = min(candidates[index].retryAt, now)
        }
    }

    /// Does what is due.
    ///
    /// - Returns: when to call again, if nothing happens before.
    package mutating func advance(now: Instant, into effects: inout [Effect]) -> Instant {
        guard now >= due else { return due }
        due = .distantFuture
        closeSilent(now: now, into: &effects)
        if !isPaused { dial(now: now, into: &effects) }
        return due
    }
}

extension PeerBook {
    private var peerCount: Int { connections.count { $0.peer != nil } }

    private func index(of target: DialTarget) -> Int? {
        candidates.firstIndex { $0.target == target }
    }

    private func candidateIndex(of connection: UInt64) -> Int? {
        candidates.firstIndex { $0.state == .connected(connection) }
    }

    private func isConnected(_ key: Bytes32) -> Bool {
        connections.contains { $0.peer?.key == key }
    }

    /// The least trusted idle address with the most failures.
    private func worstCandidate() -> Int? {
        candidates.indices
            .filter { candidates[$0].state == .waiting }
            .max {
                (candidates[$0].source.rawValue, candidates[$0].failures)
                    < (candidates[$1].source.rawValue, candidates[$1].failures)
            }
    }

    /// Decides between two connections to one device from what both sides know, so that both keep
    /// the same one: the one by the better way, then the one that the device with the lesser key
    /// dialed, then the one with the lesser session. An older connection yields to a new one whatever they are: nobody dials a
    /// device that it is connected to, so the other side must have lost it.
    private func prefers(_ new: Connection, over old: Connection, now: Instant) -> Bool {
        guard let newPeer = new.peer, let oldPeer = old.peer else { return true }
        // A process that was started anew has lost all its connections.
        if newPeer.instance != oldPeer.instance { return true }
        if now >= oldPeer.since + limits.settledAfter { return true }
        if new.quality != old.quality { return new.quality > old.quality }
        if new.isInitiator != old.isInitiator {
            return new.isInitiator == (ownKey < newPeer.key)
        }
        return newPeer.session < oldPeer.session
    }

    private mutating func makeRoomForStranger(into effects: inout [Effect]) {
        var strangers = connections.filter { !$0.isInitiator && $0.peer == nil }
        while strangers.count >= max(1, limits.strangersMax) {
            close(
                strangers.removeFirst().number, "too many connections that say nothing",
                into: &effects)
        }
    }

    private mutating func closeSilent(now: Instant, into effects: inout [Effect]) {
        for connection in connections where connection.peer == nil {
            let deadline = connection.opened + limits.identifyTimeout
            guard now >= deadline else {
                due = min(due, deadline)
                continue
            }
            if let candidate = candidateIndex(of: connection.number) {
                // Whatever answers there is no peer of ours.
                candidates[candidate].failures = min(candidates[candidate].failures + 1, 64)
                candidates[candidate].retryAt = now + limits.retryLongest
            }
            close(connection.number, "did not say who it is in time", into: &effects)
        }
    }

    private mutating func dial(now: Instant, into effects: inout [Effect]) {
        var room =
            limits.dialsMax - candidates.count { $0.state == .dialing }
            - connections.count { $0.isInitiator && $0.peer == nil }
        guard peerCount < limits.peersMax else { return }
        for index in candidates.indices where candidates[index].state == .waiting {
            if let key = candidates[index].key, key == ownKey || isConnected(key) { continue }
            guard now >= candidates[index].retryAt else {
                due = min(due, candidates[index].retryAt)
                continue
            }
            // The rest waits until a dial ends, which sets `due`.
            guard room > 0 else { continue }
            room -= 1
            candidates[index].state = .dialing
            effects.append(.dial(candidates[index].target))
        }
    }

    /// Whoever knows a topic can announce any number of keys under it: what never worked is given
    /// up, to be learnt anew if it is announced again.
    private mutating func forgetHopeless(_ index: Int) {
        let candidate = candidates[index]
        guard case .device = candidate.target, candidate.source == .learnt, candidate.key == nil,
            candidate.failures >= limits.learntFailuresMax
        else { return }
        candidates.remove(at: index)
    }

    private mutating func delay(
        _ index: Int, now: Instant, using random: inout some RandomNumberGenerator
    ) {
        let backoff = Backoff(
            first: limits.retryFirst, longest: limits.retryLongest, growthQuarters: 6)
        candidates[index].retryAt =
            now + backoff.wait(after: candidates[index].failures, using: &random)
        candidates[index].failures = min(candidates[index].failures + 1, 64)
    }

    private mutating func close(
        _ connection: UInt64, _ reason: String, into effects: inout [Effect]
    ) {
        guard remove(connection) != nil else { return }
        _ = release(connection)
        effects.append(.close(connection: connection, reason: reason))
    }

    private mutating func remove(_ connection: UInt64) -> Connection? {
        guard let index = connections.firstIndex(where: { $0.number == connection }) else {
            return nil
        }
        return connections.remove(at: index)
    }

    /// - Returns: the index of the candidate that had the connection.
    private mutating func release(_ connection: UInt64) -> Int? {
        guard let index = candidateIndex(of: connection) else { return nil }
        candidates[index].state = .waiting
        return index
    }
}
