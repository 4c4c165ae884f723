package import Base

/// Rows in dictionaries: for tests, simulations and measurements.
package final class MemoryTreeStorage: TreeStorage {
    private struct Shown {
        var entries: [[UInt8]: [EntryID]] = [:]
        /// The names in byte order; nil when they must be sorted again.
        var sortedNames: [[UInt8]]?
    }
    private struct XattrKey: Hashable {
        var object: ObjectID
        var name: [UInt8]
    }

    private var objects: [ObjectID: ObjectRow] = [:]
    /// Their identities in order, by writer; none where they must be sorted again.
    private var sortedObjects: [WriterSlot: [ObjectID]] = [:]
    private var entries: [EntryID: EntryRow] = [:]
    private var entriesOfObject: [ObjectID: [EntryID]] = [:]
    private var shown: [ObjectID: Shown] = [:]
    private var versions: [VersionID: VersionRow] = [:]
    private var versionsOfObject: [ObjectID: [VersionID]] = [:]
    private var xattrs: [ObjectID: [XattrRow]] = [:]
    // By time; late arrivals are inserted.
    private var moves: [MoveRow] = []
    private var conflicts: [ObjectID: [ConflictRow]] = [:]
    private var state: [UInt8]?

    package init() {}

    /// A storage of its own with the same rows.
    package func copy() -> MemoryTreeStorage {
        let copy = MemoryTreeStorage()
        copy.objects = objects
        copy.entries = entries
        copy.entriesOfObject = entriesOfObject
        copy.shown = shown
        copy.versions = versions
        copy.versionsOfObject = versionsOfObject
        copy.xattrs = xattrs
        copy.moves = moves
        copy.conflicts = conflicts
        copy.state = state
        return copy
    }

    /// Whether the rows mean the same, whatever clock they belong to.
    package func hasEqualRows(_ other: MemoryTreeStorage) -> Bool {
        guard objects == other.objects, entries.count == other.entries.count,
            versions == other.versions, xattrs == other.xattrs, moves == other.moves,
            conflicts == other.conflicts
        else { return false }
        return entries.allSatisfy { id, row in
            guard var other = other.entries[id] else { return false }
            // Sets, kept in the order of arrival.
            guard Set(row.lives) == Set(other.lives), Set(row.removals) == Set(other.removals)
            else { return false }
            (other.lives, other.removals) = (row.lives, row.removals)
            return row == other
        }
    }

    // MARK: Objects

    package func object(_ id: ObjectID) throws(StorageError) -> ObjectRow? { objects[id] }
    package func put(_ row: ObjectRow) throws(StorageError) {
        if objects.updateValue(row, forKey: row.id) == nil { sortedObjects[row.id.writer] = nil }
    }

    package func objects(of writer: WriterSlot, after id: ObjectID?, limit: Int)
        throws(StorageError) -> [ObjectID]
    {
        let sorted =
            sortedObjects[writer]
            ?? objects.keys.filter { $0.writer == writer }.sorted { $0.rawValue < $1.rawValue }
        sortedObjects[writer] = sorted
        guard let id else { return Array(sorted.prefix(limit)) }
        var (low, high) = (0, sorted.count)
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle].rawValue > id.rawValue { high = middle } else { low = middle + 1 }
        }
        return Array(sorted[low...].prefix(limit))
    }

    // MARK: Entries

    package func entry(_ id: EntryID) throws(StorageError) -> EntryRow? { entries[id] }

    package func put(_ row: EntryRow) throws(StorageError) {
        let old = entries.updateValue(row, forKey: row.id)
        if old == nil { entriesOfObject[row.object, default: []].insertSorted(row.id) }
        let hasMoved =
            old?.shownParent != row.shownParent || old?.placement.name != row.placement.name
        guard hasMoved else { return }
        if let old, let parent = old.shownParent {
            let name = old.placement.name
            shown[parent]?.entries[name]?.removeAll { $0 == old.id }
            if shown[parent]?.entries[name]?.isEmpty == true {
                shown[parent]?.entries[name] = nil
                shown[parent]?.sortedNames = nil
            }
        }
        if let parent = row.shownParent {
            let name = row.placement.name
            if shown[parent]?.entries[name] == nil { shown[parent]?.sortedNames = nil }
            shown[parent, default: Shown()].entries[name, default: []].insertSorted(row.id)
        }
    }

    package func entries(shownIn directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [EntryRow]
    {
        rows(shown[directory]?.entries[name] ?? [])
    }

    package func holders(in directory: ObjectID, after name: [UInt8]?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        var result: [EntryRow] = []
        for candidate in names(of: directory, from: name) where result.count < limit {
            guard candidate != name else { continue }
            let group = rows(shown[directory]?.entries[candidate] ?? [])
            result.append(contentsOf: group.filter(\.holdsName))
        }
        return result
    }

    package func entries(shownIn directory: ObjectID, after cursor: EntryCursor?, limit: Int)
        throws(StorageError) -> [EntryRow]
    {
        var result: [EntryRow] = []
        for name in names(of: directory, from: cursor?.name) {
            for row in rows(shown[directory]?.entries[name] ?? []) where result.count < limit {
                let isPast = name != cursor?.name || row.id.rawValue > (cursor?.entry.rawValue ?? 0)
                if isPast { result.append(row) }
            }
        }
        return result
    }

    package func entries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        rows(entriesOfObject[object] ?? [])
    }

    private func rows(_ ids: [EntryID]) -> [EntryRow] { ids.compactMap { entries[$0] } }

    /// The names shown in a directory, from the first that is not before `name`.
    private func names(of directory: ObjectID, from name: [UInt8]?) -> ArraySlice<[UInt8]> {
        guard let names = shown[directory]?.sortedNames ?? sortNames(of: directory) else {
            return []
        }
        guard let name else { return names[...] }
        var low = 0
        var high = names.count
        while low < high {
            let middle = (low + high) / 2
            if names[middle].lexicographicallyPrecedes(name) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return names[low...]
    }

    private func sortNames(of directory: ObjectID) -> [[UInt8]]? {
        let names = shown[directory]?.entries.keys.sorted { $0.lexicographicallyPrecedes($1) }
        shown[directory]?.sortedNames = names
        return names
    }

    // MARK: Versions

    package func version(_ id: VersionID) throws(StorageError) -> VersionRow? { versions[id] }

    package func put(_ row: VersionRow) throws(StorageError) {
        if versions.updateValue(row, forKey: row.id) == nil {
            versionsOfObject[row.object, default: []].insertSorted(row.id)
        }
    }

    package func heads(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try versions(of: object).filter(\.isHead)
    }

    package func objectsOfHeads(after object: ObjectID?, limit: Int) throws(StorageError)
        -> [ObjectID]
    {
        let objects = versions.values.filter(\.isHead).map(\.object)
            .filter { object == nil || $0.rawValue > object?.rawValue ?? 0 }
        return Array(objects.sorted { $0.rawValue < $1.rawValue }.prefix(limit))
    }

    package func versions(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        (versionsOfObject[object] ?? []).compactMap { versions[$0] }
    }

    // MARK: Extended attributes

    package func xattr(_ name: [UInt8], of object: ObjectID) throws(StorageError) -> XattrRow? {
        xattrs[object]?.first { $0.name == name }
    }

    package func put(_ row: XattrRow) throws(StorageError) {
        var rows = xattrs[row.object] ?? []
        rows.removeAll { $0.name == row.name }
        let place = rows.firstIndex { row.name.lexicographicallyPrecedes($0.name) }
        rows.insert(row, at: place ?? rows.count)
        xattrs[row.object] = rows
    }

    package func xattrs(of object: ObjectID) throws(StorageError) -> [XattrRow] {
        xattrs[object] ?? []
    }

    // MARK: Moves

    package func moves(from time: HybridTime) throws(StorageError) -> [MoveRow] {
        Array(moves[firstMove(from: time)...])
    }

    package func put(_ row: MoveRow) throws(StorageError) {
        var index = firstMove(from: row.time)
        while index < moves.count, moves[index].time == row.time {
            if moves[index].id == row.id {
                moves[index] = row
                return
            }
            index += 1
        }
        moves.insert(row, at: index)
    }

    private func firstMove(from time: HybridTime) -> Int {
        var low = 0
        var high = moves.count
        while low < high {
            let middle = (low + high) / 2
            if moves[middle].time < time { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Forgetting

    package func remove(_ row: ObjectRow) throws(StorageError) {
        objects[row.id] = nil
        sortedObjects[row.id.writer] = nil
    }

    package func remove(_ row: EntryRow) throws(StorageError) {
        guard var hidden = entries[row.id] else { return }
        hidden.shownParent = nil
        try put(hidden)
        entries[row.id] = nil
        entriesOfObject[row.object]?.removeAll { $0 == row.id }
        if entriesOfObject[row.object]?.isEmpty == true { entriesOfObject[row.object] = nil }
    }

    package func remove(_ row: VersionRow) throws(StorageError) {
        versions[row.id] = nil
        versionsOfObject[row.object]?.removeAll { $0 == row.id }
        if versionsOfObject[row.object]?.isEmpty == true { versionsOfObject[row.object] = nil }
    }

    package func remove(_ row: XattrRow) throws(StorageError) {
        xattrs[row.object]?.removeAll { $0.name == row.name }
        if xattrs[row.object]?.isEmpty == true { xattrs[row.object] = nil }
    }

    package func removeMoves(upTo time: HybridTime, limit: Int) throws(StorageError) -> Int {
        let count = moves.prefix(limit).prefix { $0.time <= time }.count
        moves.removeFirst(count)
        return count
    }

    // MARK: Conflicts

    package func put(_ row: ConflictRow) throws(StorageError) {
        try remove(row)
        var rows = conflicts[row.parent] ?? []
        let place = rows.firstIndex { row.precedes($0) }
        rows.insert(row, at: place ?? rows.count)
        conflicts[row.parent] = rows
    }

    package func remove(_ row: ConflictRow) throws(StorageError) {
        conflicts[row.parent]?.removeAll {
            $0.name == row.name && $0.entry == row.entry && $0.version == row.version
        }
        if conflicts[row.parent]?.isEmpty == true { conflicts[row.parent] = nil }
    }

    package func conflicts(in directory: ObjectID, named name: [UInt8]) throws(StorageError)
        -> [ConflictRow]
    {
        (conflicts[directory] ?? []).filter { $0.name == name }
    }

    package func conflict(shownIn directory: ObjectID, as shownName: [UInt8])
        throws(StorageError) -> ConflictRow?
    {
        conflicts[directory]?.first { $0.shownName == shownName }
    }

    package func conflicts(shownIn directory: ObjectID, after shownName: [UInt8]?, limit: Int)
        throws(StorageError) -> [ConflictRow]
    {
        let rows = (conflicts[directory] ?? []).filter { row in
            shownName.map { $0.lexicographicallyPrecedes(row.shownName) } ?? true
        }
        let sorted = rows.sorted { $0.shownName.lexicographicallyPrecedes($1.shownName) }
        return Array(sorted.prefix(limit))
    }

    package func conflicts(in directory: ObjectID) throws(StorageError) -> [ConflictRow] {
        conflicts[directory] ?? []
    }

    package func conflicts(after row: ConflictRow?, limit: Int) throws(StorageError)
        -> [ConflictRow]
    {
        let rows = conflicts.values.joined().sorted { $0.precedes($1) }
        guard let row else { return Array(rows.prefix(limit)) }
        return Array(rows.drop { !row.precedes($0) }.prefix(limit))
    }

    /// How many rows there are of each kind: objects, entries, versions, extended attributes, moves.
    package var rowCounts: [Int] {
        [
            objects.count, entries.count, versions.count,
            xattrs.values.reduce(0) { $0 + $1.count }, moves.count,
        ]
    }

    // MARK: State

    package func treeState() throws(StorageError) -> [UInt8]? { state }
    package func setTreeState(_ bytes: [UInt8]) throws(StorageError) { state = bytes }
}

extension ConflictRow {
    /// The order of keys.
    fileprivate func precedes(_ other: ConflictRow) -> Bool {
        if parent != other.parent { return parent.rawValue < other.parent.rawValue }
        if name != other.name { return name.lexicographicallyPrecedes(other.name) }
        if entry != other.entry { return entry.rawValue < other.entry.rawValue }
        return (version?.rawValue ?? 0) < (other.version?.rawValue ?? 0)
    }
}

extension [OperationID] {
    fileprivate mutating func insertSorted(_ id: OperationID) {
        let place = lastIndex { $0.rawValue < id.rawValue }.map { $0 + 1 } ?? 0
        insert(id, at: place)
    }
}
