import Base
import FileTree
import Testing

/// Rows in memory that have been through their payloads, as rows in a database have.
final class CheckedTreeStorage: TreeStorage {
    let rows = MemoryTreeStorage()
    /// How often an object or an entry was asked for.
    private(set) var looks = 0

    func object(_ id: ObjectID) throws(StorageError) -> ObjectRow? {
        looks += 1
        return try rows.object(id)
    }
    func put(_ row: ObjectRow) throws(StorageError) {
        let read = try ObjectRow(id: row.id, payload: row.payload)
        #expect(read == row)
        try rows.put(read)
    }

    func objects(of writer: WriterSlot, after id: ObjectID?, limit: Int) throws(StorageError)
        -> [ObjectID]
    {
        try rows.objects(of: writer, after: id, limit: min(limit, 3))
    }

    func entry(_ id: EntryID) throws(StorageError) -> EntryRow? {
        looks += 1
        return try rows.entry(id)
    }
    func put(_ row: EntryRow) throws(StorageError) {
        let read = try EntryRow(
            id: row.id, object: row.object, shownParent: row.shownParent,
            name: row.placement.name, holdsName: row.holdsName, payload: row.payload)
        #expect(read == row)
        try rows.put(read)
    }
    func entries(shownIn directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [EntryRow]
    {
        try rows.entries(shownIn: directory, named: name)
    }
    func holders(in directory: ObjectID, after name: [UInt8]?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        try rows.holders(in: directory, after: name, limit: limit)
    }
    func entries(shownIn directory: ObjectID, after cursor: EntryCursor?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        try rows.entries(shownIn: directory, after: cursor, limit: min(limit, 2))
    }
    func entries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        try rows.entries(of: object)
    }

    func version(_ id: VersionID) throws(StorageError) -> VersionRow? { try rows.version(id) }
    func put(_ row: VersionRow) throws(StorageError) {
        let read = try VersionRow(
            id: row.id, object: row.object, isHead: row.isHead, payload: row.payload)
        #expect(read == row)
        try rows.put(read)
    }
    func heads(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try rows.heads(of: object)
    }
    func objectsOfHeads(after object: ObjectID?, limit: Int) throws(StorageError) -> [ObjectID] {
        try rows.objectsOfHeads(after: object, limit: limit)
    }
    func versions(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try rows.versions(of: object)
    }

    func xattr(_ name: [UInt8], of object: ObjectID) throws(StorageError) -> XattrRow? {
        try rows.xattr(name, of: object)
    }
    func put(_ row: XattrRow) throws(StorageError) {
        let read = try XattrRow(object: row.object, name: row.name, payload: row.payload)
        #expect(read == row)
        try rows.put(read)
    }
    func xattrs(of object: ObjectID) throws(StorageError) -> [XattrRow] {
        try rows.xattrs(of: object)
    }

    func moves(from time: HybridTime) throws(StorageError) -> [MoveRow] {
        // Storage promises no order within one time.
        try rows.moves(from: time).sorted {
            ($0.time, $1.id.rawValue) < ($1.time, $0.id.rawValue)
        }
    }
    func put(_ row: MoveRow) throws(StorageError) {
        let read = try MoveRow(id: row.id, time: row.time, payload: row.payload)
        #expect(read == row)
        try rows.put(read)
    }

    func remove(_ row: ObjectRow) throws(StorageError) {
        let stored = try rows.object(row.id)
        #expect(stored == row)
        try rows.remove(row)
    }
    func remove(_ row: EntryRow) throws(StorageError) {
        let stored = try rows.entry(row.id)
        #expect(stored == row)
        try rows.remove(row)
    }
    func remove(_ row: VersionRow) throws(StorageError) {
        let stored = try rows.version(row.id)
        #expect(stored == row)
        try rows.remove(row)
    }
    func remove(_ row: XattrRow) throws(StorageError) { try rows.remove(row) }
    func removeMoves(upTo time: HybridTime, limit: Int) throws(StorageError) -> Int {
        try rows.removeMoves(upTo: time, limit: limit)
    }
    func put(_ row: ConflictRow) throws(StorageError) { try rows.put(row) }
    func remove(_ row: ConflictRow) throws(StorageError) { try rows.remove(row) }
    func conflicts(in directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [ConflictRow]
    {
        try rows.conflicts(in: directory, named: name)
    }
    func conflict(shownIn directory: ObjectID, as shownName: [UInt8]) throws(StorageError)
        -> ConflictRow?
    {
        try rows.conflict(shownIn: directory, as: shownName)
    }
    func conflicts(shownIn directory: ObjectID, after shownName: [UInt8]?, limit: Int)
        throws(StorageError) -> [ConflictRow]
    {
        try rows.conflicts(shownIn: directory, after: shownName, limit: limit)
    }
    func conflicts(in directory: ObjectID) throws(StorageError) -> [ConflictRow] {
        try rows.conflicts(in: directory)
    }
    func conflicts(after row: ConflictRow?, limit: Int) throws(StorageError) -> [ConflictRow] {
        try rows.conflicts(after: row, limit: limit)
    }

    func treeState() throws(StorageError) -> [UInt8]? { try rows.treeState() }
    func setTreeState(_ bytes: [UInt8]) throws(StorageError) { try rows.setTreeState(bytes) }
}
