import Base

/// What no later operation can depend on any more: every active member has seen it, and has written since, some
/// time later.
///
/// The blocks of its clock are closed: whatever one of them has seen is among them. Every operation that is
/// still to come has seen them all, and has a time later than any of them by more than the tree's
/// `settlesAfter`.
package struct SettledHistory: Equatable, Sendable {
    package let clock: Clock
    /// The greatest time of any block in it.
    package let newestTime: HybridTime

    package static let none = SettledHistory(clock: Clock(), newestTime: .zero)

    package init(clock: Clock, newestTime: HybridTime) {
        self.clock = clock
        self.newestTime = newestTime
    }

    var isEmpty: Bool { clock.elements.isEmpty }

    /// Moves up to there are final: none can come before them.
    func covers(_ move: MoveRow) -> Bool { !isEmpty && move.time <= newestTime }

    /// Whether an entry can never show again. A program that saves a file may put it back that it removed first,
    /// but does so at once: a member who has removed something settled has written a long time later.
    private func buries(_ entry: EntryRow) -> Bool {
        !isEmpty && entry.isDead && !entry.isVisible && clock.covers(entry.id)
            && clock.covers(entry.placement.stamp.operation)
            && entry.lives.allSatisfy(clock.covers)
            && entry.removals.allSatisfy(clock.covers)
    }

    /// What is left out of an object, given all its entries.
    ///
    /// - Parameter isNeeded: whether it is a directory in which something may come to show.
    func judge(_ object: ObjectRow, _ entries: [EntryRow], isNeeded: Bool) -> Judgement {
        guard !isEmpty, !isNeeded else { return Judgement(isForgotten: false, buried: []) }
        let buried = entries.filter(buries)
        let isForgotten =
            object.id != .root && object.links == 0 && object.visibleChildren == 0
            && clock.covers(object.id) && clock.covers(object.changed.operation)
            && buried.count == entries.count
        // What was in a directory may be there again, and show it: it goes as a whole.
        let isWhole = isForgotten || object.kind != .directory
        return Judgement(isForgotten: isForgotten, buried: isWhole ? buried : [])
    }

    /// What is left out of one object.
    struct Judgement {
        /// All of it.
        let isForgotten: Bool
        let buried: [EntryRow]

        func forgets(_ entry: EntryRow) -> Bool { buried.contains { $0.id == entry.id } }
    }

    /// A removed attribute leaves a mark that later values would have to beat; all do.
    func forgets(_ xattr: XattrRow) -> Bool {
        !isEmpty && xattr.value == nil && clock.covers(xattr.stamp.operation)
    }

    /// The versions of a file that later ones may succeed or be merged over.
    ///
    /// What is still to come descends from the heads that the settled blocks leave, or is cut off from what
    /// came before these, for everybody: its author had seen them for long. With several such heads what
    /// they have in common may still be asked for, and so it may where a version that is here, and not
    /// settled, descends from something older.
    func kept(_ versions: [VersionRow]) -> [VersionRow] {
        guard !isEmpty, versions.count > 1 else { return versions }
        var succeeded: Set<VersionID> = []
        for version in versions where clock.covers(version.id) {
            succeeded.formUnion(version.parents)
        }
        let heads = versions.filter { clock.covers($0.id) && !succeeded.contains($0.id) }
        guard heads.count == 1, let head = heads.first else { return versions }
        let isAlone = versions.allSatisfy { version in
            if clock.covers(version.id) || version.lineage == .cut { return true }
            return !version.parents.isEmpty
                && version.parents.allSatisfy { !clock.covers($0) || $0 == head.id }
        }
        guard isAlone else { return versions }
        return versions.filter { !clock.covers($0.id) || !succeeded.contains($0.id) || $0.isHead }
    }
}

/// Directories that do not show, and in which something may come to show again.
struct NeededDirectories {
    private(set) var ids: Set<ObjectID> = []

    func contains(_ id: ObjectID) -> Bool { ids.contains(id) }

    /// Takes up a directory, and those above it that do not show.
    mutating func need(
        _ directory: ObjectID, entries: (ObjectID) throws(StorageError) -> [EntryRow]
    ) throws(StorageError) {
        var current = directory
        while current != .root, !ids.contains(current),
            let entry = try entries(current).first, !entry.isVisible
        {
            ids.insert(current)
            current = entry.placement.parent
        }
    }

    /// Takes up where an object's entries are that are gone, and may come back.
    mutating func needPlaces(
        of object: [EntryRow], _ judgement: SettledHistory.Judgement,
        entries: (ObjectID) throws(StorageError) -> [EntryRow]
    ) throws(StorageError) {
        for entry in object where entry.isDead && !judgement.forgets(entry) {
            try need(entry.placement.parent, entries: entries)
        }
    }

    /// Takes up what moves that may be undone have to do with.
    mutating func needPlaces(
        of moves: [MoveRow], entry: (EntryID) throws(StorageError) -> EntryRow?,
        entries: (ObjectID) throws(StorageError) -> [EntryRow]
    ) throws(StorageError) {
        for move in moves {
            if let object = try entry(move.entry)?.object { try need(object, entries: entries) }
            try need(move.parent, entries: entries)
            if let previous = move.previous { try need(previous.parent, entries: entries) }
        }
    }
}
