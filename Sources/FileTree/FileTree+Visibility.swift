import Base

/// What is visible: an entry that is alive, and a directory with a visible entry in it.
///
/// Each directory counts its visible entries, so a change climbs only as far as a count leaves or reaches
/// zero.
extension FileTree {
    func settleVisibility() throws(StorageError) {
        // The list grows while it is worked through: a directory that appears or vanishes appends itself.
        var queue: [HeldEntry] = held.entries
        var index = 0
        while index < queue.count {
            try settle(queue[index], &queue)
            index += 1
        }
    }

    private func settle(_ entry: HeldEntry, _ queue: inout [HeldEntry]) throws(StorageError) {
        let counted = try isVisible(entry) ? entry.row.placement.parent : nil
        guard counted != entry.counted else { return }
        let object = try required(try object(entry.row.object), "object \(entry.row.object)")
        if let before = entry.counted {
            object.row.links -= 1
            try count(-1, in: before, &queue)
        }
        if let counted {
            object.row.links += 1
            try count(1, in: counted, &queue)
        }
        entry.counted = counted
    }

    private func isVisible(_ entry: HeldEntry) throws(StorageError) -> Bool {
        guard entry.row.isDead else { return true }
        guard entry.row.kind == .directory else { return false }
        return try required(try object(entry.row.object), "directory \(entry.row.object)")
            .row.visibleChildren > 0
    }

    private func count(_ change: Int, in directory: ObjectID, _ queue: inout [HeldEntry])
        throws(StorageError)
    {
        let object = try required(try object(directory), "directory \(directory)")
        let wasEmpty = object.row.visibleChildren == 0
        object.row.visibleChildren =
            change > 0 ? object.row.visibleChildren + 1 : object.row.visibleChildren - 1
        guard wasEmpty != (object.row.visibleChildren == 0), let id = object.row.entry else {
            return
        }
        queue.append(try required(try entry(id), "entry \(id)"))
    }
}
