import Base
import Chunks
import FileTree
import Hypercore

/// A check of logs and view against each other, as they were at one moment.
///
/// Begun under the engine's lock. Where its storage is a snapshot it runs without, on one thread.
struct Checkup {
    /// What is known to be wrong without looking.
    var problems: [String]

    private let storage: any ShareStorage
    private let chunks: any ChunkStorage
    private let writers: WriterTable
    private let deviceNames: [WriterSlot: String]
    private let settlesAfter: UInt64
    private let logs: [(slot: WriterSlot, log: Log, blocks: UInt64)]
    private let starts: [WriterSlot: BlockCodec]
    private let bounds: LogBounds
    private let base: PublishedCheckpoint?
    private let tree: FileTree

    /// - Parameters:
    ///   - engine: with nothing uncommitted.
    ///   - storage: what it has committed.
    init(_ engine: Engine, as storage: any ShareStorage) throws(StorageError) {
        self.storage = storage
        chunks = engine.chunks
        writers = WriterTable(copying: engine.writers)
        deviceNames = engine.deviceNames
        settlesAfter = engine.checkpointPolicy.graceMilliseconds
        starts = engine.starts
        bounds = engine.bounds
        base = engine.base
        var logs: [(slot: WriterSlot, log: Log, blocks: UInt64)] = []
        for (slot, log) in engine.logs.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            let own = try Log(
                storage: storage, slot: slot, key: log.key,
                cipher: BlockCipher(
                    encryptionKey: engine.keys.logEncryptionKey, logKey: log.key))
            logs.append((slot, own, engine.applied[slot] ?? 0))
        }
        self.logs = logs
        tree = try FileTree(
            storage: storage, writers: writers, deviceNames: deviceNames,
            settlesAfter: settlesAfter)
        problems =
            engine.endingProblems + engine.resumptionProblems + engine.otherHistoryProblems
        // What its device alone has does not count where that is no member any more: it says so itself.
        for fork in engine.forkReports where !fork.isSettled && !fork.isEnded {
            let advice = fork.hindrance ?? "connect the device that was restored or cloned"
            problems.append(
                "the log of \(fork.device) has two histories after block \(fork.common), and what one"
                    + " of them has is not here: \(advice)")
        }
    }

    /// - Parameter scratch: empty; the logs are replayed into it.
    func run(scratch: any ShareStorage) throws(StorageError) -> CheckReport {
        var report = CheckReport()
        for (_, log, _) in logs {
            let found = try log.check()
            report.blocks += found.blocks
            report.problems += found.problems
        }
        if !report.problems.isEmpty {
            report.problems.append(
                "what is damaged in logs cannot be made again here: everything else can still be read;"
                    + " copy what only this device has, then leave the share and join it again"
                    + " through another member")
        }
        try compare(with: scratch, &report)
        report.problems += problems
        try checkChunks(&report)
        return report
    }

    private func compare(with scratch: any ShareStorage, _ report: inout CheckReport)
        throws(StorageError)
    {
        let replay = try Replay(
            writers: writers, deviceNames: deviceNames, logs: logs, bounds: bounds,
            settlesAfter: settlesAfter, scratch: scratch)
        if let base { _ = try Engine.read(base, from: chunks, into: replay.tree) }
        let replayed = try replay.run(from: starts)
        // The same questions have the same answers: what is known of them is taken over.
        for question in replay.tree.takeQuestions() {
            guard let merge = try tree.merge(of: question.object), merge.question == question
            else { continue }
            _ = try replay.tree.answer(question, merge.verdict)
        }
        let expected =
            logs.reduce(0) { $0 &+ $1.blocks } &- starts.values.reduce(0) { $0 &+ $1.number }
        if replayed != expected {
            report.problems.append(
                "only \(replayed) of \(expected) blocks can be applied again")
        }
        report.files = tree.totals.files
        report.digest = tree.digest.hex
        report.replayedDigest = replay.tree.digest.hex
        if report.digest != report.replayedDigest {
            report.problems.append(
                "the view is not what the logs say: run holdfast check --rebuild")
        }
        let areRowsIntact = try tree.digestOfRows() == tree.digest
        let hasDamagedContents = try hasDamagedContents(beside: scratch)
        if !areRowsIntact || hasDamagedContents {
            report.problems.append(
                "names, attributes or contents are not what was stored: run holdfast check --rebuild"
            )
        }
        report.problems += try storage.damages()
        if try !tree.hasEqualConflicts(replay.tree) {
            report.problems.append(
                "the list of conflicts is not what the logs say: run holdfast check --rebuild")
        }
    }

    /// Whether a file shows other bytes than the logs say. What its log says of a version no digest has.
    private func hasDamagedContents(beside replayed: any ShareStorage) throws(StorageError) -> Bool
    {
        var isDamaged = false
        try storage.forEachVersion { (row) throws(StorageError) in
            guard try storage.isShown(row), let other = try replayed.version(row.id) else { return }
            if row.content != other.content || row.size != other.size || row.object != other.object
            {
                isDamaged = true
            }
        }
        return isDamaged
    }

    private func checkChunks(_ report: inout CheckReport) throws(StorageError) {
        let wanted = Set(try storage.wantedChunks().map(\.reference.address))
        // What such a list names may have come to be wanted since, with the list: nothing can be said of it.
        var walk = ReferenceWalk(chunks, closed: wanted)
        var missing: Set<Bytes32> = []
        var seen: Set<Bytes32> = []
        var damaged = 0
        try storage.forEachVersion { (row) throws(StorageError) in
            guard try storage.isShown(row) else { return }
            guard let content = try? Content(decoding: row.content) else {
                damaged += 1
                return
            }
            try walk.forEachReference(in: content) { (reference) throws(StorageError) in
                guard seen.insert(reference.address).inserted else { return }
                guard !chunks.contains(reference.address) else { return }
                guard !wanted.contains(reference.address) else {
                    report.awaitedChunks += 1
                    return
                }
                missing.insert(reference.address)
            }
        }
        report.chunks = UInt64(seen.count)
        if damaged > 0 { report.problems.append("\(damaged) contents cannot be decoded") }
        if !missing.isEmpty {
            report.problems.append(
                "\(missing.count) chunks are neither here nor known to be missing: "
                    + "run holdfast check --rebuild")
        }
    }
}
