import Base
import Chunks
import Crypto
import FileTree
import Hypercore

/// Going over to a checkpoint, with what only this device has. See <doc:Backups>.
extension Engine {
    /// What only this device has written, and in which log.
    private struct OwnWork {
        var slot: WriterSlot
        /// Blocks of that log that everybody has.
        var common: UInt64
        var blocks: [Block]
        /// Whether the log has another history, which takes its place.
        var fork: Int?
    }

    /// Makes the view that of the checkpoint and the blocks after it, and writes again what only this device has:
    /// one transaction.
    mutating func resume(from checkpoint: PublishedCheckpoint, _ contents: CheckpointContents)
        throws(StorageError)
    {
        guard let current = resumption else { return }
        try commit()
        guard let work = try ownWork(common: current.common) else { return }
        let known = try members(in: contents, by: checkpoint)
        let settings = try SharedSettings(decoding: contents.values[StoredValue.settings])
        do throws(StorageError) {
            try writeAgain(work) { (engine) throws(StorageError) in
                try engine.begin(from: checkpoint, contents)
                (engine.membership, engine.settings) = (known, settings)
                (engine.membershipChanged, engine.settingsChanged) = (true, true)
                engine.membershipGrew = true
            }
            followFromCheckpoint()
            resumption = nil
            let offers = chances.offers
            chances = ResumptionChances()
            chances.offers = offers
            notices.append(
                "this device went on from a checkpoint of \(checkpoint.content.size) bytes"
                    + (work.blocks.isEmpty
                        ? ""
                        : "; \(work.blocks.count) blocks that only it had were written again, as \(deviceName)")
            )
            try commit()
        } catch {
            // Part of it may be done.
            failure = error
            throw error
        }
    }

    /// Writes the whole log again that nobody has a block of.
    ///
    /// - Returns: false if this version cannot read all of it.
    mutating func writeAllAgain() throws(StorageError) -> Bool {
        try commit()
        guard let work = try ownWork(common: nil) else { return false }
        do throws(StorageError) {
            try writeAgain(work) { (engine) throws(StorageError) in
                // It may hold what is about to be written again.
                engine.nextBase = nil
                try engine.storeNextBase()
            }
            notices.append(
                "\(work.blocks.count) blocks that nobody else has were written again: others have settled what"
                    + " they had not seen")
            try commit()
            return true
        } catch {
            failure = error
            throw error
        }
    }

    /// Takes what only this device has out of the view, and writes it down again on top of what all have.
    ///
    /// - Parameter prepare: changes what the view is made from.
    private mutating func writeAgain(
        _ work: OwnWork, on prepare: (inout Engine) throws(StorageError) -> Void
    ) throws(StorageError) {
        let former = try FormerPlaces(of: work.blocks, from: work.slot, work.common, in: tree)
        let shown = try shownThings()
        try prepare(&self)
        let slot = try leaveLog(of: work)
        try remakeAll()
        var restating = Restating(
            former: former, from: work.slot, now: slot, common: work.common)
        try restate(work.blocks, &restating)
        let retired = RetiredSlot(
            slot: work.slot, current: slot, common: work.common, moved: restating.moved)
        if !work.blocks.isEmpty || work.fork != nil {
            try moveStaged(retired)
            retiredSlots.append(retired)
        }
        for (old, new) in restating.moved where old.writer != work.slot {
            displaced[old] = new
        }
        try keepStaged(of: shown)
        try tell(shown)
    }

    // MARK: What only this device has

    /// - Returns: nil if this version cannot read all of it.
    private mutating func ownWork(common: UInt64?) throws(StorageError) -> OwnWork? {
        guard let log = ownLog else { return nil }
        if let fork = forks.firstIndex(where: { $0.state == .fetching }) {
            guard let common, let blocks = try blocks(of: log, from: common) else { return nil }
            return OwnWork(slot: ownSlot, common: common, blocks: blocks, fork: fork)
        }
        // A log of which nobody has a block. What is in another one counts as it stands.
        guard succession != nil, !isAdmitted, acknowledged == 0, log.length > 0 else {
            return OwnWork(slot: ownSlot, common: log.length, blocks: [])
        }
        guard let blocks = try blocks(of: log, from: 0) else { return nil }
        return OwnWork(slot: ownSlot, common: 0, blocks: blocks)
    }

    /// Makes room for what is written again.
    ///
    /// - Returns: the slot that the log of `work` has now.
    private mutating func leaveLog(of work: OwnWork) throws(StorageError) -> WriterSlot {
        if let fork = work.fork {
            try beginSuccessor()
            try exchangeHistories(fork, of: work.slot, common: work.common)
            return forks[fork].branch
        }
        guard !work.blocks.isEmpty, let log = ownLog else { return work.slot }
        // It begins anew, in another slot: what the kernel holds of it means other blocks.
        let key = log.key
        let name = Blake2b.hash256(
            key: keys.shareID, Array("holdfast log".utf8) + key.bytes + environment.randomBytes(32))
        guard let slot = writers.insert(name) else {
            throw .corrupt(what: "the table of logs is full")
        }
        try log.erase()
        logs[work.slot] = nil
        try swapWriters(work.slot, slot)
        logs[slot] = try Log.create(
            storage: storage, slot: slot, keyPair: device,
            namespace: keys.logNamespace(generation: 0), encryptionKey: keys.logEncryptionKey)
        ownSlot = slot
        acknowledged = 0
        chances.holdBack()
        return slot
    }

    // MARK: The checkpoint

    private mutating func begin(
        from checkpoint: PublishedCheckpoint, _ contents: CheckpointContents
    ) throws(StorageError) {
        // The view is made again from its pieces.
        try chunks.sync()
        try takeAsBase(checkpoint, contents.states)
        offered = nil
        nextBase = nil
        compaction = nil
        try storage.setValue(nil, of: StoredValue.nextBase)
        try storage.setValue(nil, of: StoredValue.compaction)
    }

    private mutating func remakeAll() throws(StorageError) {
        isRebuilding = true
        defer { isRebuilding = false }
        var rounds = 0
        repeat {
            rounds += 1
            try loadStarts()
            refreshBounds()
            mustRebuild = false
            try remakeView()
        } while mustRebuild && rounds < Membership.Limits.members
        try takeQuestions()
        mustOpenLogs = true
    }

    private mutating func followFromCheckpoint() {
        for slot in logs.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            logs[slot]?.wantAll()
            logs[slot]?.mayLeap = false
            logs[slot]?.fetchStart = starts[slot]?.number ?? 0
            if slot != ownSlot { logsToReopen.append(slot) }
        }
    }

    // MARK: Who had seen what

    /// What shows under a name, and what is known of it.
    private struct ShownThing {
        let name: ShownName
        let attributes: NodeAttributes?
        let versions: [VersionID]
    }

    private func shownThings() throws(StorageError) -> [ShownThing] {
        try shownNames().map { (name) throws(StorageError) in
            ShownThing(
                name: name, attributes: try tree.attributes(of: name.node),
                versions: name.kind == .file
                    ? try tree.content(of: name.node)?.versions ?? [] : [])
        }
    }

    /// What was being written to files that are gone goes to new ones.
    private mutating func keepStaged(of shown: [ShownThing]) throws(StorageError) {
        let staged = Set(try storage.stagedFiles().compactMap { $0.node.operation })
        guard !staged.isEmpty else { return }
        try noteVanished(
            shown.compactMap { thing in
                let node = current(thing.name.node)
                guard thing.name.kind == .directory || staged.contains(node) else { return nil }
                return ShownName(
                    directory: current(thing.name.directory), name: thing.name.name, node: node,
                    kind: thing.name.kind,
                    attributes: thing.attributes.map { Attributes(NodeID(node), $0) })
            })
    }

    /// Tells the kernel how the view differs from what it was.
    private mutating func tell(_ before: [ShownThing]) throws(StorageError) {
        struct Place: Hashable {
            let directory: ObjectID
            let name: [UInt8]
        }
        var known: [Place: ShownThing] = [:]
        for thing in before {
            known[Place(directory: current(thing.name.directory), name: thing.name.name)] = thing
        }
        var told: [ViewChange] = []
        for thing in try shownThings() {
            let place = Place(directory: thing.name.directory, name: thing.name.name)
            let former = known.removeValue(forKey: place)
            let isSame = former.map { current($0.name.node) == thing.name.node } ?? false
            if !isSame { told.append(entry(place.directory, place.name, before: former)) }
            guard isSame, let former else { continue }
            if former.versions.map(current) != thing.versions {
                told.append(.content(NodeID(thing.name.node)))
            }
            if former.attributes?.changed != thing.attributes?.changed
                || former.attributes?.size != thing.attributes?.size
                || former.attributes?.links != thing.attributes?.links
            {
                told.append(.attributes(NodeID(thing.name.node)))
            }
        }
        for (place, thing) in known.sorted(by: {
            ($0.key.directory.rawValue, $0.value.name.node.rawValue)
                < ($1.key.directory.rawValue, $1.value.name.node.rawValue)
        }) {
            told.append(entry(place.directory, place.name, before: thing))
        }
        changes = alsoFormer(changes + told)
    }

    private func entry(_ directory: ObjectID, _ name: [UInt8], before: ShownThing?) -> ViewChange {
        .entry(
            directory: NodeID(directory), name: name,
            before: before.map {
                ViewChange.Shown(node: NodeID($0.name.node), kind: $0.name.kind)
            })
    }
}
