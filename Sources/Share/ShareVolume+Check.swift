package import Base
import Chunks
import FileTree
import Hypercore

/// What `holdfast check` tells.
package struct CheckReport: Codable, Equatable, Sendable {
    package var blocks: UInt64 = 0
    package var chunks: UInt64 = 0
    package var files: UInt64 = 0
    /// Chunks in use that are not here, and known not to be: other members may have them.
    package var awaitedChunks: UInt64 = 0
    /// Of the view as it is stored, and as the logs say it must be.
    package var digest = ""
    package var replayedDigest = ""
    /// One line each, for people. Empty: all is well.
    package var problems: [String] = []

    package init() {}
}

extension ShareVolume {
    /// Verifies logs and view against each other, and that every shown content's chunks are here
    /// or known to be missing. Calls of the filesystem wait meanwhile.
    ///
    /// - Parameter scratch: empty; the logs are replayed into it.
    package func check(scratch: any ShareStorage) throws(StorageError) -> CheckReport {
        let sessions = peers.withLock { table in table.ids.compactMap { table.sessions[$0] } }
        return try engine.withLock { (engine) throws(StorageError) in
            try engine.commit()
            var report = try engine.check(scratch: scratch)
            for device in engine.disagreeing(among: sessions) {
                report.problems.append(Engine.disagreement(with: device))
            }
            return report
        }
    }

    /// Makes the view again from the logs.
    package func rebuildView() throws(StorageError) {
        try engine.withLock { (engine) throws(StorageError) in
            try engine.rebuildView(telling: false)
            try engine.forgetDivergences()
            try engine.storage.commit()
        }
        try mergeAll()
        try engine.withLock { (engine) throws(StorageError) in try engine.commit() }
        try makeDurable()
    }
}

extension Engine {
    var deviceNames: [WriterSlot: String] {
        var names: [WriterSlot: String] = [:]
        for key in membership.logs {
            guard let slot = writers.slot(of: key), let member = membership.member(log: key),
                !member.name.isEmpty
            else { continue }
            names[slot] = String(decoding: member.name, as: UTF8.self)
        }
        return names
    }

    fileprivate func check(scratch: any ShareStorage) throws(StorageError) -> CheckReport {
        var report = CheckReport()
        for slot in logs.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            guard let log = logs[slot] else { continue }
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
        let replay = try Replay(
            writers: writers, deviceNames: deviceNames,
            logs: logs.keys.sorted { $0.rawValue < $1.rawValue }.compactMap { slot in
                logs[slot].map { (slot, $0, applied[slot] ?? 0) }
            }, bounds: bounds, settlesAfter: checkpointPolicy.graceMilliseconds, scratch: scratch)
        _ = try readBase(into: replay.tree)
        let replayed = try replay.run(from: starts)
        // The same questions have the same answers: what is known of them is taken over.
        for question in replay.tree.takeQuestions() {
            guard let merge = try tree.merge(of: question.object), merge.question == question
            else { continue }
            _ = try replay.tree.answer(question, merge.verdict)
        }
        let expected = applied.values.reduce(0, &+) &- starts.values.reduce(0) { $0 &+ $1.number }
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
        report.problems += endingProblems + resumptionProblems
        for fork in forkReports where !fork.isSettled {
            let advice =
                fork.hindrance ?? "connect the device that was restored or cloned"
            report.problems.append(
                "the log of \(fork.device) has two histories after block \(fork.common), and what one"
                    + " of them has is not here: \(advice)")
        }
        try checkChunks(&report)
        return report
    }

    /// Whether a file shows other bytes than the logs say. What its log says of a version no digest has.
    private func hasDamagedContents(beside replayed: any ShareStorage) throws(StorageError) -> Bool
    {
        var isDamaged = false
        try storage.forEachVersion { (row) throws(StorageError) in
            guard try isShown(row), let other = try replayed.version(row.id) else { return }
            if row.content != other.content || row.size != other.size || row.object != other.object
            {
                isDamaged = true
            }
        }
        return isDamaged
    }

    private func checkChunks(_ report: inout CheckReport) throws(StorageError) {
        let wanted = Set(try storage.wantedChunks().map(\.reference.address))
        var walk = ReferenceWalk(chunks)
        var missing: Set<Bytes32> = []
        var seen: Set<Bytes32> = []
        var damaged = 0
        try storage.forEachVersion { (row) throws(StorageError) in
            guard try isShown(row) else { return }
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

    /// What a checkpoint says besides the view, where the logs can no longer tell it.
    private mutating func take(_ contents: CheckpointContents) throws(StorageError) {
        adopt(contents.states)
        if membership.logs.count <= 1, let bytes = contents.values[StoredValue.membership] {
            membership = try Membership(decoding: bytes, foundingLog: membership.foundingLog)
            (membershipChanged, membershipGrew) = (true, true)
            refreshBounds()
        }
        _ = try openNewLogs()
    }

    /// - Parameter telling: whether the kernel may have seen the old view.
    mutating func rebuildView(telling: Bool) throws(StorageError) {
        if !telling { try commit() }
        try remakeView()
        changes = telling ? alsoFormer(changes) : []
        try commit()
    }

    /// Makes the view again, without a commit.
    mutating func remakeView() throws(StorageError) {
        endPublishing()
        endSweep()
        try storage.removeView()
        tree = try FileTree(
            storage: storage, writers: writers, deviceNames: deviceNames,
            settlesAfter: checkpointPolicy.graceMilliseconds)
        applied = [:]
        codecs = [:]
        stopped = []
        readPast = [:]
        refused = 0
        hybrid = HybridClock()
        merges = MergeQueue()
        try loadStarts()
        seenByOwn = pendingFork == nil ? Clock() : try clockOfOwn()
        try loadCompaction()
        if let contents = try readBase(into: tree) { try take(contents) }
        markDirty()
        if let pendingFork { stopped.insert(pendingFork.branch) }
        // What is read again has not come in again: a save by rename goes on knowing its parents.
        let known = recent
        repeat {
            while try applyStored() {}
        } while try !openNewLogs().isEmpty
        recent = known
        hybrid.observe(tree.newestTime)
        try rebuildWanted()
    }
}
