package import Base

/// Keeps topics announced and looked up: what to ask the DHT, and when (Hyperswarm's peer
/// discovery; `protocol/connect.md`, section 8.1).
///
/// A value without I/O: the host carries out the effects as queries and tells how they ended. Each
/// query meets the peers that are announced, whether it announces as well or not. A topic is
/// refreshed every ten to twelve minutes, announcements living a little longer than that; sooner
/// while nobody was found, while the network does not answer, and after a peer was lost.
package struct Discovery: Sendable {
    package enum Effect: Equatable, Sendable {
        /// Ask who is announced under the topic, and announce this device; `clears` first removes
        /// what an earlier life of it may have left.
        case announce(topic: Bytes32, clears: Bool)
        /// Ask who is announced under the topic.
        case lookup(topic: Bytes32)
        /// Remove the announcement, from the nodes that are known to have it.
        case withdraw(topic: Bytes32)
        /// Give up the query under way.
        case cancel(topic: Bytes32)
    }

    /// One reason to be at a topic; several share one topic's queries.
    package struct SessionID: Hashable, Sendable {
        fileprivate let rawValue: UInt64
    }

    private struct Session {
        let topic: Bytes32
        let announces: Bool
        let looksUp: Bool
    }

    private struct Topic {
        let topic: Bytes32
        var announces = false
        var looksUp = false
        /// A query is under way.
        var isAsking = false
        /// What is asked has changed since that query began.
        var isStale = false
        /// Another search was wished for since that query began.
        var isHurried = false
        var hasAnnounced = false
        /// Searched while announcing had to wait.
        var hasLookedEarly = false
        /// At least one query has ended since the last change.
        var isSettled = false
        var dueAt: Instant
        var startedAt: Instant?
        /// Queries in a row that no node answered.
        var silences = 0
        /// Queries in a row that met nobody.
        var misses = 0
        /// Quick searches still to be made.
        var eagerRounds = 0
    }

    private let limits: DiscoveryLimits
    private var sessions: [SessionID: Session] = [:]
    /// In the order they were joined.
    private var topics: [Topic] = []
    private var lastSession: UInt64 = 0
    /// False while this device is not yet reachable under its key, to which announcements refer:
    /// they wait, searches do not.
    package var mayAnnounce = true
    /// Topics left while announced.
    private var withdrawals: [Effect] = []

    package init(limits: DiscoveryLimits = DiscoveryLimits()) { self.limits = limits }

    /// Begins, with the next `advance`, to announce or look up a topic, or both.
    ///
    /// - Returns: nil when there are `topicsMax` topics already.
    package mutating func join(
        _ topic: Bytes32, announces: Bool, looksUp: Bool, now: Instant
    ) -> SessionID? {
        if !topics.contains(where: { $0.topic == topic }) {
            guard topics.count < limits.topicsMax else { return nil }
            topics.append(Topic(topic: topic, dueAt: now))
        }
        lastSession += 1
        let id = SessionID(rawValue: lastSession)
        sessions[id] = Session(topic: topic, announces: announces, looksUp: looksUp)
        reconsider(topic, now: now)
        return id
    }

    package mutating func leave(_ id: SessionID, now: Instant) {
        guard let session = sessions.removeValue(forKey: id) else { return }
        reconsider(session.topic, now: now)
    }

    /// The query of the last effect about `topic` has ended.
    ///
    /// - Parameters:
    ///   - replies: of nodes; none means that there is no network.
    ///   - peers: announced there, this device not counted.
    package mutating func ended(
        _ topic: Bytes32, replies: Int, peers: Int, now: Instant,
        using random: inout some RandomNumberGenerator
    ) {
        guard let index = topics.firstIndex(where: { $0.topic == topic }),
            topics[index].isAsking
        else { return }
        topics[index].isAsking = false
        if topics[index].isStale {
            topics[index].isStale = false
            topics[index].isHurried = false
            topics[index].dueAt = now
            return
        }
        topics[index].isSettled = true
        if topics[index].announces, replies > 0 { topics[index].hasAnnounced = true }
        let wait =
            topics[index].isHurried
            ? .zero : wait(after: replies, peers, at: index, using: &random)
        topics[index].isHurried = false
        topics[index].dueAt = max(
            now + wait, (topics[index].startedAt ?? now) + limits.queryIntervalLeast)
    }

    /// Searches at once, and a few times more soon after: a peer was lost, or missed.
    package mutating func searchAgain(now: Instant) {
        for index in topics.indices where topics[index].looksUp {
            topics[index].eagerRounds = limits.eagerRounds
            hurry(index, now: now)
        }
    }

    /// This device is found elsewhere now: announces and searches anew.
    package mutating func addressChanged(now: Instant) {
        for index in topics.indices {
            topics[index].eagerRounds = limits.eagerRounds
            topics[index].silences = 0
            hurry(index, now: now)
        }
    }

    /// Does what is due.
    ///
    /// - Returns: when to call again, if nothing happens before.
    package mutating func advance(now: Instant, into effects: inout [Effect]) -> Instant {
        effects += withdrawals
        withdrawals.removeAll(keepingCapacity: true)
        var due = Instant.distantFuture
        for index in topics.indices where !topics[index].isAsking {
            guard now >= topics[index].dueAt else {
                due = min(due, topics[index].dueAt)
                continue
            }
            guard mayAnnounce || !topics[index].announces else {
                lookEarly(index, now: now, into: &effects)
                continue
            }
            topics[index].isAsking = true
            topics[index].startedAt = now
            let topic = topics[index].topic
            effects.append(
                topics[index].announces
                    ? .announce(topic: topic, clears: !topics[index].hasAnnounced)
                    : .lookup(topic: topic))
        }
        return due
    }

    /// Whether anybody wants to know who is announced under `topic`.
    package func looksUp(_ topic: Bytes32) -> Bool {
        topics.first { $0.topic == topic }?.looksUp ?? false
    }

    /// Whether every topic has been asked about at least once: who could be found, was.
    package var isFlushed: Bool { topics.allSatisfy(\.isSettled) }

    /// Whether the last query of every topic went unanswered; false without topics.
    package var isOffline: Bool { !topics.isEmpty && topics.allSatisfy { $0.silences > 0 } }
}

extension Discovery {
    /// Makes a topic what its sessions ask for.
    private mutating func reconsider(_ topic: Bytes32, now: Instant) {
        guard let index = topics.firstIndex(where: { $0.topic == topic }) else { return }
        let mine = sessions.values.filter { $0.topic == topic }
        let announces = mine.contains { $0.announces }
        let looksUp = mine.contains { $0.looksUp }
        let before = topics[index]
        if before.announces, !announces, before.hasAnnounced || before.isAsking {
            withdrawals.append(.withdraw(topic: topic))
            topics[index].hasAnnounced = false
        }
        guard announces || looksUp else {
            if before.isAsking { withdrawals.insert(.cancel(topic: topic), at: 0) }
            topics.remove(at: index)
            return
        }
        guard announces != before.announces || looksUp != before.looksUp else { return }
        topics[index].announces = announces
        topics[index].looksUp = looksUp
        topics[index].isSettled = false
        topics[index].misses = 0
        topics[index].dueAt = now
        topics[index].isStale = before.isAsking
    }

    private mutating func lookEarly(_ index: Int, now: Instant, into effects: inout [Effect]) {
        guard topics[index].looksUp, !topics[index].hasLookedEarly else { return }
        topics[index].hasLookedEarly = true
        topics[index].isAsking = true
        // So that the announcement follows whatever comes of it.
        topics[index].isStale = true
        effects.append(.lookup(topic: topics[index].topic))
    }

    private mutating func wait(
        after replies: Int, _ peers: Int, at index: Int,
        using random: inout some RandomNumberGenerator
    ) -> Duration {
        if replies == 0 {
            let backoff = Backoff(
                first: limits.retryFirst, longest: limits.retryLongest, growthQuarters: 8)
            defer { topics[index].silences = min(topics[index].silences + 1, 64) }
            return backoff.wait(after: topics[index].silences, using: &random)
        }
        topics[index].silences = 0
        if topics[index].looksUp, topics[index].eagerRounds > 0 {
            topics[index].eagerRounds -= 1
            let round = limits.eagerRounds - topics[index].eagerRounds - 1
            let backoff = Backoff(
                first: limits.eagerFirst, longest: limits.retryLongest, growthQuarters: 8)
            return backoff.wait(after: round, using: &random)
        }
        if topics[index].looksUp, peers == 0 {
            let backoff = Backoff(
                first: limits.eagerFirst, longest: limits.missLongest, growthQuarters: 8)
            defer { topics[index].misses = min(topics[index].misses + 1, 64) }
            return backoff.wait(after: topics[index].misses, using: &random)
        }
        topics[index].misses = 0
        let jitter = max(0, limits.refreshJitter.nanosecondsClamped)
        return limits.refreshInterval + .nanoseconds(Int64.random(in: 0...jitter, using: &random))
    }

    /// Asks as soon as may be after the last time.
    private mutating func hurry(_ index: Int, now: Instant) {
        if topics[index].isAsking {
            topics[index].isHurried = true
            return
        }
        let earliest = topics[index].startedAt.map { $0 + limits.queryIntervalLeast } ?? now
        topics[index].dueAt = min(topics[index].dueAt, max(now, earliest))
    }
}

/// Bounds and waits of a `Discovery`.
package struct DiscoveryLimits: Sendable {
    package var topicsMax = 64
    /// From the end of a query to the next, and what is added at random.
    package var refreshInterval: Duration = .seconds(600)
    package var refreshJitter: Duration = .seconds(120)
    /// Waits while no node answers: they double.
    package var retryFirst: Duration = .seconds(1)
    package var retryLongest: Duration = .seconds(30)
    /// Waits while nobody is announced, and after a peer was lost: they double.
    package var eagerFirst: Duration = .milliseconds(500)
    package var missLongest: Duration = .seconds(60)
    /// Searches soon after a peer was lost.
    package var eagerRounds = 4
    /// Between the beginnings of two queries for one topic, whatever happens.
    package var queryIntervalLeast: Duration = .milliseconds(500)

    package init() {}
}
