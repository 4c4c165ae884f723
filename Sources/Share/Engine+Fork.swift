import Base
import Chunks
import Crypto
import FileTree
import Hypercore

/// Two histories of one log. See <doc:Forks>.
extension Engine {
    /// A peer has proved another history of a log.
    mutating func noteConflict(
        _ slot: WriterSlot, common: UInt64, proof: [UInt8], from connection: ConnectionID
    ) throws(StorageError) {
        if slot == pendingFork?.branch { return giveUpBranchSource() }
        let key = writers.key(of: slot)
        let isOwn = slot == ownSlot
        let isKnown = forks.contains { $0.log == key && ($0.state == .fetching || !isOwn) }
        guard !isKnown else { return }
        if forks.count >= LogFork.Limits.count {
            // The oldest of those that nothing waits for makes room.
            guard let oldest = forks.firstIndex(where: { $0.state != .fetching }) else { return }
            forks.remove(at: oldest)
        }
        var fork = LogFork(
            log: key, common: common, found: environment.wallTime().milliseconds,
            state: isOwn ? .fetching : .noted, branch: .none,
            evidence: proof.count <= LogFork.Limits.evidenceSize ? proof : [])
        if isOwn {
            // What was done here is part of this history, to the last operation.
            try commit()
            try beginResumptionAgain()
            // A slot of its own until the histories change places.
            let name = Blake2b.hash256(
                key: keys.shareID,
                Array("holdfast branch".utf8) + key.bytes + environment.randomBytes(32))
            guard let branch = writers.insert(name) else {
                throw .corrupt(what: "the table of logs is full")
            }
            fork.branch = branch
            try openBranch(fork)
            branchSource = BranchSource(connection: connection, since: environment.now())
            logsToReopen.append(slot)
            notices.append(
                "this device's log has another history after block \(common): the state of this device"
                    + " was restored or cloned; what only this copy has goes to a new log")
        } else {
            let device = membership.member(log: key).map {
                String(decoding: $0.name, as: UTF8.self)
            }
            notices.append(
                "the log of \(device ?? key.hex) has two histories after block \(common): its state was"
                    + " restored or cloned; nothing of the other history is taken")
        }
        forks.append(fork)
        try storeForks()
    }

    func storeForks() throws(StorageError) {
        try storage.setValue(LogFork.encode(forks), of: StoredValue.forks)
    }

    /// The own log's other history, while it is being fetched.
    var pendingFork: LogFork? { forks.first { $0.state == .fetching } }

    /// Whether a block of another log may refer to blocks of the own one that are others here: it waits until
    /// the histories have changed places.
    func hasSeenOtherHistory(_ block: Block, of slot: WriterSlot, number: UInt64) -> Bool {
        guard !forks.isEmpty, slot != ownSlot, let pendingFork else { return false }
        // What this history has seen it had before there were two.
        return block.clock[ownSlot] > pendingFork.common && number >= seenByOwn[slot]
    }

    /// What the own log's last block has seen of the others: the view may be about to be made anew from the first
    /// blocks on, and wants those again.
    func clockOfOwn() throws(StorageError) -> Clock {
        var codec = starts[ownSlot] ?? BlockCodec(writer: ownSlot)
        while let bytes = try ownLog?.block(at: codec.number),
            (try? codec.decode(bytes.span, writers: writers)) != nil
        {}
        return codec.clock
    }

    /// For people.
    var forkReports: [ShareStatus.Fork] {
        forks.map { fork in
            let member = membership.member(log: fork.log)
            return ShareStatus.Fork(
                device: member.map { String(decoding: $0.name, as: UTF8.self) } ?? "",
                log: fork.log.hex, common: fork.common, found: fork.found,
                isOwn: fork.state != .noted,
                isSettled: fork.state == .settled
                    || fork.state == .noted && membership.hasSuccessor(fork.log),
                isEnded: fork.state == .noted && membership.end(of: fork.log) != nil,
                hindrance: fork.state == .fetching ? forkHindrance : nil)
        }
    }

    /// Opens the log into which the other history of the own log is fetched.
    mutating func openBranch(_ fork: LogFork) throws(StorageError) {
        logs[fork.branch] = try Log(
            storage: storage, slot: fork.branch, key: fork.log,
            cipher: BlockCipher(encryptionKey: keys.logEncryptionKey, logKey: fork.log))
        // What came before the base is the same in both, and no longer here.
        logs[fork.branch]?.fetchStart = resumption?.start(of: ownSlot) ?? ownStart
        // It must not be applied before the two have changed places.
        stopped.insert(fork.branch)
        markDirty()
    }

    /// How many first blocks of the own log are not here any more, because members have them.
    var ownStart: UInt64 {
        guard let start = starts[ownSlot]?.number, let log = ownLog else { return 0 }
        return log.contiguousLength < start ? start : 0
    }

    /// The codec that reads the own log's blocks from the first on that are here.
    private var ownCodec: BlockCodec {
        ownStart > 0 ? starts[ownSlot] ?? BlockCodec(writer: ownSlot) : BlockCodec(writer: ownSlot)
    }

    /// Gives the own log its other history once that is here, and goes on under a new one.
    mutating func settleFork() throws(StorageError) {
        guard forkHindrance == nil, resumption == nil,
            let index = forks.firstIndex(where: { $0.state == .fetching })
        else { return }
        let fork = forks[index]
        guard fork.log == writers.key(of: ownSlot) else {
            return hinderFork(
                "the device went on under another log before the other history was here: connect the"
                    + " device that was cloned; or: \(Self.howToBeginAnew)")
        }
        guard let branch = logs[fork.branch], branch.length > 0, branch.isComplete else { return }
        try commit()
        guard branchSource?.isOwnHistory != true, let own = ownLog,
            let common = try own.commonLength(with: branch)
        else { return }
        guard common < min(own.length, branch.length) else {
            if try own.follow(branch) { return try takeBack(index) }
            // What this peer has is what is here: another one has the other history.
            branchSource?.isOwnHistory = true
            return
        }
        let oldSlot = ownSlot
        guard let exclusive = try blocks(of: own, from: common) else { return }
        // What this device began from may be of the history that goes.
        let isBaseless = starts[oldSlot].map { common < $0.number } ?? false
        guard !isBaseless || mayLeaveBase else {
            return hinderFork(
                "they differ in what this device began from: \(Self.howToBeginAnew)")
        }
        try beginSuccessor()
        // It may hold what is about to be written again.
        nextBase = nil
        try storeNextBase()
        let moved = try restate(exclusive, from: oldSlot, common: common)
        membership.follow { order in
            guard order.writer == fork.log, let old = order.operation(in: oldSlot),
                let new = moved[old]
            else { return order }
            return OperationOrder(
                time: order.time, writer: writers.key(of: new.writer), block: new.block,
                index: UInt64(new.index))
        }
        membershipChanged = true

        try exchangeHistories(index, of: oldSlot, common: common)
        if isBaseless { try leaveBase() }
        let retired = RetiredSlot(slot: oldSlot, current: fork.branch, common: common, moved: moved)
        retiredSlots.append(retired)
        try moveStaged()
        notices.append(
            "\(exclusive.count) blocks that only this copy had were written again, as \(deviceName)"
        )
        try rebuildView(telling: true)
        try introduce()
    }

    /// Whether all logs are here from their first blocks on: as with a device that was alone.
    private var mayLeaveBase: Bool {
        starts.allSatisfy { slot, start in
            logs[slot].map { $0.contiguousLength >= start.number } ?? false
        }
    }

    private mutating func leaveBase() throws(StorageError) {
        endSweep()
        base = nil
        starts = [:]
        compaction = nil
        for value in [StoredValue.base, StoredValue.starts, StoredValue.compaction] {
            try storage.setValue(nil, of: value)
        }
        for log in logs.values { log.fetchStart = 0 }
    }

    /// It is one history after all, and this copy only older: somebody could not show how it goes on.
    private mutating func takeBack(_ index: Int) throws(StorageError) {
        let branch = forks[index].branch
        forks.remove(at: index)
        try storeForks()
        try logs[branch]?.erase()
        logs[branch] = nil
        stopped.remove(branch)
        branchSource = nil
        triedBranchSources = []
        logsToReopen += [branch, ownSlot]
        notices.append("this device's log has one history: what comes after it is fetched")
        markDirty()
    }

    /// What was the own log takes on its other history.
    mutating func exchangeHistories(_ index: Int, of oldSlot: WriterSlot, common: UInt64)
        throws(StorageError)
    {
        if let own = logs[oldSlot], let branch = logs[forks[index].branch], branch.fetchStart > 0 {
            try branch.takeOver(from: own, blocks: provingBlocks()[oldSlot] ?? [])
        }
        try logs[oldSlot]?.erase()
        logs[oldSlot] = nil
        try swapWriters(oldSlot, forks[index].branch)
        forks[index].common = common
        forks[index].state = .settled
        try storeForks()
        // They are in blocks that are others now.
        let key = forks[index].log
        checkpoints.removeAll { $0.log == key && $0.block >= common }
        (checkpointsChanged, offered) = (true, nil)
        // Under this clock the others meant the other history's blocks.
        try forgetDivergences()
        branchSource = nil
        triedBranchSources = []
        logsToReopen.append(oldSlot)
    }

    func swapWriters(_ first: WriterSlot, _ second: WriterSlot) throws(StorageError) {
        writers.swap(first, second)
        for slot in [first, second] where Int(slot.rawValue) < storedWriters {
            try storage.setWriter(writers.key(of: slot), of: slot)
        }
    }

    /// The blocks of the own log that the other history lacks.
    ///
    /// - Returns: nil if this version cannot read all that is in them. Leaving that out would lose it: both
    ///   histories stay as they are.
    mutating func blocks(of log: Log, from common: UInt64) throws(StorageError) -> [Block]? {
        var codec = ownCodec
        var blocks: [Block] = []
        guard codec.number <= common else {
            hinderFork(
                "they differ before block \(codec.number), from which on this device has them: "
                    + Self.howToBeginAnew)
            return nil
        }
        for number in codec.number..<max(log.length, codec.number) {
            guard let bytes = try log.block(at: number) else {
                hinderFork(
                    "block \(number) of this device's log is missing: run `holdfast check`; or: "
                        + Self.howToBeginAnew)
                return nil
            }
            let block = try? codec.decode(bytes.span, writers: writers)
            guard let block, number < common || !block.operations.contains(nil) else {
                hinderFork(
                    "block \(number) of this device's log was written by a newer version of Holdfast:"
                        + " start that version again; until then what is written here stays here")
                return nil
            }
            if number >= common { blocks.append(block) }
        }
        return blocks
    }

    /// Until the next start the two histories stay apart: nothing is tried again that cannot succeed.
    private mutating func hinderFork(_ reason: String) {
        forkHindrance = reason
        notices.append(
            "the two histories of this device's log cannot be brought together: \(reason)")
    }

    /// Writes blocks of the own log's old history to the new log: with the time they had, and having seen
    /// what they had. What refers to none of the tree, and so never meant anything, is left out, as are
    /// digests of views that nobody will have.
    ///
    /// - Returns: what became of each operation.
    private mutating func restate(_ blocks: [Block], from old: WriterSlot, common: UInt64)
        throws(StorageError) -> [OperationID: OperationID]
    {
        guard let log = ownLog else { return [:] }
        var codec = BlockCodec(writer: ownSlot)
        var moved: [OperationID: OperationID] = [:]
        var encoded: [[UInt8]] = []
        for (offset, block) in blocks.enumerated() {
            let number = UInt64(encoded.count)
            var operations: [Operation] = []
            for (index, operation) in block.operations.enumerated() {
                guard let operation else { continue }
                if case .checkpoint = operation { continue }
                let restated = operation.replacingReferences { moved[$0] ?? $0 }
                let isDangling = restated.references.contains {
                    $0.writer == old && $0.block >= common
                }
                guard !isDangling else { continue }
                let id = OperationID(writer: old, block: common + UInt64(offset), index: index)
                moved[id] = OperationID(writer: ownSlot, block: number, index: operations.count)
                operations.append(restated)
            }
            guard !operations.isEmpty else { continue }
            var clock = block.clock
            clock[old] = common
            clock[ownSlot] = number
            encoded.append(
                try codec.encode(
                    Block(time: block.time, clock: clock, operations: operations), writers: writers)
            )
        }
        try log.append(encoded)
        return moved
    }

    /// Writes down what the files are now that programs are writing: after a start nobody would know.
    func moveStaged() throws(StorageError) {
        for staged in try storage.stagedFiles() {
            let moved = current(staged)
            guard moved != staged else { continue }
            try storage.removeStaged(staged.node)
            try storage.putStaged(moved)
        }
    }

    // MARK: Identities that changed

    /// What an identity that the kernel or an open file still holds is now.
    func current(_ id: OperationID) -> OperationID {
        let current = retiredSlots.reduce(id) { $1.current($0) }
        return standIn(for: current) ?? current
    }

    /// What stands for a thing that is gone. Nothing does once others have brought it back to life.
    private func standIn(for id: OperationID) -> OperationID? {
        guard !displaced.isEmpty, let new = displaced[id] else { return nil }
        do throws(StorageError) {
            let object = try storage.version(id)?.object ?? id
            return try tree.objectRow(object).map { $0.links > 0 } ?? false ? nil : new
        } catch {
            return new
        }
    }

    func current(_ node: NodeID) -> NodeID { node.operation.map { NodeID(current($0)) } ?? node }

    func current(_ staged: StagedFile) -> StagedFile {
        var current = retiredSlots.reduce(staged) { $1.moved($0) }
        if let id = current.node.operation, let file = standIn(for: id) {
            current.node = NodeID(file)
            current.parents = current.parents.compactMap { parent in
                OperationID(rawValue: parent).flatMap(standIn)?.rawValue
            }
        }
        return current
    }

    /// The changes under the identities that the kernel may still have, too.
    func alsoFormer(_ changes: [ViewChange]) -> [ViewChange] {
        guard !retiredSlots.isEmpty else { return changes }
        var all = changes
        for retired in retiredSlots {
            for change in changes {
                switch change {
                case .entry(let directory, let name, let before):
                    if let former = retired.former(directory) {
                        all.append(.entry(directory: former, name: name, before: before))
                    }
                case .attributes(let node):
                    if let former = retired.former(node) { all.append(.attributes(former)) }
                case .derived(let node):
                    if let former = retired.former(node) { all.append(.derived(former)) }
                case .content(let node):
                    if let former = retired.former(node) { all.append(.content(former)) }
                }
            }
        }
        return all
    }
}

/// A slot whose log changed: the identities under it, for as long as this process runs.
struct RetiredSlot: Sendable {
    let slot: WriterSlot
    /// The slot that the log has now.
    let current: WriterSlot
    /// Blocks that are the same under both.
    let common: UInt64
    private let moved: [OperationID: OperationID]
    private let formers: [OperationID: OperationID]

    init(
        slot: WriterSlot, current: WriterSlot, common: UInt64, moved: [OperationID: OperationID]
    ) {
        self.slot = slot
        self.current = current
        self.common = common
        self.moved = moved
        formers = Dictionary(moved.map { ($0.value, $0.key) }) { first, _ in first }
    }

    func current(_ id: OperationID) -> OperationID {
        guard id.writer == slot else { return id }
        if let new = moved[id] { return new }
        return OperationID(writer: current, block: id.block, index: id.index)
    }

    func former(_ node: NodeID) -> NodeID? {
        guard let id = node.operation else { return nil }
        if let former = formers[id] { return NodeID(former) }
        guard id.writer == current, id.block < common else { return nil }
        return NodeID(OperationID(writer: slot, block: id.block, index: id.index))
    }

    func moved(_ staged: StagedFile) -> StagedFile {
        var moved = staged
        moved.node = staged.node.operation.map { NodeID(current($0)) } ?? staged.node
        moved.parents = staged.parents.map { parent in
            OperationID(rawValue: parent).map { current($0).rawValue } ?? parent
        }
        return moved
    }
}
