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

        // Undone, a directory is where the first of its later moves found it.
        var places = Places()
        for move in later {
            guard let previous = move.previous, places.entries[move.entry] == nil else { continue }
            let object = try place(of: move.entry, &places).object
            places.move(move.entry, object, to: previous)
        }
        var new = pending[...]
        var old = later[...]
        while let move = new.first {
            if let known = old.first, writers.precedes(known.stamp, move.stamp) {
                try redo(old.removeFirst(), isNew: false, &places)
            } else {
                try redo(new.removeFirst(), isNew: true, &places)
            }
        }
        for move in old { try redo(move, isNew: false, &places) }
        // Most are where they were: what follows from a row that changes need not be worked out for them.
        for (id, known) in places.entries.sorted(by: { $0.key.rawValue < $1.key.rawValue })
        where known.now != known.before {
            try required(try entry(id), "entry \(id)").row.placement = known.now
        }
    }

    /// Where directories are at the current point of the order, as far as they were looked up.
    private struct Places {
        struct Known {
            let object: ObjectID
            let before: Placement
            var now: Placement
        }

        var entries: [EntryID: Known] = [:]
        var parents: [ObjectID: ObjectID] = [:]

        mutating func move(_ entry: EntryID, _ object: ObjectID, to place: Placement) {
            entries[entry]?.now = place
            parents[object] = place.parent
        }
    }

    private func place(of id: EntryID, _ places: inout Places) throws(StorageError)
        -> Places.Known
    {
        if let known = places.entries[id] { return known }
        var row = held.entry(id)?.row
        if row == nil { row = try storage.entry(id) }
        let found = try required(row, "entry \(id)")
        let known = Places.Known(
            object: found.object, before: found.placement, now: found.placement)
        places.entries[id] = known
        return known
    }

    private func redo(_ move: MoveRow, isNew: Bool, _ places: inout Places)
        throws(StorageError)
    {
        let known = try place(of: move.entry, &places)
        var redone = move
        if try isInside(move.parent, known.object, &places.parents) {
            redone.previous = nil
        } else {
            redone.previous = known.now
            places.move(
                move.entry, known.object,
                to: Placement(parent: move.parent, name: move.name, stamp: move.stamp))
        }
        if isNew || redone != move { try put(redone) }
    }

    /// Whether `directory` is `ancestor` or somewhere below it.
    private func isInside(
        _ directory: ObjectID, _ ancestor: ObjectID, _ parents: inout [ObjectID: ObjectID]
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
}
