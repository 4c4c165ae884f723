/// A row in memory while operations change it, beside what it was when the flush began.
final class Held<Row: Equatable> {
    /// Nil if the row is new.
    let original: Row?
    var row: Row

    init(stored: Row) {
        original = stored
        row = stored
    }

    init(new row: Row) {
        original = nil
        self.row = row
    }
}

final class HeldEntry {
    let rows: Held<EntryRow>
    /// What storage has.
    var stored: EntryRow?
    /// The directory that counts this entry among its visible children.
    var counted: ObjectID?

    init(stored row: EntryRow) {
        rows = Held(stored: row)
        stored = row
        counted = row.isVisible ? row.placement.parent : nil
    }

    init(new row: EntryRow) { rows = Held(new: row) }

    var isChanged: Bool { stored != rows.row }

    var original: EntryRow? { rows.original }
    var row: EntryRow {
        get { rows.row }
        _modify { yield &rows.row }
    }
}

/// The rows that operations since the last flush have read or changed, in the order they came.
struct HeldRows {
    /// Up to so many are looked through one by one, which costs less than hashing; mostly there are
    /// three or four.
    private static let scannedMax = 16

    private(set) var objects: [Held<ObjectRow>] = []
    private(set) var entries: [HeldEntry] = []
    /// Empty while there are few.
    private var objectIndex: [ObjectID: Int] = [:]
    private var entryIndex: [EntryID: Int] = [:]
    /// Entries that storage does not know yet, by object; empty while there are few entries.
    private var newEntries: [ObjectID: [EntryID]] = [:]

    var count: Int { objects.count + entries.count }

    func object(_ id: ObjectID) -> Held<ObjectRow>? {
        if objects.count <= Self.scannedMax { return objects.first { $0.row.id == id } }
        return objectIndex[id].map { objects[$0] }
    }

    func entry(_ id: EntryID) -> HeldEntry? {
        if entries.count <= Self.scannedMax { return entries.first { $0.rows.row.id == id } }
        return entryIndex[id].map { entries[$0] }
    }

    func newEntries(of object: ObjectID) -> [EntryID] {
        guard entries.count <= Self.scannedMax else { return newEntries[object] ?? [] }
        return entries.compactMap { entry in
            let row = entry.rows
            return row.original == nil && row.row.object == object ? row.row.id : nil
        }
    }

    mutating func hold(_ held: Held<ObjectRow>) {
        objects.append(held)
        if objects.count == Self.scannedMax + 1 {
            for index in objects.indices { objectIndex[objects[index].row.id] = index }
        } else if objects.count > Self.scannedMax {
            objectIndex[held.row.id] = objects.count - 1
        }
    }

    mutating func hold(_ held: HeldEntry) {
        entries.append(held)
        if entries.count == Self.scannedMax + 1 {
            for index in entries.indices { take(entries[index], at: index) }
        } else if entries.count > Self.scannedMax {
            take(held, at: entries.count - 1)
        }
    }

    private mutating func take(_ held: HeldEntry, at index: Int) {
        entryIndex[held.row.id] = index
        if held.original == nil { newEntries[held.row.object, default: []].append(held.row.id) }
    }

    mutating func removeAll() {
        // A table grown by a large batch is slow to empty: keep small ones only.
        let isSmall = count <= 64
        objects.removeAll(keepingCapacity: isSmall)
        entries.removeAll(keepingCapacity: isSmall)
        if !objectIndex.isEmpty { objectIndex.removeAll(keepingCapacity: isSmall) }
        if !entryIndex.isEmpty { entryIndex.removeAll(keepingCapacity: isSmall) }
        if !newEntries.isEmpty { newEntries.removeAll(keepingCapacity: isSmall) }
    }
}
