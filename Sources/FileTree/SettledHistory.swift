import Base

/// What no later operation can depend on any more: every active member has seen it, and has written since, some
/// time later.
///
/// The blocks of its clock are closed: whatever one of them has seen is among them. Every operation that is
/// still to come has seen them all, and has a time later than any of them by more than the tree's
/// `settlesAfter`.
struct SettledHistory {
    let clock: Clock
    /// The greatest time of any block in it.
    let newestTime: HybridTime

    var isEmpty: Bool { clock.elements.isEmpty }

    /// Moves up to there are final: none can come before them.
    func covers(_ move: MoveRow) -> Bool { !isEmpty && move.time <= newestTime }

    /// Whether an entry can never show again.
    func forgets(_ entry: EntryRow) -> Bool {
        !isEmpty && entry.isDead && !entry.isVisible && clock.covers(entry.id)
            && clock.covers(entry.placement.stamp.operation)
            && entry.lives.allSatisfy(clock.covers) && entry.removals.allSatisfy(clock.covers)
    }

    /// Whether an object can never show again, given all its entries.
    func forgets(_ object: ObjectRow, _ entries: [EntryRow]) -> Bool {
        guard !isEmpty, object.id != .root, object.links == 0, object.visibleChildren == 0 else {
            return false
        }
        return clock.covers(object.id) && clock.covers(object.changed.operation)
            && entries.allSatisfy(forgets)
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
