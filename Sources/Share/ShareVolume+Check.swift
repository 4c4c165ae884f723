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
    /// or known to be missing. Calls of the filesystem go on meanwhile, if the storage has snapshots.
    ///
    /// - Parameter scratch: empty; the logs are replayed into it.
    package func check(scratch: any ShareStorage) throws(StorageError) -> CheckReport {
        let sessions = peers.withLock { table in table.ids.compactMap { table.sessions[$0] } }
        return try readingHistory { () throws(StorageError) in
            var report = CheckReport()
            let begun = try engine.withLock { (engine) throws(StorageError) -> Checkup? in
                try engine.commit()
                let snapshot = try engine.storage.snapshot()
                var checkup = try Checkup(engine, as: snapshot ?? engine.storage)
                checkup.problems += engine.disagreeing(among: sessions).map {
                    Engine.disagreement(with: $0)
                }
                guard snapshot == nil else { return checkup }
                report = try checkup.run(scratch: scratch)
                return nil
            }
            return try begun?.run(scratch: scratch) ?? report
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
        // Where an end of a log turns out to be another, blocks are applied no further: whoever makes the view within such
        // bounds begins once more.
        var isInVain: Bool { isRebuilding && mustRebuild }
        var hasMore = true
        while hasMore, !isInVain {
            while !isInVain, try applyStored() {}
            hasMore = try openNewLogs()
        }
        recent = known
        hybrid.observe(tree.newestTime)
        try rebuildWanted()
    }
}
