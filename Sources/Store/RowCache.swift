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
        let isElsewhere = known?.shownName != row.shownName
        let name = isElsewhere ? row.shownName.flatMap { named[$0] == nil ? $0 : nil } : nil
        return (name, known == nil && entriesOfObject[row.object] == nil)
    }

    func put(_ row: EntryRow) {
        let known = entries.updateValue(row, forKey: row.id)
        changedEntries.insert(row.id)
        if let old = known?.shownName, old != row.shownName {
            named[old]?.removeAll { $0 == row.id }
        }
        if let name = row.shownName { Self.insert(row.id, into: &named[name]) }
        if known == nil { Self.insert(row.id, into: &entriesOfObject[row.object]) }
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

    /// Hands over the entries that changed, by id: neighbours in the database come one after the other.
    func takeChangedEntries() -> [EntryRow] {
        defer { changedEntries.removeAll(keepingCapacity: true) }
        return Self.sorted(changedEntries).compactMap { entries[$0] }
    }

    func takeChangedObjects() -> [ObjectRow] {
        defer { changedObjects.removeAll(keepingCapacity: true) }
        return Self.sorted(changedObjects).compactMap { objects[$0] }
    }

    func takeChangedVersions() -> [VersionRow] {
        defer { changedVersions.removeAll(keepingCapacity: true) }
        return Self.sorted(changedVersions).compactMap { versions[$0] }
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
        if count > Limits.rowsMax { removeAll() }
    }

    /// Forgets everything, told or not.
    func removeAll() {
        objects.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        versions.removeAll(keepingCapacity: true)
        named.removeAll(keepingCapacity: true)
        entriesOfObject.removeAll(keepingCapacity: true)
        contentBytes = 0
        changedObjects.removeAll(keepingCapacity: true)
        changedEntries.removeAll(keepingCapacity: true)
        changedVersions.removeAll(keepingCapacity: true)
    }
}

extension EntryRow {
    /// Where and as what it shows; nil while it does not.
    var shownName: RowCache.Name? {
        shownParent.map { RowCache.Name(directory: $0, name: placement.name) }
    }
}
