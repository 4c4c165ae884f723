import Base
import Chunks
import FileTree
import Hypercore
import Wire

/// What is left to do until everything before the base is given back. Each step is a transaction of its own: what
/// a crash leaves is gone on from.
struct Compaction {
    /// What was left out of the base.
    let settled: SettledHistory
    /// Nil before logs are done with.
    var sweep: SettledSweep?
    var isSwept = false
}

/// Giving back what nobody can ask for any more. See <doc:Checkpoints>.
extension Engine {
    enum CompactionLimits {
        /// From one look at whether it is time to the next.
        static let interval = Duration.seconds(60)
        /// What one step is to take while calls of the filesystem wait.
        static let time = Duration.milliseconds(4)
        /// Rows looked at, and blocks dropped, between two looks at the clock.
        static let rows = 32
        static let blocks: UInt64 = 8
        /// Of either at most in one step.
        static let rounds = 64
    }

    // MARK: Where to begin from

    /// Whether this device is to write down where it may begin from later: others have published a checkpoint,
    /// so what came before it will be everybody's before long.
    var lacksNextBase: Bool {
        guard nextBase == nil, let last = checkpoints.last else { return false }
        return base.map { $0.time < last.time } ?? true
    }

    /// A checkpoint of this view is in chunks: takes it for the next base if there is none.
    mutating func takeNextBase(_ done: CheckpointPublishing, _ content: Content)
        throws(StorageError)
    {
        guard nextBase == nil, let own = ownLog else { return }
        let checkpoint = PublishedCheckpoint(
            log: own.key, block: done.writer.clock[ownSlot], time: done.time.rawValue,
            digest: done.writer.digest, content: content, logBytes: done.logBytes)
        nextBase = NextBase(
            checkpoint: checkpoint, states: done.states, settled: done.settled)
        try storeNextBase()
        try commit()
    }

    // MARK: When

    /// Goes over to the next base if everything before it is outside the retention policy and every member has
    /// it.
    ///
    /// - Parameter diskBytes: of the disk, for policies that name no space.
    mutating func beginCompactionIfDue(now: Instant, diskBytes: UInt64) throws(StorageError) {
        guard now >= compactionDeadline else { return }
        compactionDeadline = now + CompactionLimits.interval
        guard let next = nextBase, compaction == nil, publishing == nil, starting == nil,
            failure == nil, isAdmitted, !hasEnded, forks.allSatisfy({ $0.state != .fetching }),
            isOutsideRetention(next.checkpoint, diskBytes: diskBytes)
        else { return }
        // Whatever a member has not got it would ask for.
        let stable = stableClock()
        guard next.states.allSatisfy({ stable[$0.writer] >= $0.number }) else { return }
        // What is given back of the own log could not be written again if its history turned out to be another one.
        let isAlone = activeSlots.allSatisfy(ownSlots.contains)
        guard
            isAlone || next.states.allSatisfy({ $0.writer != ownSlot || $0.number <= sharedOfOwn })
        else { return }
        // A new device must find another way than the first blocks.
        var isReplaceable = false
        for checkpoint in checkpoints where hasSeen(next, checkpoint) && !isReplaceable {
            guard isHere(checkpoint.content) else { continue }
            isReplaceable = try proof(of: checkpoint) != nil
        }
        guard isReplaceable, isHere(next.checkpoint.content) else { return }
        try commit()
        try adopt(next)
    }

    private func hasSeen(_ next: NextBase, _ checkpoint: PublishedCheckpoint) -> Bool {
        next.states.allSatisfy { checkpoint.hasSeen($0.number, of: writers.key(of: $0.writer)) }
    }

    private func isOutsideRetention(_ checkpoint: PublishedCheckpoint, diskBytes: UInt64) -> Bool {
        let policy = RetentionPolicy(setting: settings.value(RetentionPolicy.settingKey))
        let history =
            checkpointPolicy.history.map { UInt64($0.nanosecondsClamped / 1_000_000) }
            ?? max(policy.everything, policy.daily)
        let time = HybridTime(rawValue: checkpoint.time).milliseconds
        // A clock that is far ahead is no reason to give history back.
        let now = min(environment.wallTime().milliseconds, tree.newestTime.milliseconds)
        if now >= time, now - time >= history { return true }
        let space = policy.space > 0 ? policy.space : diskBytes / 10
        let held = logBytes - min(logBytes, base?.logBytes ?? 0)
        return held > space
    }

    private mutating func adopt(_ next: NextBase) throws(StorageError) {
        do throws(StorageError) {
            try storage.setValue(
                PublishedCheckpoint.encode([next.checkpoint]), of: StoredValue.base)
            try storage.setValue(encodedStarts(next.states), of: StoredValue.starts)
            var writer = WireWriter()
            write(next.settled, into: &writer)
            try storage.setValue(writer.bytes, of: StoredValue.compaction)
            try storage.setValue(nil, of: StoredValue.nextBase)
        } catch {
            failure = error
            throw error
        }
        base = next.checkpoint
        starts = [:]
        for state in next.states {
            starts[state.writer] = state
            guard let log = logs[state.writer] else { continue }
            log.fetchStart = max(log.fetchStart, state.number)
        }
        nextBase = nil
        checkpoints = checkpoints.filter { hasSeen(next, $0) }
        checkpointsChanged = true
        offered = nil
        compaction = Compaction(settled: next.settled)
        notices.append(
            "what came before \(next.checkpoint.content.size) bytes of checkpoint is"
                + " given back")
        markDirty()
        try commit()
    }

    mutating func loadCompaction() throws(StorageError) {
        nextBase = try storage.value(StoredValue.nextBase).map { bytes throws(StorageError) in
            try nextBase(decoding: bytes)
        }
        guard let bytes = try storage.value(StoredValue.compaction) else { return }
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            compaction = Compaction(settled: try readSettled(&reader))
        } catch {
            throw .corrupt(
                what: "what is being given back (\(error)): leave the share and join it again")
        }
    }

    // MARK: How

    /// Gives back a little more.
    ///
    /// - Returns: whether there is more to do.
    mutating func compactStep(now: Instant) throws(StorageError) -> Bool {
        guard var current = compaction, failure == nil else { return false }
        let deadline = environment.now() + CompactionLimits.time
        do throws(StorageError) {
            if current.sweep == nil, !current.isSwept {
                if try clearBlocks(until: deadline) { return true }
                current.sweep = try tree.beginSweep(of: current.settled, keeping: keptByStaging())
            } else if var sweep = current.sweep {
                var rounds = 0
                var more = true
                repeat {
                    more = try sweep.step(rows: CompactionLimits.rows)
                    rounds += 1
                } while more && rounds < CompactionLimits.rounds && environment.now() < deadline
                current.sweep = sweep
                if !more {
                    endSweep()
                    current.sweep = nil
                    current.isSwept = true
                }
            } else {
                try commit()
                guard try !storage.releaseSpace() else { return true }
                try storage.setValue(nil, of: StoredValue.compaction)
                compaction = nil
                markDirty()
                return false
            }
            compaction = current
            markDirty()
            return true
        } catch {
            // Part of an object may be gone.
            if current.sweep != nil, failure == nil { failure = error }
            endSweep()
            throw error
        }
    }

    /// Rows that are going stay as they are: from the start again another time.
    mutating func endSweep() {
        compaction?.sweep?.end()
        compaction?.sweep = nil
    }

    /// What programs wrote and no version has yet needs its object.
    private func keptByStaging() throws(StorageError) -> Set<ObjectID> {
        Set(try storage.stagedFiles().compactMap { $0.node.operation.map(current) })
    }

    /// Drops blocks before the base.
    ///
    /// - Returns: whether there may be more.
    private mutating func clearBlocks(until deadline: Instant) throws(StorageError) -> Bool {
        guard historyReaders == 0 else { return true }
        let proving = provingBlocks()
        var rounds = 0
        for slot in starts.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            guard let log = logs[slot], var end = starts[slot]?.number else { continue }
            // What nobody else has may have to be written again: see <doc:Forks>.
            if slot == ownSlot { end = min(end, sharedOfOwn) }
            let kept = proving[slot] ?? []
            var index: UInt64 = 0
            while let run = log.firstStored(from: index, before: end, except: kept) {
                guard rounds < CompactionLimits.rounds, environment.now() < deadline else {
                    return true
                }
                rounds += 1
                let last = min(run.upperBound, run.lowerBound + CompactionLimits.blocks)
                try log.clear(run.lowerBound..<last)
                index = last
                markDirty()
            }
        }
        return false
    }

    /// Blocks that new devices are shown before anything else.
    func provingBlocks() -> [WriterSlot: [UInt64]] {
        var blocks: [WriterSlot: [UInt64]] = [:]
        func keep(_ log: Bytes32, _ block: UInt64) {
            if let slot = writers.slot(of: log) { blocks[slot, default: []].append(block) }
        }
        keep(membership.foundingLog, 0)
        for admission in membership.showing {
            keep(admission.order.writer, admission.order.block)
        }
        for checkpoint in checkpoints { keep(checkpoint.log, checkpoint.block) }
        return blocks.mapValues { $0.sorted() }
    }
}
