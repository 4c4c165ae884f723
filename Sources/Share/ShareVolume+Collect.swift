package import Base
import Chunks
import FileTree

/// Giving back the space of chunks that nothing refers to.
extension ShareVolume {
    /// Which versions keep their content.
    package var retention: RetentionPolicy {
        engine.withLock { RetentionPolicy(setting: $0.settings.value(RetentionPolicy.settingKey)) }
    }

    /// Sets for all members which versions keep their content.
    package func setRetention(_ policy: RetentionPolicy) throws(VolumeError) {
        try engine.withLock { (engine) throws(VolumeError) in
            _ = try engine.author(
                .set(.init(key: Array(RetentionPolicy.settingKey.utf8), value: policy.encoded)))
        }
        environment.wake()
    }

    /// Collects if that was not done for a day, so that opening a share stays quick.
    ///
    /// - Returns: bytes freed.
    package func collectChunksIfDue() throws(StorageError) -> UInt64 {
        let now = environment.wallTime().milliseconds
        let last = try engine.withLock { (engine) throws(StorageError) in
            Engine.decode(try engine.storage.value(StoredValue.collected))
        }
        guard now < last || now - last >= RetentionPolicy.day else { return 0 }
        let freed = try collectChunks()
        try engine.withLock { (engine) throws(StorageError) in
            try engine.storage.setValue(Engine.encode(now), of: StoredValue.collected)
            engine.markDirty()
        }
        return freed
    }

    /// Drops every chunk that no shown content, no version that the retention policy keeps and no staged
    /// file needs.
    ///
    /// To be called while nothing else uses the share: before it is mounted and connected. A chunk
    /// that came to be needed during the run could be dropped otherwise.
    ///
    /// - Returns: bytes freed.
    package func collectChunks() throws(StorageError) -> UInt64 {
        let now = environment.wallTime().milliseconds
        let total = diskSpace().total
        let chunks = self.chunks
        let kept = try engine.withLock { (engine) throws(StorageError) in
            let policy = RetentionPolicy(
                setting: engine.settings.value(RetentionPolicy.settingKey))
            var retained = RetainedChunks(policy, now: now, diskBytes: total, chunks)
            let others = engine.clocksOfOthers
            try engine.storage.forEachVersion { (row) throws(StorageError) in
                let object = try engine.storage.object(row.object)
                if row.isHead, let object, object.links == 0,
                    try !engine.isRemoval(of: row.object, seenAt: others)
                {
                    retained.keepForReturn(row, of: object)
                } else {
                    try retained.look(at: row, of: object)
                }
            }
            try engine.forEachUncountedVersion { (version) throws(StorageError) in
                retained.look(at: version)
            }
            try retained.keepMerges(engine.tree)
            let bases = [engine.base, engine.nextBase?.checkpoint, engine.resumption?.checkpoint]
                .compactMap(\.self)
            for checkpoint in engine.checkpoints.suffix(2) + bases {
                try retained.keep(checkpoint.content)
            }
            for staged in try engine.storage.stagedFiles() { try retained.keep(staged.base) }
            for id in retained.historyNewestFirst {
                guard let content = try retained.content(of: id, in: engine.storage) else {
                    continue
                }
                guard try retained.keepPast(content) else { break }
            }
            return retained.addresses
        }
        return try chunks.collect { kept.contains($0) }
    }
}

extension Engine {
    /// What each other member that has ever written had seen when it last wrote, and had written.
    fileprivate var clocksOfOthers: [Clock] {
        let active = activeSlots
        return logs.keys.sorted { $0.rawValue < $1.rawValue }.compactMap { slot in
            let log = writers.key(of: slot)
            guard slot != ownSlot, membership.isMember(log: log), !membership.hasSuccessor(log),
                active.contains(slot), let state = codecs[slot]
            else { return nil }
            var clock = state.clock
            clock[slot] = state.number
            return clock
        }
    }

    /// Whether all these had seen that a file was removed: an edit made without knowing it brings the file
    /// back, with what it showed.
    fileprivate func isRemoval(of object: ObjectID, seenAt clocks: [Clock]) throws(StorageError)
        -> Bool
    {
        try storage.entries(of: object).allSatisfy { entry in
            clocks.allSatisfy { clock in entry.removals.contains(where: clock.covers) }
        }
    }
}

/// Works out which chunks are to stay: first those of what is shown, then those of earlier versions, the
/// newest first, as far as the space goes.
private struct RetainedChunks {
    private struct FileDay: Hashable {
        var object: ObjectID
        var day: UInt64
    }

    private struct History {
        var recent: [(time: UInt64, id: VersionID)] = []
        var lastOfDay: [FileDay: (time: UInt64, id: VersionID)] = [:]

        mutating func note(
            _ time: UInt64, _ id: VersionID, of object: ObjectID, by policy: RetentionPolicy,
            now: UInt64
        ) {
            let age = now > time ? now - time : 0
            if age <= policy.everything {
                recent.append((time, id))
            } else if age <= policy.daily {
                let key = FileDay(object: object, day: time / RetentionPolicy.day)
                // Equal times are of different writers: any one will do.
                if lastOfDay[key].map({ $0.time < time }) ?? true { lastOfDay[key] = (time, id) }
            }
        }

        func newestFirst(_ others: [(time: UInt64, id: VersionID)] = []) -> [VersionID] {
            (recent + lastOfDay.values + others)
                .sorted { ($0.time, $0.id.rawValue) > ($1.time, $1.id.rawValue) }.map(\.id)
        }
    }

    private(set) var addresses: Set<Bytes32> = []
    private let policy: RetentionPolicy
    private let now: UInt64
    private let spaceMax: UInt64
    private var space: UInt64 = 0
    private var walk: ReferenceWalk
    private var history = History()
    /// Of blocks that do not count: they take what space is left.
    private var uncountedHistory = History()
    /// Of versions that no view has.
    private var uncounted: [VersionID: Content] = [:]
    /// What removed files show if an edit that is still out there brings them back.
    private var returning: [(time: UInt64, id: VersionID)] = []

    init(
        _ policy: RetentionPolicy, now: UInt64, diskBytes: UInt64, _ chunks: any ChunkStorage
    ) {
        self.policy = policy
        self.now = now
        spaceMax = policy.space > 0 ? policy.space : diskBytes / 10
        walk = ReferenceWalk(chunks)
    }

    /// Keeps what is shown, and takes note of the rest.
    mutating func look(at row: VersionRow, of object: ObjectRow?) throws(StorageError) {
        var time = row.time.milliseconds
        if row.isHead, let object {
            guard object.links == 0 else { return try keep(try content(of: row)) }
            // Its name was removed: from then on it is history.
            time = max(time, object.changed.time.milliseconds)
        }
        history.note(time, row.id, of: row.object, by: policy, now: now)
    }

    /// Somebody may want to export it: for as long as any earlier version.
    mutating func look(at version: Engine.UncountedVersion) {
        if case .inline = version.content { return }
        uncounted[version.id] = version.content
        uncountedHistory.note(
            version.time.milliseconds, version.id, of: version.object, by: policy, now: now)
    }

    /// However old it is: as far as the space goes.
    mutating func keepForReturn(_ row: VersionRow, of object: ObjectRow) {
        returning.append((max(row.time, object.changed.time).milliseconds, row.id))
    }

    /// Keeps what files with several heads show, and what it takes to merge them.
    mutating func keepMerges(_ tree: FileTree) throws(StorageError) {
        try tree.forEachContested { (object) throws(StorageError) in
            guard let merge = try tree.merge(of: object) else { return }
            if case .merged(_, let content) = merge.verdict {
                guard let content = try? Content(decoding: content) else {
                    throw .corrupt(what: "the merge of \(object); run holdfast check --rebuild")
                }
                try keep(content)
            }
            for row in try tree.plan(merge.question)?.versions ?? [] {
                try keep(try content(of: row))
            }
        }
    }

    var historyNewestFirst: [VersionID] {
        history.newestFirst(returning) + uncountedHistory.newestFirst()
    }

    mutating func keep(_ content: Content) throws(StorageError) {
        try walk.forEachReference(in: content) { addresses.insert($0.address) }
    }

    /// - Returns: false once the space is used up.
    mutating func keepPast(_ content: Content) throws(StorageError) -> Bool {
        var wanted: [ChunkReference] = []
        var more: UInt64 = 0
        var known: Set<Bytes32> = []
        let addresses = self.addresses
        try walk.forEachReference(in: content) { reference in
            guard !addresses.contains(reference.address), known.insert(reference.address).inserted
            else { return }
            wanted.append(reference)
            more += UInt64(reference.length)
        }
        guard space + more <= spaceMax else { return false }
        space += more
        for reference in wanted { self.addresses.insert(reference.address) }
        return true
    }

    func content(of id: VersionID, in storage: any ShareStorage) throws(StorageError) -> Content? {
        if let content = uncounted[id] { return content }
        return try storage.version(id).map { (row) throws(StorageError) in try content(of: row) }
    }

    private func content(of row: VersionRow) throws(StorageError) -> Content {
        guard let content = try? Content(decoding: row.content) else {
            throw .corrupt(what: "the content of version \(row.id); run holdfast check")
        }
        return content
    }
}
