package import Base

/// The view of a share: the tree, contents and attributes that a set of operations means.
///
/// Blocks come in causal order (any one that a block has seen comes before it), each operation of the
/// local device as it is authored. The result is a pure function of the set of blocks applied: arrival
/// order, batching, duplicates and restarts do not show.
///
/// Operations change rows in memory, and a flush then settles, each once, what follows from them: where
/// directories are (`FileTree+Moves.swift`), what is visible (`FileTree+Visibility.swift`), which names things
/// show under (`FileTree+Names.swift`), digest and totals (`FileTree+Sums.swift`).
///
/// Not thread-safe: it belongs to whoever holds the engine's lock, and all that happens between two commits of
/// the storage is one transaction. Call `save` before each commit; after a rollback, or when a call has
/// thrown, make a new tree.
package final class FileTree {
    /// What became of a block.
    package enum Outcome: Equatable, Sendable {
        /// In the view now. `refused` of its operations broke a rule and changed nothing.
        case applied(refused: Int)
        /// It was in the view before.
        case duplicate
        /// Something it has seen, or an earlier block of its log, is not in the view yet.
        case early
    }

    let storage: any TreeStorage
    let writers: WriterTable
    var deviceNames: [WriterSlot: String]
    var hasher: LeafHasher
    var state: TreeState
    /// As a difference of hybrid times.
    let settlesAfter: UInt64

    // Of the batch.
    private var isInBatch = false
    var changes: [TreeChange] = []
    /// What showed under the names among the changes.
    var shownBefore: [NameKey: TreeChange.Shown?] = [:]
    /// Directories among the changes that may be one with others.
    var contestedDirectories: Set<ObjectID> = []
    /// Directory moves that have not run yet: they wait for the end of the batch.
    var pendingMoves: [MoveRow] = []

    /// Names that show another thing since the batch began; the first `Limits.heldRowsMax`.
    var newHolders: [NameKey] = []
    /// Files that show again since the batch began.
    var revived: Set<ObjectID> = []

    // Of the flush.
    var heldRowsMax = Limits.heldRowsMax
    var held = HeldRows()
    var staleNames = StaleNames()
    /// The share's settings name other rules of merging now.
    var mergeRulesChanged = false
    /// Asked since they were last taken.
    var questions: [MergeQuestion] = []

    /// Where rows are left as they were, while a checkpoint is being written.
    var snapshot: TreeSnapshot?
    /// Told of every change, while rows that are settled are let go of.
    var sweepWatch: SweepWatch?

    // Since the digest was asked for.
    var unhashed = UnhashedRows()

    /// - Parameters:
    ///   - deviceNames: what conflict names call a writer; a writer without one is called by the first
    ///     digits of its log key.
    ///   - settlesAfter: in milliseconds; other than the rules have it for tests only, and then for all
    ///     devices of a share.
    package init(
        storage: any TreeStorage, writers: WriterTable, deviceNames: [WriterSlot: String] = [:],
        settlesAfter: UInt64 = Limits.settlesAfterMilliseconds
    ) throws(StorageError) {
        self.settlesAfter = HybridTime(milliseconds: settlesAfter).rawValue
        self.storage = storage
        self.writers = writers
        self.deviceNames = deviceNames
        hasher = LeafHasher(writers: writers)
        if let payload = try storage.treeState() {
            state = try TreeState(payload: payload)
        } else {
            state = TreeState()
            let root = ObjectRow(
                id: .root, kind: .directory, made: .root, created: .epoch, device: 0, target: [],
                mode: 0o755, uid: 0, gid: 0)
            try storage.put(root)
            state.digest += hasher.object(root)
            try save()
        }
    }

    // MARK: What is in the view

    /// The blocks applied; a block that is still open is not among them.
    package var clock: Clock { state.clock }
    /// The greatest time of any block applied.
    package var newestTime: HybridTime { state.newestTime }
    /// Equal on two devices exactly if their views are, whatever their slots.
    package var digest: Bytes32 {
        settleDigest()
        return state.digest.bytes
    }
    package var totals: TreeTotals { state.totals }

    /// Writes clock, digest and totals to the storage: call before each commit.
    package func save() throws(StorageError) {
        precondition(!isInBatch, "a batch is open")
        try flush()
        settleDigest()
        try storage.setTreeState(state.payload)
    }

    // MARK: Changing the view

    /// Begins a batch of blocks. In it, directories stay where they are until `finish` moves them, so
    /// that moves that arrive late are undone and redone once.
    package func begin() {
        precondition(!isInBatch, "a batch is open")
        isInBatch = true
    }

    /// Applies one block of a log, within a batch.
    package func apply(_ block: Block, from writer: WriterSlot, number: UInt64)
        throws(StorageError) -> Outcome
    {
        precondition(isInBatch, "blocks are applied between begin and finish")
        let next = state.clock[writer]
        guard number >= next else { return .duplicate }
        var seen = block.clock
        seen[writer] = number
        guard number == next, state.clock.covers(seen) else { return .early }

        var refused = 0
        for (index, operation) in block.operations.enumerated() {
            let id = OperationID(writer: writer, block: number, index: index)
            let context = OperationContext(id: id, time: block.time, clock: seen)
            guard let operation, try apply(operation, context) else {
                refused += 1
                continue
            }
        }
        count(number, of: writer, time: block.time)
        if held.count > heldRowsMax { try flush() }
        return .applied(refused: refused)
    }

    /// Ends a batch.
    ///
    /// - Returns: what changed since `begin`, each thing once.
    package func finish() throws(StorageError) -> [TreeChange] {
        precondition(isInBatch, "no batch is open")
        isInBatch = false
        try settleMoves()
        try flush()
        return try takeChanges()
    }

    /// Applies the next operation of the local device's open block; the view shows it at once, an object
    /// with its first entry.
    ///
    /// While a block is open, apply no other block: its clock would not tell the truth. `seal` ends it.
    /// - Parameters:
    ///   - id: the local writer, the number of its next block, and the index in it.
    ///   - time: of the open block, from `HybridClock`, later than `newestTime`.
    /// - Returns: nil if the operation breaks a rule or `time` is not later; nothing has changed then.
    package func author(_ operation: Operation, id: OperationID, time: HybridTime)
        throws(StorageError) -> [TreeChange]?
    {
        precondition(!isInBatch, "a batch is open")
        precondition(id.block == state.clock[id.writer], "\(id) is not in the next block")
        // Only after a block from the end of time: then nothing can be written any more.
        guard time > state.newestTime else { return nil }
        let context = OperationContext(id: id, time: time, clock: state.clock)
        for reference in operation.references where !context.sees(reference) {
            throw .corrupt(
                what: "the view names \(reference), which no log here has: run"
                    + " `holdfast check --rebuild`")
        }
        let isApplied = try apply(operation, context)
        // What has no name shows nowhere: its row is written once, with the entry that follows.
        if case .make = operation { return isApplied ? [] : nil }
        try settleMoves()
        try flush()
        let changes = try takeChanges()
        newHolders.removeAll(keepingCapacity: newHolders.count <= 64)
        return isApplied ? changes : nil
    }

    /// The names that show another entry than before the last batch, once.
    package func takeNewHolders() -> [NameKey] {
        defer { newHolders.removeAll() }
        return newHolders
    }

    /// The files that had no name before the last batch, or what was authored last, and have one again, once:
    /// whatever their versions need may have been given up meanwhile.
    package func takeRevived() -> [ObjectID] {
        guard !revived.isEmpty else { return [] }
        defer { revived = [] }
        return revived.sorted { $0.rawValue < $1.rawValue }
    }

    /// Counts the open block as applied.
    package func seal(_ writer: WriterSlot, number: UInt64, time: HybridTime) {
        precondition(number == state.clock[writer], "block \(number) is not the next one")
        count(number, of: writer, time: time)
    }

    /// Gives a writer another name, and the conflicts that carry it.
    package func setDeviceName(_ name: String, of writer: WriterSlot) throws(StorageError)
        -> [TreeChange]
    {
        precondition(!isInBatch, "a batch is open")
        guard deviceNames.updateValue(name, forKey: writer) != name else { return [] }
        try renameConflicts()
        try flush()
        return try takeChanges()
    }

    private func count(_ number: UInt64, of writer: WriterSlot, time: HybridTime) {
        state.clock[writer] = number + 1
        state.newestTime = max(state.newestTime, time)
    }

    /// Settles what follows from the changed rows, and writes them out.
    func flush() throws(StorageError) {
        try settleVisibility()
        try settleMerges()
        try settleNames()
        try settleSums()
        held.removeAll()
    }

    /// Ends an answer as `finish` ends a batch.
    func settleAnswer() throws(StorageError) -> [TreeChange] {
        precondition(!isInBatch, "a batch is open")
        try flush()
        return try takeChanges()
    }

    private func takeChanges() throws(StorageError) -> [TreeChange] {
        var all = changes.map { change in
            guard case .entry(let directory, let name, _) = change else { return change }
            let before = shownBefore[NameKey(directory: directory, name: name)] ?? nil
            return .entry(directory: directory, name: name, before: before)
        }
        changes.removeAll(keepingCapacity: changes.count <= 64)
        shownBefore.removeAll(keepingCapacity: shownBefore.count <= 64)
        if !contestedDirectories.isEmpty {
            let contested = contestedDirectories
            contestedDirectories.removeAll()
            for change in all { try spread(change, contested, into: &all) }
        }
        // Mostly a handful: comparing each with each costs less than hashing them.
        if all.count <= 16 {
            var result: [TreeChange] = []
            result.reserveCapacity(all.count)
            for change in all where !result.contains(change) { result.append(change) }
            return result
        }
        var known: Set<TreeChange> = []
        return all.filter { known.insert($0).inserted }
    }

    /// What changes of a directory changes of all that are one with it: someone may have come in by
    /// another before they were.
    private func spread(
        _ change: TreeChange, _ contested: Set<ObjectID>, into changes: inout [TreeChange]
    ) throws(StorageError) {
        switch change {
        case .entry(let directory, let name, let before) where contested.contains(directory):
            for member in try members(of: directory) {
                changes.append(.entry(directory: member.object, name: name, before: before))
            }
        case .attributes(let directory) where contested.contains(directory):
            for member in try members(of: directory) {
                changes.append(.attributes(member.object))
            }
        case .derived(let directory) where contested.contains(directory):
            for member in try members(of: directory) {
                changes.append(.derived(member.object))
            }
        case .entry, .attributes, .derived, .content: break
        }
    }

    // MARK: Rows

    func object(_ id: ObjectID) throws(StorageError) -> Held<ObjectRow>? {
        if let known = held.object(id) { return known }
        guard let row = try storage.object(id) else { return nil }
        let new = Held(stored: row)
        held.hold(new)
        return new
    }

    func entry(_ id: EntryID) throws(StorageError) -> HeldEntry? {
        if let known = held.entry(id) { return known }
        guard let row = try storage.entry(id) else { return nil }
        return hold(row)
    }

    /// The entry of a row that storage has just given.
    func hold(_ row: EntryRow) -> HeldEntry {
        if let known = held.entry(row.id) { return known }
        let new = HeldEntry(stored: row)
        held.hold(new)
        return new
    }

    /// All entries of an object, dead ones included.
    func heldEntries(of object: ObjectID) throws(StorageError) -> [HeldEntry] {
        var result = try storage.entries(of: object).map(hold)
        for id in held.newEntries(of: object) {
            guard let entry = held.entry(id), entry.stored == nil else { continue }
            result.append(entry)
        }
        return result
    }

    /// A row that another row refers to.
    func required<Row>(_ row: Row?, _ what: @autoclosure () -> String) throws(StorageError) -> Row {
        guard let row else { throw .corrupt(what: "\(what()) is missing; rebuild the view") }
        return row
    }
}

/// Which operation is being applied, and what its author had seen.
struct OperationContext {
    let stamp: Stamp
    /// The element of the author's own log is the number of the block.
    let clock: Clock

    init(id: OperationID, time: HybridTime, clock: Clock) {
        stamp = Stamp(time: time, operation: id)
        self.clock = clock
    }

    var id: OperationID { stamp.operation }

    /// Whether the author had seen the operation, earlier ones of the block included.
    func sees(_ other: OperationID) -> Bool {
        if other.sharesBlock(with: id) { return other.index < id.index }
        return clock.covers(other)
    }

    /// Whether something made then is a thing of the past for this operation: every honest author's
    /// clock runs ahead of all that it has seen.
    func isAfter(_ other: Stamp) -> Bool {
        other.time < stamp.time || other.operation.sharesBlock(with: id)
    }
}
