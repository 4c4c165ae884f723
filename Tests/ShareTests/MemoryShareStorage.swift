import Base
import Chunks
import FileTree
import Hypercore
import Synchronization

@testable import Share

/// A share's storage in memory. Commits are counted, crashes are not simulated.
final class MemoryShareStorage: ShareStorage {
    private var logRows = MemoryLogStorage()
    private(set) var tree = MemoryTreeStorage()
    private var values: [String: [UInt8]] = [:]
    private var writerKeys: [Bytes32] = []
    private var applied: [WriterSlot: AppliedLog] = [:]
    private var staged: [NodeID: StagedFile] = [:]
    private var wanted: [Bytes32: WantedChunk] = [:]
    private var versionIDs: [VersionID] = []
    private(set) var commits = 0
    /// While set, commits find no room.
    var isFull = false
    /// While set, there is no room for what is wanted.
    var refusesWanted = false
    /// How many looks at versions go well before one fails, once; nil: all do.
    var readsToFailure: Int?
    private(set) var readFailures = 0
    let disk = Disk()
    var barrier: any DurabilityBarrier { disk }

    /// Syncs, or fails to; counts.
    final class Disk: DurabilityBarrier {
        let failure = Mutex<StorageError?>(nil)
        private let waits = Atomic<Int>(0)
        var waitCount: Int { waits.load(ordering: .relaxed) }

        func wait() throws(StorageError) {
            waits.wrappingAdd(1, ordering: .relaxed)
            if let failure = failure.withLock({ $0 }) { throw failure }
        }
    }

    init() {}

    /// A storage of its own with the same rows.
    func copy() -> MemoryShareStorage {
        let copy = MemoryShareStorage()
        copy.logRows = logRows.copy()
        copy.tree = tree.copy()
        copy.values = values
        copy.writerKeys = writerKeys
        copy.applied = applied
        copy.staged = staged
        copy.wanted = wanted
        copy.versionIDs = versionIDs
        return copy
    }

    func commit() throws(StorageError) {
        if isFull { throw .full }
        commits += 1
    }

    private func read() throws(StorageError) {
        guard let left = readsToFailure else { return }
        readsToFailure = left > 0 ? left - 1 : nil
        guard left == 0 else { return }
        readFailures += 1
        throw .full
    }

    func releaseSpace() throws(StorageError) -> Bool { false }
    func makeRoom(bytes: Int) throws(StorageError) { if isFull { throw .full } }

    func removeDamagedStaged() throws(StorageError) -> Int { 0 }

    func value(_ name: String) throws(StorageError) -> [UInt8]? { values[name] }
    func setValue(_ value: [UInt8]?, of name: String) throws(StorageError) {
        values[name] = value
    }
    func writers() throws(StorageError) -> [Bytes32] { writerKeys }
    func addWriter(_ key: Bytes32) throws(StorageError) { writerKeys.append(key) }
    func setWriter(_ key: Bytes32, of slot: WriterSlot) throws(StorageError) {
        writerKeys[Int(slot.rawValue) - 1] = key
    }
    func appliedLog(_ slot: WriterSlot) throws(StorageError) -> AppliedLog? { applied[slot] }
    func setAppliedLog(_ log: AppliedLog, of slot: WriterSlot) throws(StorageError) {
        applied[slot] = log
    }
    func putStaged(_ file: StagedFile) throws(StorageError) { staged[file.node] = file }
    func removeStaged(_ node: NodeID) throws(StorageError) { staged[node] = nil }
    func staged(_ node: NodeID) throws(StorageError) -> StagedFile? { staged[node] }
    func stagedFiles() throws(StorageError) -> [StagedFile] {
        staged.values.sorted { $0.node.rawValue < $1.node.rawValue }
    }
    func putWanted(_ chunk: WantedChunk) throws(StorageError) {
        if refusesWanted { throw .full }
        wanted[chunk.reference.address] = chunk
    }
    func removeWanted(_ address: Bytes32) throws(StorageError) { wanted[address] = nil }
    func wantedChunks() throws(StorageError) -> [WantedChunk] {
        wanted.values.sorted { $0.reference.address < $1.reference.address }
    }
    func forEachVersion(_ body: (VersionRow) throws(StorageError) -> Void) throws(StorageError) {
        for id in versionIDs.sorted(by: { $0.rawValue < $1.rawValue }) {
            if let row = try tree.version(id) { try body(row) }
        }
    }
    func removeView() throws(StorageError) {
        tree = MemoryTreeStorage()
        applied = [:]
        wanted = [:]
        versionIDs = []
    }

    // MARK: Logs

    func logs() throws(StorageError) -> [WriterSlot] { try logRows.logs() }
    func header(_ slot: WriterSlot) throws(StorageError) -> LogHeader? {
        try logRows.header(slot)
    }
    func node(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> TreeNode? {
        try logRows.node(slot, at: index)
    }
    func block(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> [UInt8]? {
        try logRows.block(slot, at: index)
    }
    func storedRuns(_ slot: WriterSlot, from start: UInt64) throws(StorageError)
        -> [Range<UInt64>]
    {
        try logRows.storedRuns(slot, from: start)
    }
    func write(_ change: LogChange, to slot: WriterSlot) throws(StorageError) {
        try logRows.write(change, to: slot)
    }

    // MARK: Tree

    func object(_ id: ObjectID) throws(StorageError) -> ObjectRow? { try tree.object(id) }
    func put(_ row: ObjectRow) throws(StorageError) { try tree.put(row) }
    func objects(of writer: WriterSlot, after id: ObjectID?, limit: Int) throws(StorageError)
        -> [ObjectID]
    {
        try tree.objects(of: writer, after: id, limit: limit)
    }
    func entry(_ id: EntryID) throws(StorageError) -> EntryRow? { try tree.entry(id) }
    func put(_ row: EntryRow) throws(StorageError) { try tree.put(row) }
    func entries(shownIn directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [EntryRow]
    {
        try tree.entries(shownIn: directory, named: name)
    }
    func holders(in directory: ObjectID, after name: [UInt8]?, limit: Int) throws(StorageError)
        -> [EntryRow]
    {
        try tree.holders(in: directory, after: name, limit: limit)
    }
    func entries(shownIn directory: ObjectID, after cursor: EntryCursor?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        try tree.entries(shownIn: directory, after: cursor, limit: limit)
    }
    func entries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        try tree.entries(of: object)
    }
    func version(_ id: VersionID) throws(StorageError) -> VersionRow? {
        try read()
        return try tree.version(id)
    }
    func put(_ row: VersionRow) throws(StorageError) {
        if try tree.version(row.id) == nil { versionIDs.append(row.id) }
        try tree.put(row)
    }
    func heads(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try read()
        return try tree.heads(of: object)
    }
    func objectsOfHeads(after object: ObjectID?, limit: Int) throws(StorageError) -> [ObjectID] {
        try read()
        return try tree.objectsOfHeads(after: object, limit: limit)
    }
    func versions(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try tree.versions(of: object)
    }
    func xattr(_ name: [UInt8], of object: ObjectID) throws(StorageError) -> XattrRow? {
        try tree.xattr(name, of: object)
    }
    func put(_ row: XattrRow) throws(StorageError) { try tree.put(row) }
    func xattrs(of object: ObjectID) throws(StorageError) -> [XattrRow] {
        try tree.xattrs(of: object)
    }
    func moves(from time: HybridTime) throws(StorageError) -> [MoveRow] {
        try tree.moves(from: time)
    }
    func put(_ row: MoveRow) throws(StorageError) { try tree.put(row) }
    func remove(_ row: ObjectRow) throws(StorageError) { try tree.remove(row) }
    func remove(_ row: EntryRow) throws(StorageError) { try tree.remove(row) }
    func remove(_ row: VersionRow) throws(StorageError) {
        versionIDs.removeAll { $0 == row.id }
        try tree.remove(row)
    }
    func remove(_ row: XattrRow) throws(StorageError) { try tree.remove(row) }
    func removeMoves(upTo time: HybridTime, limit: Int) throws(StorageError) -> Int {
        try tree.removeMoves(upTo: time, limit: limit)
    }
    func put(_ row: ConflictRow) throws(StorageError) { try tree.put(row) }
    func remove(_ row: ConflictRow) throws(StorageError) { try tree.remove(row) }
    func conflicts(in directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [ConflictRow]
    {
        try tree.conflicts(in: directory, named: name)
    }
    func conflict(shownIn directory: ObjectID, as shownName: [UInt8]) throws(StorageError)
        -> ConflictRow?
    {
        try tree.conflict(shownIn: directory, as: shownName)
    }
    func conflicts(shownIn directory: ObjectID, after shownName: [UInt8]?, limit: Int)
        throws(StorageError) -> [ConflictRow]
    {
        try tree.conflicts(shownIn: directory, after: shownName, limit: limit)
    }
    func conflicts(in directory: ObjectID) throws(StorageError) -> [ConflictRow] {
        try tree.conflicts(in: directory)
    }
    func conflicts(after row: ConflictRow?, limit: Int) throws(StorageError) -> [ConflictRow] {
        try tree.conflicts(after: row, limit: limit)
    }
    func treeState() throws(StorageError) -> [UInt8]? { try tree.treeState() }
    func setTreeState(_ bytes: [UInt8]) throws(StorageError) { try tree.setTreeState(bytes) }
}
