internal import Base
internal import FileTree

/// Rows of the view in memory: those read or written of late, and those that the database has still to
/// be told of.
///
/// A file that is made and written changes its own row three times and its directory's twice within a
/// few calls; the database hears of each row once, before the transaction ends or when a query needs
/// an index. What is asked for again and again (directories, names just looked for) is not decoded anew.
///
/// Invariants: an entry is in the lists of its name and of its object, if those are here; they are here
/// if the database would not have it in them. Rows of a list are here.
final class RowCache {
    enum Limits {
        /// Rows and names kept; beyond, all that the database knows are let go.
        static let rowsMax = 16_384
        /// Moves kept.
        static let movesMax = 8192
        /// Bytes of content kept in versions, likewise.
        static let contentBytesMax = 4 << 20
        /// Changes at which the database is told without waiting for the end of the transaction.
        static let changesMax = 4096
    }

    /// A name in a directory that shows it.
    struct Name: Hashable {
        let directory: ObjectID
        let name: [UInt8]
    }

    private var objects: [ObjectID: ObjectRow] = [:]
    private var entries: [EntryID: EntryRow] = [:]
    private var versions: [VersionID: VersionRow] = [:]
    private var named: [Name: [EntryID]] = [:]
    private var entriesOfObject: [ObjectID: [EntryID]] = [:]
    private var contentBytes = 0

    /// All moves from some time on, by time and identity; nil if none are kept.
    private var recentMoves: (from: HybridTime, rows: [MoveRow])?

    private var changedObjects: Set<ObjectID> = []
    private var changedEntries: Set<EntryID> = []
    private var changedVersions: Set<VersionID> = []

    var changeCount: Int {
        changedObjects.count + changedEntries.count + changedVersions.count
    }

    // MARK: Objects

    func object(_ id: ObjectID) -> ObjectRow? { objects[id] }

    /// A row as the database has it.
    func keep(_ row: ObjectRow) { objects[row.id] = row }

    func put(_ row: ObjectRow) {
        objects[row.id] = row
        changedObjects.insert(row.id)
    }

    // MARK: Entries

    func entry(_ id: EntryID) -> EntryRow? { entries[id] }

    /// A row as the database has it; a later one stays.
    func keep(_ row: EntryRow) {
        if entries[row.id] == nil { entries[row.id] = row }
    }

    /// - Returns: nil if the list is not here.
    func entries(named name: Name) -> [EntryRow]? {
        named[name].map { ids in ids.compactMap { entries[$0] } }
    }

    /// Takes up what the database has under a name. By the invariant, whatever it has not been told of
    /// is elsewhere.
    func keep(_ rows: [EntryRow], named name: Name) -> [EntryRow] {
        for row in rows { keep(row) }
        let ids = rows.map(\.id).filter { entries[$0]?.shownName == name }
        named[name] = ids
        return ids.compactMap { entries[$0] }
    }

    /// - Returns: nil if the list is not here.
    func entries(of object: ObjectID) -> [EntryRow]? {
        entriesOfObject[object].map { ids in ids.compactMap { entries[$0] } }
    }

    func keep(_ rows: [EntryRow], of object: ObjectID) -> [EntryRow] {
        for row in rows { keep(row) }
        entriesOfObject[object] = rows.map(\.id)
        return rows.compactMap { entries[$0.id] }
    }

    /// Which of the row's lists must be taken up before it is put: those that the database would not
    /// have it in.
    func lacksLists(for row: EntryRow) -> (name: Name?, object: Bool) {
        let known = entries[row.id]
        guard let known else {
            return (lackedName(of: row), entriesOfObject[row.object] == nil)
        }
        return (known.showsAs(row) ? nil : lackedName(of: row), false)
    }

    private func lackedName(of row: EntryRow) -> Name? {
        row.shownName.flatMap { named[$0] == nil ? $0 : nil }
    }

    func put(_ row: EntryRow) {
        let known = entries.updateValue(row, forKey: row.id)
        changedEntries.insert(row.id)
        if known == nil { Self.insert(row.id, into: &entriesOfObject[row.object]) }
        if let known, known.showsAs(row) { return }
        if let old = known?.shownName { named[old]?.removeAll { $0 == row.id } }
        if let name = row.shownName { Self.insert(row.id, into: &named[name]) }
    }

    /// - Parameter list: ascending; nil if it is not here.
    private static func insert(_ id: EntryID, into list: inout [EntryID]?) {
        guard let index = list?.firstIndex(where: { $0.rawValue >= id.rawValue }) else {
            list?.append(id)
            return
        }
        if list?[index] != id { list?.insert(id, at: index) }
    }

    // MARK: Versions

    func version(_ id: VersionID) -> VersionRow? { versions[id] }

    /// A row as the database has it; a later one stays.
    func keep(_ row: VersionRow) {
        if versions[row.id] == nil { hold(row) }
    }

    func put(_ row: VersionRow) {
        hold(row)
        changedVersions.insert(row.id)
    }

    private func hold(_ row: VersionRow) {
        let old = versions.updateValue(row, forKey: row.id)
        contentBytes += row.content.count - (old?.content.count ?? 0)
    }

    var hasChangedVersions: Bool { !changedVersions.isEmpty }

    // MARK: Moves

    /// All moves at or after a time, by time and identity; nil if not all of them are here.
    func moves(from time: HybridTime) -> ArraySlice<MoveRow>? {
        guard let recentMoves, recentMoves.from <= time else { return nil }
        return recentMoves.rows[position(of: (time, 0))...]
    }

    /// - Parameter rows: all that the database has at or after a time, by time and identity.
    func keep(_ rows: [MoveRow], from time: HybridTime) {
        recentMoves = rows.count <= Limits.movesMax ? (time, rows) : nil
    }

    /// The database has the row already.
    func put(_ row: MoveRow) {
        guard let from = recentMoves?.from, from <= row.time else { return }
        let index = position(of: (row.time, row.id.rawValue))
        let count = recentMoves?.rows.count ?? 0
        if index < count, recentMoves?.rows[index].id == row.id {
            recentMoves?.rows[index] = row
        } else if count < Limits.movesMax {
            recentMoves?.rows.insert(row, at: index)
        } else {
            recentMoves = nil
        }
    }

    func forgetMoves() { recentMoves = nil }

    /// The first of the moves kept that is not before a place in their order.
    private func position(of place: (time: HybridTime, id: UInt64)) -> Int {
        guard let rows = recentMoves?.rows else { return 0 }
        var (low, high) = (0, rows.count)
        while low < high {
            let middle = (low + high) / 2
            let isBefore = (rows[middle].time, rows[middle].id.rawValue) < place
            if isBefore { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Forgetting

    // The database is about to forget the row too.

    func forget(_ row: ObjectRow) {
        objects[row.id] = nil
        changedObjects.remove(row.id)
    }

    func forget(_ row: EntryRow) {
        let known = entries.removeValue(forKey: row.id)
        changedEntries.remove(row.id)
        for name in [known?.shownName, row.shownName] {
            if let name { named[name]?.removeAll { $0 == row.id } }
        }
        entriesOfObject[row.object]?.removeAll { $0 == row.id }
    }

    func forget(_ row: VersionRow) {
        if let known = versions.removeValue(forKey: row.id) { contentBytes -= known.content.count }
        changedVersions.remove(row.id)
    }

    // MARK: Telling the database

    var hasChangedEntries: Bool { !changedEntries.isEmpty }

    /// Names the entries that changed, which are here, by id: neighbours in the database come one after the
    /// other.
    func takeChangedEntries() -> [EntryID] {
        defer { changedEntries.removeAll(keepingCapacity: true) }
        return Self.sorted(changedEntries)
    }

    func takeChangedObjects() -> [ObjectID] {
        defer { changedObjects.removeAll(keepingCapacity: true) }
        return Self.sorted(changedObjects)
    }

    func takeChangedVersions() -> [VersionID] {
        defer { changedVersions.removeAll(keepingCapacity: true) }
        return Self.sorted(changedVersions)
    }

    private static func sorted(_ ids: Set<OperationID>) -> [OperationID] {
        ids.sorted { $0.rawValue < $1.rawValue }
    }

    /// Lets go of rows, if there are too many and the database knows them all.
    func trim() {
        guard changeCount == 0 else { return }
        if contentBytes > Limits.contentBytesMax {
            versions.removeAll(keepingCapacity: true)
            contentBytes = 0
        }
        let count =
            objects.count + entries.count + named.count + entriesOfObject.count + versions.count
        if count > Limits.rowsMax { removeRows() }
    }

    /// Forgets everything, told or not.
    func removeAll() {
        removeRows()
        recentMoves = nil
        changedObjects.removeAll(keepingCapacity: true)
        changedEntries.removeAll(keepingCapacity: true)
        changedVersions.removeAll(keepingCapacity: true)
    }

    private func removeRows() {
        objects.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        versions.removeAll(keepingCapacity: true)
        named.removeAll(keepingCapacity: true)
        entriesOfObject.removeAll(keepingCapacity: true)
        contentBytes = 0
    }
}

extension EntryRow {
    /// Whether it shows where and as what the other does.
    fileprivate func showsAs(_ other: EntryRow) -> Bool {
        shownParent == other.shownParent && placement.name == other.placement.name
    }

    /// Where and as what it shows; nil while it does not.
    var shownName: RowCache.Name? {
        shownParent.map { RowCache.Name(directory: $0, name: placement.name) }
    }
}
