/// A row in memory while operations change it, beside what it was when the flush began.
final class Held<Row: Equatable> {
    /// Nil if the row is new.
    let original: Row?
    var row: Row
    /// What storage has.
    var stored: Row?

    init(stored: Row) {
        original = stored
        row = stored
        self.stored = stored
    }

    init(new row: Row) {
        original = nil
        self.row = row
        stored = nil
    }

    var isChanged: Bool { stored != row }
}

final class HeldEntry {
    let rows: Held<EntryRow>
    /// The directory that counts this entry among its visible children.
    var counted: ObjectID?

    init(_ rows: Held<EntryRow>) {
        self.rows = rows
        counted = rows.original?.isVisible == true ? rows.original?.placement.parent : nil
    }

    var original: EntryRow? { rows.original }
    var row: EntryRow {
        get { rows.row }
        _modify { yield &rows.row }
    }
}

/// The rows that operations since the last flush have read or changed, in the order they came.
struct HeldRows {
    private(set) var objects: [Held<ObjectRow>] = []
    private(set) var entries: [HeldEntry] = []
    private var objectIndex: [ObjectID: Int] = [:]
    private var entryIndex: [EntryID: Int] = [:]
    /// Entries that storage does not know yet, by object.
    private var newEntries: [ObjectID: [EntryID]] = [:]

    var count: Int { objects.count + entries.count }

    func object(_ id: ObjectID) -> Held<ObjectRow>? { objectIndex[id].map { objects[$0] } }
    func entry(_ id: EntryID) -> HeldEntry? { entryIndex[id].map { entries[$0] } }
    func newEntries(of object: ObjectID) -> [EntryID] { newEntries[object] ?? [] }

    mutating func hold(_ held: Held<ObjectRow>) {
        objectIndex[held.row.id] = objects.count
        objects.append(held)
    }

    mutating func hold(_ held: HeldEntry) {
        entryIndex[held.row.id] = entries.count
        entries.append(held)
        if held.original == nil { newEntries[held.row.object, default: []].append(held.row.id) }
    }

    mutating func removeAll() {
        // A table grown by a large batch is slow to empty: keep small ones only.
        let isSmall = count <= 64
        objects.removeAll(keepingCapacity: isSmall)
        entries.removeAll(keepingCapacity: isSmall)
        objectIndex.removeAll(keepingCapacity: isSmall)
        entryIndex.removeAll(keepingCapacity: isSmall)
        newEntries.removeAll(keepingCapacity: isSmall)
    }
}
