internal import Base
internal import FileTree

/// What the tree reads.
extension DiskStorage {
    func object(_ id: ObjectID) throws(StorageError) -> ObjectRow? { try rows.tree.object(id) }
    func objects(of writer: WriterSlot, after id: ObjectID?, limit: Int) throws(StorageError)
        -> [ObjectID]
    {
        try rows.tree.objects(of: writer, after: id, limit: limit)
    }
    func entry(_ id: EntryID) throws(StorageError) -> EntryRow? { try rows.tree.entry(id) }
    func entries(shownIn directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [EntryRow]
    {
        try rows.tree.entries(shownIn: directory, named: name)
    }
    func holders(in directory: ObjectID, after name: [UInt8]?, limit: Int) throws(StorageError)
        -> [EntryRow]
    {
        try rows.tree.holders(in: directory, after: name, limit: limit)
    }
    func entries(shownIn directory: ObjectID, after cursor: EntryCursor?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        try rows.tree.entries(shownIn: directory, after: cursor, limit: limit)
    }
    func entries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        try rows.tree.entries(of: object)
    }
    func version(_ id: VersionID) throws(StorageError) -> VersionRow? {
        try rows.tree.version(id)
    }
    func heads(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try rows.tree.heads(of: object)
    }
    func objectsOfHeads(after object: ObjectID?, limit: Int) throws(StorageError) -> [ObjectID] {
        try rows.tree.objectsOfHeads(after: object, limit: limit)
    }
    func versions(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try rows.tree.versions(of: object)
    }
    func xattr(_ name: [UInt8], of object: ObjectID) throws(StorageError) -> XattrRow? {
        try rows.tree.xattr(name, of: object)
    }
    func xattrs(of object: ObjectID) throws(StorageError) -> [XattrRow] {
        try rows.tree.xattrs(of: object)
    }
    /// In the reverse of the order that memory has within one time: storage promises none.
    func moves(from time: HybridTime) throws(StorageError) -> [MoveRow] {
        try rows.tree.moves(from: time).sorted {
            ($0.time, $1.id.rawValue) < ($1.time, $0.id.rawValue)
        }
    }
    func conflicts(in directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [ConflictRow]
    {
        try rows.tree.conflicts(in: directory, named: name)
    }
    func conflict(shownIn directory: ObjectID, as shownName: [UInt8]) throws(StorageError)
        -> ConflictRow?
    {
        try rows.tree.conflict(shownIn: directory, as: shownName)
    }
    func conflicts(shownIn directory: ObjectID, after shownName: [UInt8]?, limit: Int)
        throws(StorageError) -> [ConflictRow]
    {
        try rows.tree.conflicts(shownIn: directory, after: shownName, limit: limit)
    }
    func conflicts(in directory: ObjectID) throws(StorageError) -> [ConflictRow] {
        try rows.tree.conflicts(in: directory)
    }
    func conflicts(after row: ConflictRow?, limit: Int) throws(StorageError) -> [ConflictRow] {
        try rows.tree.conflicts(after: row, limit: limit)
    }
    func treeState() throws(StorageError) -> [UInt8]? { try rows.tree.treeState() }
}
