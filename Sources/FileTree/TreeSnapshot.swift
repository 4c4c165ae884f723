import Base

/// The rows of a view as they were at one moment, while the view goes on changing.
///
/// Of every row that changes afterwards the tree leaves the former state here; all others are read where they
/// are. What came later has identities beyond the clock.
final class TreeSnapshot {
    private struct XattrKey: Hashable {
        let object: ObjectID
        let name: [UInt8]
    }

    let clock: Clock
    let storage: any TreeStorage
    /// Those that may still be undone, all at once: they are few.
    let moves: [MoveRow]
    /// More has changed than is held in memory: the moment is lost.
    private(set) var isLost = false

    private var objects: [ObjectID: ObjectRow] = [:]
    private var entries: [EntryID: EntryRow] = [:]
    private var versions: [VersionID: VersionRow] = [:]
    private var xattrs: [XattrKey: XattrRow?] = [:]

    init(clock: Clock, storage: any TreeStorage, movesFrom time: HybridTime) throws(StorageError) {
        self.clock = clock
        self.storage = storage
        moves = try storage.moves(from: time)
    }

    // MARK: Before a row changes

    func keepObject(_ id: ObjectID) throws(StorageError) {
        guard clock.covers(id), objects[id] == nil, hasRoom else { return }
        objects[id] = try storage.object(id)
    }

    func keepEntry(_ id: EntryID) throws(StorageError) {
        guard clock.covers(id), entries[id] == nil, hasRoom else { return }
        entries[id] = try storage.entry(id)
    }

    func keepVersion(_ id: VersionID) throws(StorageError) {
        guard clock.covers(id), versions[id] == nil, hasRoom else { return }
        versions[id] = try storage.version(id)
    }

    func keepXattr(_ name: [UInt8], of object: ObjectID) throws(StorageError) {
        let key = XattrKey(object: object, name: name)
        guard clock.covers(object), xattrs[key] == nil, hasRoom else { return }
        xattrs[key] = .some(try storage.xattr(name, of: object))
    }

    private var hasRoom: Bool {
        let count = objects.count + entries.count + versions.count + xattrs.count
        if count >= Limits.snapshotRowsMax { isLost = true }
        return !isLost
    }

    // MARK: Reading

    /// The next objects of a log, by id.
    ///
    /// - Returns: also where to go on; nil at the end.
    func objects(of writer: WriterSlot, after id: ObjectID?, limit: Int) throws(StorageError)
        -> (ids: [ObjectID], last: ObjectID?)
    {
        let ids = try storage.objects(of: writer, after: id, limit: limit)
        let known = ids.filter(clock.covers)
        return (known, known.count == ids.count ? ids.last : nil)
    }

    func object(_ id: ObjectID) throws(StorageError) -> ObjectRow? {
        if let kept = objects[id] { return kept }
        return try storage.object(id)
    }

    func entry(_ id: EntryID) throws(StorageError) -> EntryRow? {
        if let kept = entries[id] { return kept }
        return try storage.entry(id)
    }

    func entries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        try storage.entries(of: object).filter { clock.covers($0.id) }.map { entries[$0.id] ?? $0 }
    }

    func versions(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try storage.versions(of: object).filter { clock.covers($0.id) }
            .map { versions[$0.id] ?? $0 }
    }

    func xattrs(of object: ObjectID) throws(StorageError) -> [XattrRow] {
        try storage.xattrs(of: object).compactMap { row in
            guard let kept = xattrs[XattrKey(object: object, name: row.name)] else { return row }
            return kept
        }
    }
}

extension FileTree {
    // Every change of a row that a checkpoint has goes through these.

    func put(_ row: ObjectRow) throws(StorageError) {
        try snapshot?.keepObject(row.id)
        sweepWatch?.note(row.id)
        try storage.put(row)
    }

    func put(_ row: EntryRow) throws(StorageError) {
        try snapshot?.keepEntry(row.id)
        try sweepWatch?.note(row, before: storage)
        try storage.put(row)
    }

    func put(_ row: VersionRow) throws(StorageError) {
        try snapshot?.keepVersion(row.id)
        sweepWatch?.note(row.object)
        try storage.put(row)
    }

    func put(_ row: XattrRow) throws(StorageError) {
        try snapshot?.keepXattr(row.name, of: row.object)
        sweepWatch?.note(row.object)
        try storage.put(row)
    }

    func put(_ row: MoveRow) throws(StorageError) {
        sweepWatch?.note(row.parent)
        if let previous = row.previous { sweepWatch?.note(previous.parent) }
        try storage.put(row)
    }
}
