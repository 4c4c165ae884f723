import Base
import Chunks
import FileTree
import Hypercore

/// A checkpoint on its way into chunks.
struct CheckpointPublishing {
    var writer: CheckpointWriter
    var content: SegmentedContent
    /// Whether it is for this device alone: others have published one.
    let isPrivate: Bool
    /// The logs' codecs at it, what it leaves out, its time, and what it comes to in logs.
    let states: [BlockCodec]
    let settled: SettledHistory
    let time: HybridTime
    let logBytes: UInt64
}

/// Publishing checkpoints: any member may. See <doc:Checkpoints>.
extension Engine {
    enum CheckpointStep {
        case idle
        /// Pieces to be stored, without the engine's lock; whether they are the last.
        case pieces([[UInt8]], isLast: Bool)
    }

    // MARK: When

    /// Whether the logs have grown enough since the newest checkpoint.
    private var checkpointGrowth: (bytes: UInt64, due: UInt64) {
        let bytes = logBytes
        let last = checkpoints.last
        let known = last?.logBytes ?? 0
        return (
            bytes > known ? bytes - known : 0,
            max(checkpointPolicy.growthMin, (last?.content.size ?? 0) / 4)
        )
    }

    var logBytes: UInt64 { logs.values.reduce(0) { $0 &+ $1.byteLength } }

    /// When this device is to publish one, or to say that it has seen one, if nothing happens before.
    var checkpointDeadline: Instant? {
        guard isAdmitted, !hasEnded, publishing == nil, compaction == nil, failure == nil,
            let key = ownLog?.key
        else { return nil }
        let growth = checkpointGrowth
        guard growth.bytes >= growth.due || owesWord || lacksNextBase else { return nil }
        let turns = UInt64(max(1, checkpointPolicy.turns.nanosecondsClamped / 1_000_000))
        let turn = key.bytes.prefix(4).reduce(0) { $0 << 8 | UInt64($1) } % turns
        let wait = checkpointPolicy.quiet + .milliseconds(Int64(turn))
        // Where it is never quiet, one is written all the same.
        let isOverdue = growth.bytes >= 4 * growth.due
        return (isOverdue ? checkpointDueSince ?? lastBlockAt : lastBlockAt) + wait
    }

    /// Whether another member has published a checkpoint since this device last wrote: it says what it has
    /// seen, so that history becomes stable where people only read.
    private var owesWord: Bool {
        if owesWordOfEnding { return true }
        guard let last = checkpoints.last, let slot = writers.slot(of: last.log), slot != ownSlot
        else { return false }
        return codecs[ownSlot].map { $0.clock[slot] <= last.block } ?? true
    }

    mutating func countBlock() {
        lastBlockAt = environment.now()
        let growth = checkpointGrowth
        if growth.bytes < growth.due {
            checkpointDueSince = nil
        } else if checkpointDueSince == nil {
            checkpointDueSince = lastBlockAt
        }
    }

    /// Writes the digest of the view if it is time, and begins a checkpoint if one is due.
    mutating func beginCheckpointIfDue(now: Instant) throws(StorageError) {
        guard let deadline = checkpointDeadline, deadline <= now else { return }
        lastBlockAt = now
        // If nothing comes of it now, it is as long again until the next look, overdue or not.
        if checkpointDueSince != nil { checkpointDueSince = now }
        // Nobody else has the same clock while blocks wait.
        guard !hasUnapplied, pendingFork == nil else { return }
        // There is more of the own log: saying anything would begin another one, which is nobody's yet.
        guard let own = ownLog, own.length <= applied[ownSlot] ?? 0 else { return }
        try commit()
        let growth = checkpointGrowth
        let isDue = growth.bytes >= growth.due
        if isDue || owesWord {
            do throws(VolumeError) {
                // What this view holds too much of nobody can compare.
                guard cutBase == nil else { return try authorNothing() }
                try author(.checkpoint(.init(digest: tree.digest)))
            } catch {
                if case .storage(let error) = error { throw error }
                // Nothing can be written now; the next block brings it up again.
                return
            }
            try commit()
        }
        guard isDue || lacksNextBase else { return }
        let settled = try settledHistory()
        let states = codecs.values.filter { tree.clock[$0.writer] > 0 }
            .sorted { $0.writer.rawValue < $1.writer.rawValue }
        publishing = CheckpointPublishing(
            writer: try tree.beginCheckpoint(
                settled: settled, states: states,
                values: [
                    (StoredValue.membership, membership.encoded),
                    (StoredValue.settings, settings.encoded),
                ]),
            content: SegmentedContent(keys: keys.contentKeys, storage: chunks),
            isPrivate: !isDue, states: states, settled: settled, time: tree.newestTime,
            logBytes: logBytes)
    }

    // MARK: How

    mutating func nextCheckpointPieces() throws(StorageError) -> CheckpointStep {
        guard publishing != nil else { return .idle }
        var pieces: [[UInt8]] = []
        let progress = try publishing?.writer.write(objects: checkpointPolicy.objectsPerTurn) {
            pieces.append($0)
        }
        switch progress {
        case .more: return .pieces(pieces, isLast: false)
        case .done: return .pieces(pieces, isLast: true)
        case .lost, nil:
            endPublishing()
            return .idle
        }
    }

    mutating func endPublishing() {
        publishing?.writer.end()
        publishing = nil
    }

    /// Its pieces are durable: tells everybody.
    mutating func publish(_ content: Content) throws(StorageError) {
        guard let done = publishing else { return }
        endPublishing()
        try takeNextBase(done, content)
        // Its author is a member in it; a log that is begun by writing this would not be.
        guard !done.isPrivate, let own = ownLog, own.length <= applied[ownSlot] ?? 0 else { return }
        let digest = done.writer.digest
        let checkpoint = Operation.Checkpoint(digest: digest, content: content.encode())
        do throws(VolumeError) {
            let id = try author(.checkpoint(checkpoint))
            noteCheckpoint(checkpoint, id, open?.time ?? .zero, seen: open?.clock ?? Clock())
        } catch {
            guard case .storage(let error) = error else { return }
            throw error
        }
        try commit()
    }

    // MARK: Known ones

    /// For people.
    func report(_ checkpoint: PublishedCheckpoint) -> ShareStatus.Checkpoint {
        ShareStatus.Checkpoint(
            device: deviceName(log: checkpoint.log),
            time: HybridTime(rawValue: checkpoint.time).milliseconds,
            bytes: checkpoint.content.size)
    }

    /// Takes note of one that a member has published.
    mutating func noteCheckpoint(
        _ operation: Operation.Checkpoint, _ id: OperationID, _ time: HybridTime, seen: Clock
    ) {
        guard !operation.content.isEmpty,
            let content = try? Content(decoding: operation.content)
        else { return }
        let new = PublishedCheckpoint(
            log: writers.key(of: id.writer), block: id.block, time: time.rawValue,
            digest: operation.digest, content: content, logBytes: logBytes,
            seen: seen.elements.filter { $0.writer != id.writer }.map {
                .init(log: writers.key(of: $0.writer), blocks: $0.count)
            }.sorted { $0.log < $1.log })
        guard !checkpoints.contains(where: { $0.log == new.log && $0.block == new.block }),
            isWithinBounds(new)
        else { return }
        checkpoints.append(new)
        checkpoints.sort { ($0.time, $0.log) < ($1.time, $1.log) }
        if checkpoints.count > PublishedCheckpoint.Limits.count { checkpoints.removeFirst() }
        checkpointsChanged = true
        checkpointDueSince = nil
        markDirty()
    }
}
