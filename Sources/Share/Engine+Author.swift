import Base
import FileTree
import Hypercore

/// Writing: operations join the open block and are in the view at once; the block is sealed,
/// signed and committed a few milliseconds later.
extension Engine {
    /// Adds one operation of this device.
    ///
    /// - Returns: its identity.
    /// - Throws: `.readOnly` while the device is not admitted; `.notPermitted` if the operation
    ///   breaks a rule of the tree.
    @discardableResult
    mutating func author(_ operation: Operation) throws(VolumeError) -> OperationID {
        if let failure { throw .storage(failure) }
        let now = environment.now()
        let isFirst = isFirstOfCall
        isFirstOfCall = false
        if isFirst, let open, open.turnsAt <= now {
            try Self.stored { () throws(StorageError) in try sealEarly() }
        }
        // What one call does stays in one block: a crash, and a peer, must not see half a rename. A block that
        // could not be sealed for want of space takes no more calls.
        if isBlockFull, isFirst || isBlockCrammed, !isBound(operation) {
            try Self.stored { () throws(StorageError) in try commit() }
        }
        var block = try openBlock()
        let id = OperationID(
            writer: ownSlot, block: block.number, index: block.operations.count)
        let treeChanges: [TreeChange]?
        do throws(StorageError) {
            treeChanges = try tree.author(operation, id: id, time: block.time)
            try wantRevived()
        } catch {
            // Part of the operation may be in the view.
            failure = error
            throw .storage(error)
        }
        guard let treeChanges else {
            // What the block holds already stays in it.
            if !block.operations.isEmpty { open = block }
            throw .notPermitted
        }
        block.operations.append(operation)
        block.size += operation.sizeEstimate
        block.touchedAt = now
        open = block
        markDirty()
        note(treeChanges)
        if !operation.isWrite {
            for case .entry(let directory, let name, _) in treeChanges {
                recent.changedHere(NameKey(directory: directory, name: name))
            }
        }
        try takeQuestionsAuthored()
        let known = operation.endsLog ? keyed(block.clock) : [:]
        if membership.apply(
            operation, stamp: Stamp(time: block.time, operation: id),
            author: writers.key(of: ownSlot), seen: known), operation.isMembership
        {
            membershipChanged = true
        }
        if operation.isMembership { refreshBounds() }
        if case .set(let setting) = operation {
            take(setting, Stamp(time: block.time, operation: id))
        }
        return id
    }

    /// Says what this device has seen, and nothing else.
    mutating func authorNothing() throws(VolumeError) {
        if let failure { throw .storage(failure) }
        open = try openBlock()
        markDirty()
        try Self.stored { () throws(StorageError) in try commit() }
    }

    /// Whether an operation must stand in the open block, though that is full: a directory is placed in the
    /// block that made it.
    func isBound(_ operation: Operation) -> Bool {
        guard case .place(let place) = operation, case .new(let object) = place.subject else {
            return false
        }
        return open.map { $0.number == object.block && ownSlot == object.writer } ?? false
    }

    private mutating func takeQuestionsAuthored() throws(VolumeError) {
        do throws(StorageError) { try takeQuestions() } catch { throw .storage(error) }
    }

    mutating func take(_ setting: Operation.Setting, _ stamp: Stamp) {
        let order = OperationOrder(stamp, by: writers.key(of: stamp.operation.writer))
        if settings.apply(setting, at: order) { settingsChanged = true }
        if setting.key == FileTree.mergeRulesSetting, let mergeNotice {
            notices.append(mergeNotice)
        }
    }

    private mutating func openBlock() throws(VolumeError) -> OpenBlock {
        // Taken out, so that appending does not copy the operations.
        if let block = open {
            open = nil
            return block
        }
        guard isAdmitted || isFounding || succession != nil else { throw .readOnly }
        if let log = ownLog, log.length > applied[ownSlot] ?? 0 {
            // Peers have more of this log than was stored here, and it is on its way: whatever is
            // written at this place would be a second history of it.
            try Self.stored { () throws(StorageError) in try beginSuccessor() }
        }
        guard let log = ownLog, starting == nil, log.length >= applied[ownSlot] ?? 0 else {
            throw .readOnly
        }
        let now = environment.now()
        hybrid.observe(tree.newestTime)
        var clock = tree.clock
        // What does not count any more was seen all the same.
        if let last = codecs[ownSlot]?.clock { clock.merge(last) }
        let wall = environment.wallTime()
        let time = hybrid.next(wallMilliseconds: wall.milliseconds)
        return OpenBlock(
            number: log.length, time: time, clock: clock, openedAt: now, touchedAt: now,
            turnsAt: now + Self.untilNextSecond(after: time, at: wall))
    }

    /// How long the second in which a block's time falls still lasts; longer than a second where other
    /// devices' clocks are ahead.
    private static func untilNextSecond(after time: HybridTime, at wall: Timestamp) -> Duration {
        let turn = (time.milliseconds / 1000 + 1) * 1000
        return .milliseconds(Int64(clamping: turn - min(turn, wall.milliseconds)))
            - .nanoseconds(Int64(wall.nanoseconds % 1_000_000))
    }

    /// The first block of a new share is written before there is any member.
    private var isFounding: Bool {
        ownLog.map { $0.length == 0 && $0.key == membership.foundingLog } ?? false
    }

    /// When the open block is due to be sealed.
    var sealDeadline: Instant? {
        open.map {
            let isIdle = $0.touchedAt + Limits.sealAfterIdle
            let next = ownCommitAt.map { $0 + Limits.sealInterval } ?? isIdle
            return min(max(isIdle, next), $0.openedAt + Limits.sealAfter)
        }
    }

    /// When what was written or received is due to be committed.
    var commitDeadline: Instant? {
        let sealed = [sealDeadline, sealedDeadline].compactMap(\.self).min()
        return sealed ?? dirtySince.map { $0 + Limits.commitAfter }
    }

    /// Whether the open block has grown enough to be sealed at the end of a call.
    var isBlockFull: Bool {
        open.map {
            $0.size >= Limits.blockSize || $0.operations.count >= Limits.blockOperations
        } ?? false
    }

    /// Whether the open block takes no more of the call that filled it either.
    private var isBlockCrammed: Bool {
        open.map {
            $0.size >= 2 * Limits.blockSize || $0.operations.count >= 4 * Limits.blockOperations
        } ?? false
    }

    /// Ends the open block before its time: blocks of others are about to enter the view, and it has not seen
    /// them. It is committed when it is due; until then nothing is sent (`ShareVolume.keepPromises`).
    mutating func sealEarly() throws(StorageError) {
        if let failure { throw failure }
        guard let block = open else { return }
        // As for a commit: what is in the log must find room.
        try storage.makeRoom(bytes: block.size + membershipSizeEstimate)
        let deadline = sealDeadline ?? environment.now()
        do throws(StorageError) {
            try seal()
        } catch {
            if error != .full { failure = error }
            throw error
        }
        sealedDeadline = min(sealedDeadline ?? deadline, deadline)
    }

    /// Ends the open block: encodes, signs and appends it. Nobody is told of a block before it is committed: a
    /// crash could take it back.
    private mutating func seal() throws(StorageError) {
        guard let block = open, let log = ownLog else { return }
        var clock = block.clock
        clock[ownSlot] = block.number
        var codec = codecs[ownSlot] ?? BlockCodec(writer: ownSlot)
        let bytes = try codec.encode(
            Block(time: block.time, clock: clock, operations: block.operations),
            writers: writers)
        try log.append([bytes])
        tree.seal(ownSlot, number: block.number, time: block.time)
        countBlock()
        open = nil
        codecs[ownSlot] = codec
        applied[ownSlot] = block.number + 1
        appliedChanged.insert(ownSlot)
        markDirty()
    }

    mutating func commitIfDue() throws(StorageError) {
        if let deadline = commitDeadline, deadline <= environment.now() { try commit() }
    }

    /// Seals and ends the transaction: a killed process loses nothing of what came before.
    ///
    /// - Throws: after `.full` everything is as it was, and the next commit may succeed.
    mutating func commit() throws(StorageError) {
        if let failure { throw failure }
        guard isDirty else { return }
        // Before the block is in the log: what is there may be told to peers.
        try storage.makeRoom(bytes: (open?.size ?? 0) + membershipSizeEstimate)
        do throws(StorageError) {
            try commitAll()
        } catch {
            if error != .full { failure = error }
            throw error
        }
    }

    private var membershipSizeEstimate: Int { membershipChanged ? 512 * (logs.count + 8) : 0 }

    private mutating func commitAll() throws(StorageError) {
        try seal()
        try tree.save()
        for key in writers.keys(from: storedWriters) { try storage.addWriter(key) }
        storedWriters = writers.count
        for slot in appliedChanged.sorted(by: { $0.rawValue < $1.rawValue }) {
            try storage.setAppliedLog(
                AppliedLog(
                    blocks: applied[slot] ?? 0, codecState: codecs[slot]?.payload ?? []),
                of: slot)
        }
        appliedChanged = []
        if membershipChanged {
            try storage.setValue(membership.encoded, of: StoredValue.membership)
            membershipChanged = false
        }
        if settingsChanged {
            try storage.setValue(settings.encoded, of: StoredValue.settings)
            settingsChanged = false
        }
        if limitsChanged {
            try storage.setValue(encodedLimits, of: StoredValue.limits)
            limitsChanged = false
        }
        if checkpointsChanged {
            try storage.setValue(
                PublishedCheckpoint.encode(checkpoints), of: StoredValue.checkpoints)
            checkpointsChanged = false
        }
        try storage.setValue(Self.encode(refused), of: StoredValue.refused)
        try storage.setValue(Self.encode(acknowledged), of: StoredValue.acknowledged)
        try storage.commit()
        commits += 1
        let own = (slot: ownSlot, length: ownLog?.length ?? 0)
        if own != committed {
            committed = own
            ownCommits += 1
            ownCommitAt = environment.now()
        }
        sealedDeadline = nil
        dirtySince = nil
    }

    /// Turns the tree's changes into the kernel's.
    mutating func note(_ treeChanges: [TreeChange]) {
        for change in treeChanges {
            switch change {
            case .entry(let directory, let name, let before):
                let shown = before.map {
                    ViewChange.Shown(node: NodeID($0.node), kind: FileKind($0.kind))
                }
                changes.append(
                    .entry(directory: NodeID(directory), name: name, before: shown))
            case .attributes(let id): changes.append(.attributes(NodeID(id)))
            case .derived(let id): changes.append(.derived(NodeID(id)))
            case .content(let object): changes.append(.content(NodeID(object)))
            }
        }
    }
}

/// The names of the engine's small values in the storage.
enum StoredValue {
    static let foundingLog = "founding log"
    static let ownLog = "own log"
    static let membership = "membership"
    static let refused = "refused"
    static let acknowledged = "acknowledged"
    static let inviteSeed = "invite seed"
    static let collected = "collected"
    static let settings = "settings"
    static let forks = "forks"
    static let divergences = "divergences"
    static let checkpoints = "checkpoints"
    static let limits = "limits"
    static let starting = "starting"
    static let base = "base"
    static let starts = "starts"
    static let nextBase = "next base"
    static let compaction = "compaction"
    static let succession = "succession"
}

extension NodeID {
    init(_ operation: OperationID) { self.init(rawValue: operation.rawValue) }

    /// - Returns: nil for a number that no operation has.
    var operation: OperationID? { OperationID(rawValue: rawValue) }
}

extension Operation {
    /// About how many bytes it takes in a block.
    var sizeEstimate: Int {
        switch self {
        case .write(let write): 48 + write.content.count + 8 * write.parents.count
        case .place(let place): 24 + place.name.count
        case .setXattr(let set): 24 + set.name.count + set.value.count
        case .make(let make): 40 + make.target.count
        case .set(let set): 8 + set.key.count + set.value.count
        default: 64
        }
    }

    fileprivate var isWrite: Bool { if case .write = self { true } else { false } }

    var isMembership: Bool {
        switch self {
        case .admit, .retire, .revoke, .invite: true
        default: false
        }
    }
    /// Whose log it ends.
    var endedDevice: Bytes32? {
        switch self {
        case .retire(let retire): retire.device
        case .revoke(let revoke): revoke.device
        default: nil
        }
    }

    var endsLog: Bool { endedDevice != nil }
}
