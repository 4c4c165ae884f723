package import Base

/// Lets go of the rows that a checkpoint with the same settled history leaves out, some at a time while the view
/// goes on: what is shown stays as it is.
///
/// Each step may be the last before a crash: begin anew then. See <doc:Checkpoints>.
package struct SettledSweep {
    private enum Section {
        case needed, objects, moves, done
    }

    private enum Limits {
        static let page = 64
    }

    private let tree: FileTree
    private let settled: SettledHistory
    /// Objects that stay, whatever became of them.
    private let kept: Set<ObjectID>
    private let slots: [WriterSlot]
    private var watch: SweepWatch
    private var needed = NeededDirectories()

    private var section = Section.needed
    private var slotIndex = 0
    private var last: ObjectID?

    fileprivate init(_ tree: FileTree, _ settled: SettledHistory, keeping kept: Set<ObjectID>)
        throws(StorageError)
    {
        self.tree = tree
        self.settled = settled
        self.kept = kept
        slots = settled.clock.elements.map(\.writer)
        watch = SweepWatch()
        // From the first row on that goes: without it, what names such a row would break a rule.
        tree.state.forgotten.merge(settled.clock)
        try begin()
    }

    private mutating func begin() throws(StorageError) {
        (section, slotIndex, last) = (.needed, 0, nil)
        needed = NeededDirectories()
        watch = SweepWatch()
        tree.sweepWatch = watch
        let first = HybridTime(rawValue: settled.newestTime.rawValue &+ 1)
        let moves = try tree.storage.moves(from: first)
        try needed.needPlaces(
            of: moves, entry: tree.storage.entry(_:), entries: tree.storage.entries(of:))
    }

    /// Ends the sweep, done or not.
    package func end() {
        if tree.sweepWatch === watch { tree.sweepWatch = nil }
    }

    /// Looks at about so many rows. Between two batches; the tree is to be saved and the storage committed
    /// afterwards.
    ///
    /// - Returns: whether there is more to do.
    package mutating func step(rows count: Int) throws(StorageError) -> Bool {
        if watch.isLost { try begin() }
        for directory in watch.takeDirectories() {
            try needed.need(directory, entries: tree.storage.entries(of:))
        }
        var left = count
        while left > 0, section != .done {
            if section == .moves {
                let removed = try tree.storage.removeMoves(
                    upTo: settled.newestTime, limit: left)
                if removed < left { section = .done }
                left -= max(removed, 1)
            } else {
                left -= try takePage()
            }
        }
        return section != .done
    }

    private mutating func takePage() throws(StorageError) -> Int {
        guard slotIndex < slots.count else {
            section = section == .needed ? .objects : .moves
            (slotIndex, last) = (0, nil)
            return 1
        }
        let slot = slots[slotIndex]
        let page = try tree.storage.objects(of: slot, after: last, limit: Limits.page)
        var rows = 1
        for id in page where settled.clock.covers(id) { rows += try take(id) }
        last = page.last
        if page.last.map(settled.clock.covers) != true {
            (slotIndex, last) = (slotIndex + 1, nil)
        }
        return rows
    }

    /// - Returns: how many rows were looked at.
    private mutating func take(_ id: ObjectID) throws(StorageError) -> Int {
        let storage = tree.storage
        guard var row = try storage.object(id) else { return 1 }
        let entries = try storage.entries(of: id)
        let judgement = settled.judge(row, entries, isNeeded: needed.contains(id))
        guard section == .objects else {
            try needed.needPlaces(of: entries, judgement, entries: storage.entries(of:))
            return 1 + entries.count
        }
        // Whatever has to do with something that changed meanwhile is looked at another time.
        guard !kept.contains(id), !watch.hasTouched(id) else { return 1 + entries.count }
        let versions = row.kind == .file ? try storage.versions(of: id) : []
        let xattrs = try storage.xattrs(of: id)
        if judgement.isForgotten, try tree.releaseNumber(of: row) {
            for entry in entries { try storage.remove(entry) }
            for version in versions { try storage.remove(version) }
            for xattr in xattrs { try storage.remove(xattr) }
            if let row = try storage.object(id) { try storage.remove(row) }
        } else {
            // An object as a whole stays for its number's sake: so do its entries.
            if !judgement.isForgotten, !judgement.buried.isEmpty {
                for entry in judgement.buried { try storage.remove(entry) }
                row.removedEntries -= min(row.removedEntries, UInt64(judgement.buried.count))
                try storage.put(row)
            }
            let kept = Set(settled.kept(versions).map(\.id))
            for version in versions where !kept.contains(version.id) {
                try storage.remove(version)
            }
            for xattr in xattrs where settled.forgets(xattr) { try storage.remove(xattr) }
        }
        return 1 + entries.count + versions.count + xattrs.count
    }
}

/// What changed while a sweep goes on.
final class SweepWatch {
    private var touched: Set<ObjectID> = []
    /// Those not yet told.
    private var untold: [ObjectID] = []
    /// More has changed than is held in memory.
    private(set) var isLost = false

    func hasTouched(_ id: ObjectID) -> Bool { touched.contains(id) }

    func note(_ id: ObjectID) {
        guard !isLost, touched.insert(id).inserted else { return }
        untold.append(id)
        if touched.count >= Limits.sweepRowsMax { isLost = true }
    }

    func note(_ row: EntryRow, before storage: any TreeStorage) throws(StorageError) {
        note(row.object)
        note(row.placement.parent)
        if let parent = try storage.entry(row.id)?.placement.parent { note(parent) }
    }

    func takeDirectories() -> [ObjectID] {
        defer { untold = [] }
        return untold
    }
}

extension FileTree {
    /// Begins to let go of what is settled; one at a time, between two batches, and not while a checkpoint is
    /// being written.
    ///
    /// - Parameter kept: objects that must stay.
    package func beginSweep(of settled: SettledHistory, keeping kept: Set<ObjectID>)
        throws(StorageError) -> SettledSweep
    {
        try save()
        return try SettledSweep(self, settled, keeping: kept)
    }
}
