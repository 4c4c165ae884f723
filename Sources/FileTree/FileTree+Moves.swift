import Base

/// Where directories are: the replicated tree of Kleppmann, Mulligan, Gomes and Beresford (2021), as if
/// all moves had run in the order of their stamps.
///
/// A move into the directory itself or below it, at that point of the order, has no effect. Only moves take
/// part: when a directory is first placed nothing is in it yet, since whatever is placed or moved into it has
/// seen it and so comes later in the order.
extension FileTree {
    /// Runs the moves of the batch: undoes all later ones, then redoes everything in order, once.
    func settleMoves() throws(StorageError) {
        guard !pendingMoves.isEmpty else { return }
        let pending = pendingMoves.sorted { writers.precedes($0.stamp, $1.stamp) }
        pendingMoves.removeAll(keepingCapacity: pending.count <= 64)
        guard let first = pending.first else { return }
        let later = try storage.moves(from: first.time)
            .filter { writers.precedes(first.stamp, $0.stamp) }
            .sorted { writers.precedes($0.stamp, $1.stamp) }

        var parents = ParentCache()
        for move in later.reversed() {
            guard let previous = move.previous else { continue }
            let entry = try directoryEntry(move.entry)
            entry.row.placement = previous
            parents[entry.row.object] = previous.parent
        }
        var new = pending[...]
        var old = later[...]
        while let move = new.first {
            if let known = old.first, writers.precedes(known.stamp, move.stamp) {
                try redo(old.removeFirst(), isNew: false, &parents)
            } else {
                try redo(new.removeFirst(), isNew: true, &parents)
            }
        }
        for move in old { try redo(move, isNew: false, &parents) }
    }

    /// The parents of directories at the current point of the order, as far as they were looked up.
    private typealias ParentCache = [ObjectID: ObjectID]

    private func redo(_ move: MoveRow, isNew: Bool, _ parents: inout ParentCache)
        throws(StorageError)
    {
        let entry = try directoryEntry(move.entry)
        var redone = move
        if try isInside(move.parent, entry.row.object, &parents) {
            redone.previous = nil
        } else {
            redone.previous = entry.row.placement
            entry.row.placement = Placement(
                parent: move.parent, name: move.name, stamp: move.stamp)
            parents[entry.row.object] = move.parent
        }
        if isNew || redone != move { try storage.put(redone) }
    }

    /// Whether `directory` is `ancestor` or somewhere below it.
    private func isInside(
        _ directory: ObjectID, _ ancestor: ObjectID, _ parents: inout ParentCache
    ) throws(StorageError) -> Bool {
        var current = directory
        while current != ancestor {
            guard current != .root else { return false }
            if let known = parents[current] {
                current = known
            } else {
                let parent = try parent(of: current)
                parents[current] = parent
                current = parent
            }
        }
        return true
    }

    /// Where a directory is, without holding the rows that say so: there may be many on the way up.
    private func parent(of directory: ObjectID) throws(StorageError) -> ObjectID {
        var object = held.object(directory)?.row
        if object == nil { object = try storage.object(directory) }
        let id = try required(object?.entry, "the place of \(directory)")
        var entry = held.entry(id)?.row
        if entry == nil { entry = try storage.entry(id) }
        return try required(entry, "entry \(id)").placement.parent
    }

    private func directoryEntry(_ id: EntryID) throws(StorageError) -> HeldEntry {
        try required(try entry(id), "entry \(id)")
    }
}
