internal import Base
internal import Chunks
internal import FileTree
internal import Hypercore
internal import Share

/// A share's rows on a device's disk. Every change and every commit is an operation at which the power
/// may go; what is read is in memory already.
final class DiskStorage: ShareStorage {
    private let disk: DeviceDisk
    let rows: DiskRows
    private var transaction: [DiskChange] = []
    let barrier: any DurabilityBarrier

    private final class Barrier: DurabilityBarrier {
        let disk: DeviceDisk
        init(_ disk: DeviceDisk) { self.disk = disk }

        func wait() throws(StorageError) {
            try disk.power.step()
            disk.syncedTransactions = disk.transactions.count
            try disk.power.step()
        }
    }

    init(_ disk: DeviceDisk) throws(StorageError) {
        self.disk = disk
        rows = try disk.rows()
        barrier = Barrier(disk)
    }

    private func change(_ change: DiskChange) throws(StorageError) {
        try disk.power.step()
        try rows.apply(change)
        transaction.append(change)
    }

    func makeRoom(bytes: Int) throws(StorageError) { try disk.power.requireRoom() }

    func releaseSpace() throws(StorageError) -> Bool { false }
    func commit() throws(StorageError) {
        try disk.power.step()
        try disk.power.requireRoom()
        guard !transaction.isEmpty else { return }
        disk.transactions.append(transaction)
        transaction = []
        try disk.power.step()
    }

    // MARK: The share's own

    func value(_ name: String) throws(StorageError) -> [UInt8]? { rows.values[name] }
    func setValue(_ value: [UInt8]?, of name: String) throws(StorageError) {
        try change(.value(value, name))
    }
    func writers() throws(StorageError) -> [Bytes32] { rows.writers }
    func addWriter(_ key: Bytes32) throws(StorageError) { try change(.writer(key)) }
    func setWriter(_ key: Bytes32, of slot: WriterSlot) throws(StorageError) {
        try change(.writerOf(key, slot))
    }
    func appliedLog(_ slot: WriterSlot) throws(StorageError) -> AppliedLog? { rows.applied[slot] }
    func setAppliedLog(_ applied: AppliedLog, of slot: WriterSlot) throws(StorageError) {
        try change(.applied(applied, slot))
    }
    func putStaged(_ staged: StagedFile) throws(StorageError) { try change(.staged(staged)) }
    func removeStaged(_ node: NodeID) throws(StorageError) { try change(.notStaged(node)) }
    func staged(_ node: NodeID) throws(StorageError) -> StagedFile? { rows.staged[node] }
    func stagedFiles() throws(StorageError) -> [StagedFile] {
        rows.staged.values.sorted { $0.node.rawValue < $1.node.rawValue }
    }
    func removeDamagedStaged() throws(StorageError) -> Int { 0 }
    func putWanted(_ chunk: WantedChunk) throws(StorageError) { try change(.wanted(chunk)) }
    func removeWanted(_ address: Bytes32) throws(StorageError) { try change(.notWanted(address)) }
    func wantedChunks() throws(StorageError) -> [WantedChunk] {
        rows.wanted.values.sorted { $0.reference.address < $1.reference.address }
    }
    func forEachVersion(_ body: (VersionRow) throws(StorageError) -> Void) throws(StorageError) {
        for id in rows.versions.sorted(by: { $0.rawValue < $1.rawValue }) {
            if let row = try rows.tree.version(id) { try body(row) }
        }
    }
    func removeView() throws(StorageError) { try change(.noView) }

    // MARK: Logs

    func logs() throws(StorageError) -> [WriterSlot] { try rows.logs.logs() }
    func header(_ slot: WriterSlot) throws(StorageError) -> LogHeader? {
        try rows.logs.header(slot)
    }
    func node(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> TreeNode? {
        try rows.logs.node(slot, at: index)
    }
    func block(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> [UInt8]? {
        try rows.logs.block(slot, at: index)
    }
    func storedRuns(_ slot: WriterSlot, from start: UInt64) throws(StorageError)
        -> [Range<UInt64>]
    {
        try rows.logs.storedRuns(slot, from: start)
    }
    func write(_ change: LogChange, to slot: WriterSlot) throws(StorageError) {
        try self.change(.log(change, slot))
    }

    // MARK: Changes of the tree

    func put(_ row: ObjectRow) throws(StorageError) { try change(.object(row)) }
    func put(_ row: EntryRow) throws(StorageError) { try change(.entry(row)) }
    func put(_ row: VersionRow) throws(StorageError) { try change(.version(row)) }
    func put(_ row: XattrRow) throws(StorageError) { try change(.xattr(row)) }
    func put(_ row: MoveRow) throws(StorageError) { try change(.move(row)) }
    func remove(_ row: ObjectRow) throws(StorageError) { try change(.noObject(row)) }
    func remove(_ row: EntryRow) throws(StorageError) { try change(.noEntry(row)) }
    func remove(_ row: VersionRow) throws(StorageError) { try change(.noVersion(row)) }
    func remove(_ row: XattrRow) throws(StorageError) { try change(.noXattr(row)) }
    func removeMoves(upTo time: HybridTime, limit: Int) throws(StorageError) -> Int {
        let count = try rows.tree.moves(from: .zero).prefix(limit).prefix { $0.time <= time }.count
        if count > 0 { try change(.noMoves(upTo: time, limit: limit)) }
        return count
    }
    func put(_ row: ConflictRow) throws(StorageError) { try change(.conflict(row)) }
    func remove(_ row: ConflictRow) throws(StorageError) { try change(.noConflict(row)) }
    func setTreeState(_ bytes: [UInt8]) throws(StorageError) { try change(.treeState(bytes)) }
}
