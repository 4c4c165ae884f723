package import Base
import Chunks
import Hypercore

/// One turn of the event loop: what is due is done, and everybody hears what they should.
extension ShareVolume {
    package func advance(into effects: inout [ShareEffect]) -> Instant {
        let now = environment.now()
        var next = now + .seconds(60)
        var finished: [(@Sendable (Bool) -> Void, Bool)] = []
        var (changes, notices) = commitAndApply(now: now, next: &next)
        changes += mergeVersions(now: now, next: &next)
        writeCheckpoint(now: now, next: &next)
        compact(now: now, next: &next)
        peers.withLock { table in
            followStart(&table, now: now, next: &next)
            followForks(&table, now: now)
            endListening(&table, now: now, next: &next)
            answerJoins(&table, now: now, next: &next)
            followResumption(&table, now: now, next: &next)
            // Before anybody hears that all is here.
            takeWanted(&table)
            announce(&table, now: now)
            settleArrived(&table, now: now)
            fetch(&table, now: now, next: &next)
            tick(&table, now: now)
            for id in table.ids { keepAlive(id, &table, now: now) }
            finished = table.takeFinishedDemands(now: now)
            if let turn = engine.withLock({ $0.merges.nextTurn }) {
                next = min(next, max(turn, now))
            }
            for demand in table.demands { next = min(next, demand.deadline) }
            for session in table.sessions.values { next = min(next, session.deadline()) }
            if let deadline = table.settleDeadline { next = min(next, deadline) }
            if let deadline = table.retryDeadline { next = min(next, deadline) }
            if let failure = table.storeFailure { next = min(next, failure.retryAt) }
            if let deadline = table.tickDeadline { next = min(next, deadline) }
            effects.append(contentsOf: notices.map { .log($0) })
            // After all that could say something: another thread may have written meanwhile.
            let isDurable = keepPromises(&table, now: now)
            if let deadline = table.durableDeadline { next = min(next, deadline) }
            table.takeEffects(holdingBack: !isDurable, into: &effects)
        }
        for (completion, isHere) in finished { completion(isHere) }
        notify(changes)
        return next
    }

    /// Seals and commits what is due, and goes on applying what was received.
    func commitAndApply(now: Instant, next: inout Instant) -> ([ViewChange], [String]) {
        var changes: [ViewChange] = []
        var notices: [String] = []
        var failed: StorageError?
        engine.withLock { engine in
            do throws(StorageError) {
                if try engine.applyStored() { next = now }
            } catch {
                failed = error
            }
        }
        // Callers come in between.
        engine.withLock { engine in
            do throws(StorageError) {
                if let failed { throw failed }
                try engine.letInAgain()
                try engine.beginCheckpointIfDue(now: now)
                if let deadline = engine.commitDeadline {
                    if deadline <= now { try engine.commit() } else { next = min(next, deadline) }
                }
                // One that is overdue waits for what a full disk stopped, and must not be asked for at once again.
                if let deadline = engine.checkpointDeadline { next = min(next, max(deadline, now)) }
                engine.toldFailure = nil
            } catch {
                // Nothing is lost: what a full disk stopped stays open and is tried again.
                if engine.toldFailure != error { engine.notices.append("storage: \(error)") }
                engine.toldFailure = error
                next = min(next, now + .seconds(1))
            }
            changes = engine.takeChanges()
            notices = engine.notices
            engine.notices = []
        }
        return (changes, notices)
    }

    /// Tells every peer of new blocks, once they are durable.
    func announce(_ table: inout PeerTable, now: Instant) {
        let commits = engine.withLock { $0.ownCommits }
        if commits != table.announcedCommits, keepPromises(&table, now: now) {
            table.announcedCommits = commits
            table.logsGrew = true
        }
        // Blocks may be applied long after they came: those who wrote them want to know.
        let applied = engine.withLock { $0.appliedBlocks }
        if applied != table.announcedBlocks {
            table.announcedBlocks = applied
            table.logsGrew = true
        }
        // It came, or is wanted no more.
        if table.owesHolds, table.fetcher.owed.count == 0 { table.logsGrew = true }
        openLogs(&table)
        guard table.logsGrew else { return }
        table.logsGrew = false
        table.owesHolds = table.fetcher.owed.count > 0
        for id in table.ids {
            with(id, &table, now: now) { (session, table) throws(SessionError) in
                try self.announceLogs(on: &session, &table)
            }
        }
    }

    /// Makes durable what may have been said of the own log: a block that a peer has seen must never be
    /// followed by another at its place.
    ///
    /// - Returns: whether it is, or there is nobody who could hear of it yet. If not, nothing may be sent at
    ///   all: any answer could tell of it.
    func keepPromises(_ table: inout PeerTable, now: Instant) -> Bool {
        let (commits, isCommitted) = engine.withLock { engine in
            (engine.ownCommits, engine.committed == (engine.ownSlot, engine.ownLog?.length ?? 0))
        }
        guard isCommitted else { return false }
        guard commits != table.durableCommits, table.mustBeDurable(now: now) else { return true }
        do throws(StorageError) {
            try makeDurable()
        } catch {
            table.durableDeadline = now + .seconds(1)
            table.effects.append(.log("storage: \(error)"))
            return false
        }
        table.durableCommits = commits
        table.durableDeadline = nil
        return true
    }

    func tick(_ table: inout PeerTable, now: Instant) {
        guard !table.sessions.isEmpty else { return table.tickDeadline = nil }
        if let deadline = table.tickDeadline, deadline > now { return }
        table.tickDeadline = now + PeerTable.Limits.tickInterval
        let hello = engine.withLock { engine in try? engine.hello() }
        for id in table.ids {
            with(id, &table, now: now) { (session, table) throws(SessionError) in
                for (channel, log) in session.inOrder {
                    var effects: [LogReplication.Effect] = []
                    let id = ReplicationID(connection: session.id, slot: log.slot)
                    try self.engine.withLock { (engine) throws(SessionError) in
                        try engine.tick(id, now: now, into: &effects)
                    }
                    try self.perform(effects, channel: channel, on: &session, &table)
                }
                if let hello { self.giveStart(hello, on: &session) }
                self.showOwnLog(on: &session, now: now)
                var effects: [ChunkExchange.Effect] = []
                session.chunks?.exchange.tick(now: now, into: &effects)
                try self.perform(effects, on: &session, &table, now: now)
            }
        }
    }
}
