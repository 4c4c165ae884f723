package import Base
package import FileTree

struct TreeStatements {
    let object, putObject, objectsAfter: SQLiteStatement
    let entry, entriesNamed, holders, holdersAfter: SQLiteStatement
    let entriesShown, entriesShownAfter, entriesOfObject, putEntry: SQLiteStatement
    let version, heads, objectsOfHeads, versionsOfObject, putVersion: SQLiteStatement
    let xattr, xattrs, putXattr: SQLiteStatement
    let moves, putMove: SQLiteStatement
    let putConflict, removeConflict, conflictsNamed, conflictShown: SQLiteStatement
    let conflictsShown, conflictsIn, conflicts, conflictsAfter: SQLiteStatement
    let state, putState: SQLiteStatement
    let removeObject, removeEntry, removeVersion, removeXattr: SQLiteStatement
    let movesUpTo, removeMove: SQLiteStatement

    init(_ connection: SQLiteConnection) throws(StorageError) {
        object = try connection.prepare("SELECT payload FROM object WHERE id = ?")
        putObject = try connection.prepare("REPLACE INTO object VALUES (?, ?)")
        objectsAfter = try connection.prepare(
            "SELECT id FROM object WHERE id > ? AND id < ? ORDER BY id LIMIT ?")

        let entryColumns = "SELECT id, object, shown_parent, name, holds_name, payload FROM entry"
        entry = try connection.prepare("\(entryColumns) WHERE id = ?")
        entriesNamed = try connection.prepare(
            "\(entryColumns) WHERE shown_parent = ? AND name = ? ORDER BY id")
        holders = try connection.prepare(
            "\(entryColumns) WHERE shown_parent = ? AND holds_name ORDER BY name, id LIMIT ?")
        holdersAfter = try connection.prepare(
            """
            \(entryColumns) WHERE shown_parent = ? AND name > ? AND holds_name
            ORDER BY name, id LIMIT ?
            """)
        entriesShown = try connection.prepare(
            "\(entryColumns) WHERE shown_parent = ? ORDER BY name, id LIMIT ?")
        entriesShownAfter = try connection.prepare(
            """
            \(entryColumns) WHERE shown_parent = ? AND (name, id) > (?, ?)
            ORDER BY name, id LIMIT ?
            """)
        entriesOfObject = try connection.prepare("\(entryColumns) WHERE object = ? ORDER BY id")
        putEntry = try connection.prepare("REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?)")

        let versionColumns = "SELECT id, object, is_head, payload FROM version"
        version = try connection.prepare("\(versionColumns) WHERE id = ?")
        heads = try connection.prepare(
            "\(versionColumns) WHERE object = ? AND is_head = 1 ORDER BY id")
        // The index answers it alone.
        objectsOfHeads = try connection.prepare(
            "SELECT object FROM version WHERE object > ? AND is_head = 1 ORDER BY object LIMIT ?")
        versionsOfObject = try connection.prepare("\(versionColumns) WHERE object = ? ORDER BY id")
        putVersion = try connection.prepare("REPLACE INTO version VALUES (?, ?, ?, ?)")

        xattr = try connection.prepare("SELECT payload FROM xattr WHERE object = ? AND name = ?")
        xattrs = try connection.prepare(
            "SELECT name, payload FROM xattr WHERE object = ? ORDER BY name")
        putXattr = try connection.prepare("REPLACE INTO xattr VALUES (?, ?, ?)")

        moves = try connection.prepare(
            "SELECT id, time, payload FROM move WHERE time >= ? ORDER BY time, id")
        putMove = try connection.prepare("REPLACE INTO move VALUES (?, ?, ?)")

        let conflictColumns =
            "SELECT parent, name, entry, version, shown_name, node, kind FROM conflict"
        putConflict = try connection.prepare("REPLACE INTO conflict VALUES (?, ?, ?, ?, ?, ?, ?)")
        removeConflict = try connection.prepare(
            "DELETE FROM conflict WHERE parent = ? AND name = ? AND entry = ? AND version = ?")
        conflictsNamed = try connection.prepare(
            "\(conflictColumns) WHERE parent = ? AND name = ? ORDER BY entry, version")
        conflictShown = try connection.prepare(
            "\(conflictColumns) WHERE parent = ? AND shown_name = ? LIMIT 1")
        conflictsShown = try connection.prepare(
            """
            \(conflictColumns) WHERE parent = ? AND shown_name > ?
            ORDER BY shown_name, name, entry, version LIMIT ?
            """)
        conflictsIn = try connection.prepare(
            "\(conflictColumns) WHERE parent = ? ORDER BY name, entry, version")
        conflicts = try connection.prepare(
            "\(conflictColumns) ORDER BY parent, name, entry, version LIMIT ?")
        conflictsAfter = try connection.prepare(
            """
            \(conflictColumns) WHERE (parent, name, entry, version) > (?, ?, ?, ?)
            ORDER BY parent, name, entry, version LIMIT ?
            """)
        state = try connection.prepare("SELECT bytes FROM tree_state WHERE number = 1")
        putState = try connection.prepare("REPLACE INTO tree_state VALUES (1, ?)")
        removeObject = try connection.prepare("DELETE FROM object WHERE id = ?")
        removeEntry = try connection.prepare("DELETE FROM entry WHERE id = ?")
        removeVersion = try connection.prepare("DELETE FROM version WHERE id = ?")
        removeXattr = try connection.prepare("DELETE FROM xattr WHERE object = ? AND name = ?")
        movesUpTo = try connection.prepare(
            "SELECT time, id FROM move WHERE time <= ? ORDER BY time, id LIMIT ?")
        removeMove = try connection.prepare("DELETE FROM move WHERE time = ? AND id = ?")
    }
}

// MARK: - Objects and entries

extension ShareDatabase {
    package func object(_ id: ObjectID) throws(StorageError) -> ObjectRow? {
        if let known = cache.object(id) { return known }
        let row = try treeStatements.object.first(id) { row throws(StorageError) in
            try ObjectRow(id: id, payload: row.bytes(0))
        }
        if let row {
            cache.keep(row)
            cache.trim()
        }
        return row
    }

    package func put(_ row: ObjectRow) throws(StorageError) {
        cache.put(row)
        try tellIfMany()
    }

    package func objects(of writer: WriterSlot, after id: ObjectID?, limit: Int)
        throws(StorageError) -> [ObjectID]
    {
        try tellRows()
        let first = Int64(writer.rawValue) << 50
        let last = id?.rowID ?? first - 1
        return try treeStatements.objectsAfter.all(last, first + 1 << 50, Int64(limit)) {
            row throws(StorageError) in try operation(row, 0)
        }
    }

    package func entry(_ id: EntryID) throws(StorageError) -> EntryRow? {
        if let known = cache.entry(id) { return known }
        let row = try treeStatements.entry.first(id, read: entryRow)
        if let row {
            cache.keep(row)
            cache.trim()
        }
        return row
    }

    package func put(_ row: EntryRow) throws(StorageError) {
        let lacking = cache.lacksLists(for: row)
        if let name = lacking.name { try takeUp(name) }
        if lacking.object { try takeUp(entriesOf: row.object) }
        cache.put(row)
        try tellIfMany()
    }

    package func entries(shownIn directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [EntryRow]
    {
        let name = RowCache.Name(directory: directory, name: name)
        if let known = cache.entries(named: name) { return known }
        let rows = try takeUp(name)
        cache.trim()
        return rows
    }

    @discardableResult
    private func takeUp(_ name: RowCache.Name) throws(StorageError) -> [EntryRow] {
        cache.keep(
            try treeStatements.entriesNamed.all(name.directory, name.name, read: entryRow),
            named: name)
    }

    @discardableResult
    private func takeUp(entriesOf object: ObjectID) throws(StorageError) -> [EntryRow] {
        cache.keep(
            try treeStatements.entriesOfObject.all(object, read: entryRow), of: object)
    }

    package func holders(in directory: ObjectID, after name: [UInt8]?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        try tellEntries()
        guard let name else {
            return try treeStatements.holders.all(directory, Int64(limit), read: entryRow)
        }
        return try treeStatements.holdersAfter.all(directory, name, Int64(limit), read: entryRow)
    }

    package func entries(shownIn directory: ObjectID, after cursor: EntryCursor?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        try tellEntries()
        guard let cursor else {
            return try treeStatements.entriesShown.all(directory, Int64(limit), read: entryRow)
        }
        return try treeStatements.entriesShownAfter.all(
            directory, cursor.name, cursor.entry, Int64(limit), read: entryRow)
    }

    package func entries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        if let known = cache.entries(of: object) { return known }
        let rows = try takeUp(entriesOf: object)
        cache.trim()
        return rows
    }

    private func entryRow(_ row: borrowing SQLiteRow) throws(StorageError) -> EntryRow {
        try EntryRow(
            id: operation(row, 0), object: operation(row, 1),
            shownParent: row.isNull(2) ? nil : operation(row, 2), name: row.bytes(3),
            holdsName: row.bool(4), payload: row.bytes(5))
    }

    private func operation(_ row: borrowing SQLiteRow, _ column: Int32) throws(StorageError)
        -> OperationID
    {
        guard let id = OperationID(rowID: row.integer(column)) else {
            throw damaged("identity \(row.integer(column))")
        }
        return id
    }
}

// MARK: - Rows on their way

extension ShareDatabase {
    /// Tells the database of all rows that changed: the transaction is about to end.
    func tellRows() throws(StorageError) {
        for id in cache.takeChangedObjects() {
            guard let row = cache.object(id) else { continue }
            try treeStatements.putObject.run(row.id, row.payload)
        }
        try tellEntries()
        try tellVersions()
        cache.trim()
    }

    /// So that a bulk of changes takes no more memory than the database's own.
    private func tellIfMany() throws(StorageError) {
        if cache.changeCount > RowCache.Limits.changesMax { try tellRows() }
    }

    private func tellEntries() throws(StorageError) {
        guard cache.hasChangedEntries else { return }
        for id in cache.takeChangedEntries() {
            guard let row = cache.entry(id) else { continue }
            try treeStatements.putEntry.run(
                row.id, row.object, row.shownParent, row.placement.name, row.holdsName, row.payload
            )
        }
    }

    func tellVersions() throws(StorageError) {
        guard cache.hasChangedVersions else { return }
        for id in cache.takeChangedVersions() {
            guard let row = cache.version(id) else { continue }
            try treeStatements.putVersion.run(row.id, row.object, row.isHead, row.payload)
        }
    }
}

// MARK: - Versions, extended attributes, moves

extension ShareDatabase {
    package func version(_ id: VersionID) throws(StorageError) -> VersionRow? {
        if let known = cache.version(id) { return known }
        let row = try treeStatements.version.first(id, read: versionRow)
        if let row {
            cache.keep(row)
            cache.trim()
        }
        return row
    }

    package func put(_ row: VersionRow) throws(StorageError) {
        cache.put(row)
        try tellIfMany()
    }

    package func heads(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try tellVersions()
        return try treeStatements.heads.all(object, read: versionRow)
    }

    package func objectsOfHeads(after object: ObjectID?, limit: Int) throws(StorageError)
        -> [ObjectID]
    {
        try tellVersions()
        let first = object?.rowID ?? -1
        return try treeStatements.objectsOfHeads.all(first, Int64(limit)) {
            (row) throws(StorageError) in try operation(row, 0)
        }
    }

    package func versions(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try tellVersions()
        return try treeStatements.versionsOfObject.all(object, read: versionRow)
    }

    func versionRow(_ row: borrowing SQLiteRow) throws(StorageError) -> VersionRow {
        try VersionRow(
            id: operation(row, 0), object: operation(row, 1), isHead: row.bool(2),
            payload: row.bytes(3))
    }

    package func xattr(_ name: [UInt8], of object: ObjectID) throws(StorageError) -> XattrRow? {
        try treeStatements.xattr.first(object, name) { row throws(StorageError) in
            try XattrRow(object: object, name: name, payload: row.bytes(0))
        }
    }

    package func put(_ row: XattrRow) throws(StorageError) {
        try treeStatements.putXattr.run(row.object, row.name, row.payload)
    }

    package func xattrs(of object: ObjectID) throws(StorageError) -> [XattrRow] {
        try treeStatements.xattrs.all(object) { row throws(StorageError) in
            try XattrRow(object: object, name: row.bytes(0), payload: row.bytes(1))
        }
    }

    package func moves(from time: HybridTime) throws(StorageError) -> [MoveRow] {
        if let known = cache.moves(from: time) { return Array(known) }
        let rows = try treeStatements.moves.all(time.ordered) { row throws(StorageError) in
            try MoveRow(
                id: operation(row, 0), time: HybridTime(ordered: row.integer(1)),
                payload: row.bytes(2))
        }
        cache.keep(rows, from: time)
        return rows
    }

    package func put(_ row: MoveRow) throws(StorageError) {
        try treeStatements.putMove.run(row.time.ordered, row.id, row.payload)
        cache.put(row)
    }
}

// MARK: - Forgetting

extension ShareDatabase {
    package func remove(_ row: ObjectRow) throws(StorageError) {
        cache.forget(row)
        try treeStatements.removeObject.run(row.id)
    }

    package func remove(_ row: EntryRow) throws(StorageError) {
        cache.forget(row)
        try treeStatements.removeEntry.run(row.id)
    }

    package func remove(_ row: VersionRow) throws(StorageError) {
        cache.forget(row)
        try treeStatements.removeVersion.run(row.id)
    }

    package func remove(_ row: XattrRow) throws(StorageError) {
        try treeStatements.removeXattr.run(row.object, row.name)
    }

    package func removeMoves(upTo time: HybridTime, limit: Int) throws(StorageError) -> Int {
        let found = try treeStatements.movesUpTo.all(time.ordered, Int64(limit)) {
            row throws(StorageError) in (time: row.integer(0), id: row.integer(1))
        }
        if !found.isEmpty { cache.forgetMoves() }
        for (time, id) in found { try treeStatements.removeMove.run(time, id) }
        return found.count
    }
}

// MARK: - Conflicts and state

extension ShareDatabase {
    package func put(_ row: ConflictRow) throws(StorageError) {
        try treeStatements.putConflict.run(
            row.parent, row.name, row.entry, row.versionColumn, row.shownName, row.node,
            Int64(row.kind.rawValue))
    }

    package func remove(_ row: ConflictRow) throws(StorageError) {
        try treeStatements.removeConflict.run(row.parent, row.name, row.entry, row.versionColumn)
    }

    package func conflicts(in directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [ConflictRow]
    {
        try treeStatements.conflictsNamed.all(directory, name, read: conflictRow)
    }

    package func conflict(shownIn directory: ObjectID, as shownName: [UInt8])
        throws(StorageError) -> ConflictRow?
    {
        try treeStatements.conflictShown.first(directory, shownName, read: conflictRow)
    }

    package func conflicts(shownIn directory: ObjectID, after shownName: [UInt8]?, limit: Int)
        throws(StorageError) -> [ConflictRow]
    {
        // No name is empty, so every name comes after the empty one.
        try treeStatements.conflictsShown.all(
            directory, shownName ?? [], Int64(limit), read: conflictRow)
    }

    package func conflicts(in directory: ObjectID) throws(StorageError) -> [ConflictRow] {
        try treeStatements.conflictsIn.all(directory, read: conflictRow)
    }

    package func conflicts(after row: ConflictRow?, limit: Int) throws(StorageError)
        -> [ConflictRow]
    {
        guard let row else {
            return try treeStatements.conflicts.all(Int64(limit), read: conflictRow)
        }
        return try treeStatements.conflictsAfter.all(
            row.parent, row.name, row.entry, row.versionColumn, Int64(limit), read: conflictRow)
    }

    private func conflictRow(_ row: borrowing SQLiteRow) throws(StorageError) -> ConflictRow {
        guard let number = UInt8(exactly: row.integer(6)), let kind = ObjectKind(rawValue: number)
        else { throw damaged("kind \(row.integer(6))") }
        return try ConflictRow(
            parent: operation(row, 0), name: row.bytes(1), entry: operation(row, 2),
            version: row.integer(3) == ConflictRow.noVersion ? nil : operation(row, 3),
            shownName: row.bytes(4), node: operation(row, 5), kind: kind)
    }

    package func treeState() throws(StorageError) -> [UInt8]? {
        try treeStatements.state.first { row throws(StorageError) in row.bytes(0) }
    }

    package func setTreeState(_ bytes: [UInt8]) throws(StorageError) {
        try treeStatements.putState.run(bytes)
    }
}

extension ConflictRow {
    /// Sorts before every version.
    fileprivate static let noVersion: Int64 = -1

    fileprivate var versionColumn: Int64 { version?.rowID ?? Self.noVersion }
}

extension HybridTime {
    /// As a signed number in the same order.
    fileprivate var ordered: Int64 { Int64(bitPattern: rawValue ^ (1 << 63)) }

    fileprivate init(ordered: Int64) {
        self.init(rawValue: UInt64(bitPattern: ordered) ^ (1 << 63))
    }
}

extension OperationID: SQLiteValue {
    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        unsafe rowID.bind(to: statement, at: index)
    }
}
