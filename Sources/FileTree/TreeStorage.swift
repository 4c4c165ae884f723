package import Base

/// The rows that a tree stands on. All calls belong to one thread at a time, and to a transaction
/// that the tree's owner begins and ends; a call sees all earlier ones.
///
/// `put` inserts or replaces by key. Names compare as bytes.
package protocol TreeStorage: AnyObject {
    func object(_ id: ObjectID) throws(StorageError) -> ObjectRow?
    func put(_ row: ObjectRow) throws(StorageError)
    /// The first `limit` objects that a writer made, by id, after one if given.
    func objects(of writer: WriterSlot, after id: ObjectID?, limit: Int) throws(StorageError)
        -> [ObjectID]

    func entry(_ id: EntryID) throws(StorageError) -> EntryRow?
    func put(_ row: EntryRow) throws(StorageError)
    /// The entries that this directory shows under one name, by id.
    func entries(shownIn directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [EntryRow]
    /// The first `limit` entries that this directory shows and that hold their name, by name,
    /// after a name if one is given.
    func holders(in directory: ObjectID, after name: [UInt8]?, limit: Int) throws(StorageError)
        -> [EntryRow]
    /// The first `limit` entries that this directory shows, by name and id, after one if given.
    func entries(shownIn directory: ObjectID, after cursor: EntryCursor?, limit: Int)
        throws(StorageError) -> [EntryRow]
    /// All entries of an object, dead ones included, by id.
    func entries(of object: ObjectID) throws(StorageError) -> [EntryRow]

    func version(_ id: VersionID) throws(StorageError) -> VersionRow?
    func put(_ row: VersionRow) throws(StorageError)
    /// The versions of an object that are heads, by id.
    func heads(of object: ObjectID) throws(StorageError) -> [VersionRow]
    /// The objects of all versions that are heads, by id, after one if given: an object with three heads
    /// comes three times. At most `limit`, which is at least 2.
    func objectsOfHeads(after object: ObjectID?, limit: Int) throws(StorageError) -> [ObjectID]
    /// All versions of an object, by id.
    func versions(of object: ObjectID) throws(StorageError) -> [VersionRow]

    func xattr(_ name: [UInt8], of object: ObjectID) throws(StorageError) -> XattrRow?
    func put(_ row: XattrRow) throws(StorageError)
    /// Removed ones included, by name.
    func xattrs(of object: ObjectID) throws(StorageError) -> [XattrRow]

    /// The moves at or after a time, by time; in any order within one time.
    func moves(from time: HybridTime) throws(StorageError) -> [MoveRow]
    func put(_ row: MoveRow) throws(StorageError)

    /// Forgets a row, which must be as it is stored. So do the next three.
    func remove(_ row: ObjectRow) throws(StorageError)
    func remove(_ row: EntryRow) throws(StorageError)
    func remove(_ row: VersionRow) throws(StorageError)
    func remove(_ row: XattrRow) throws(StorageError)
    /// Forgets the first `limit` moves up to and at a time.
    ///
    /// - Returns: how many there were.
    func removeMoves(upTo time: HybridTime, limit: Int) throws(StorageError) -> Int

    func put(_ row: ConflictRow) throws(StorageError)
    func remove(_ row: ConflictRow) throws(StorageError)
    /// Those of one name, by entry and version (none first).
    func conflicts(in directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [ConflictRow]
    func conflict(shownIn directory: ObjectID, as shownName: [UInt8]) throws(StorageError)
        -> ConflictRow?
    /// Those shown in a directory, by shown name, after one if given.
    func conflicts(shownIn directory: ObjectID, after shownName: [UInt8]?, limit: Int)
        throws(StorageError) -> [ConflictRow]
    /// Every conflict of one directory, by key.
    func conflicts(in directory: ObjectID) throws(StorageError) -> [ConflictRow]
    /// Conflicts everywhere, by key, after one if given.
    func conflicts(after row: ConflictRow?, limit: Int) throws(StorageError) -> [ConflictRow]

    /// A small value: the tree's clock, digest and totals.
    func treeState() throws(StorageError) -> [UInt8]?
    func setTreeState(_ bytes: [UInt8]) throws(StorageError)
}

/// A place between two entries of a directory.
package struct EntryCursor: Hashable, Sendable {
    package var name: [UInt8]
    package var entry: EntryID

    package init(name: [UInt8], entry: EntryID) {
        self.name = name
        self.entry = entry
    }
}
