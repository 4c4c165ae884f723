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
        let later = try laterMoves(than: first.stamp)
        // Undone, a directory is where the first of its later moves found it.
        var places = Places()
        for move in later {
            guard let previous = move.previous, places.index[move.entry] == nil else { continue }
            places.put(try place(of: move.entry, &places), at: previous)
        }
        var next = later.startIndex
        for move in pending {
            while next < later.endIndex, writers.precedes(later[next].stamp, move.stamp) {
                try redo(later[next], isNew: false, &places)
                next += 1
            }
            try redo(move, isNew: true, &places)
        }
        for move in later[next...] { try redo(move, isNew: false, &places) }
        // Most are where they were: what follows from a row that changes need not be worked out for them.
        for known in places.known.sorted(by: { $0.entry.rawValue < $1.entry.rawValue })
        where known.now != known.before {
            try required(try entry(known.entry), "entry \(known.entry)").row.placement = known.now
        }
    }

    /// The moves that come after one in the order of operations, in that order.
    private func laterMoves(than first: Stamp) throws(StorageError) -> ArraySlice<MoveRow> {
        let moves = try storage.moves(from: first.time)
        // By time they are in order already; only those of one time may not be, and hardly ever are there two.
        let areInOrder = zip(moves, moves.dropFirst()).allSatisfy { left, right in
            left.time < right.time || writers.precedes(left.stamp, right.stamp)
        }
        let sorted = areInOrder ? moves : moves.sorted { writers.precedes($0.stamp, $1.stamp) }
        return sorted.drop { !writers.precedes(first, $0.stamp) }
    }

    /// Where directories are at the current point of the order, as far as they were looked up.
    private struct Places {
        struct Known {
            let entry: EntryID
            let object: ObjectID
            let before: Placement
            var now: Placement
        }

        var known: [Known] = []
        var index: [EntryID: Int] = [:]
        var parents: [ObjectID: ObjectID] = [:]

        mutating func put(_ index: Int, at place: Placement) {
            known[index].now = place
            parents[known[index].object] = place.parent
        }
    }

    /// - Returns: the index of what is known of it.
    private func place(of id: EntryID, _ places: inout Places) throws(StorageError) -> Int {
        if let known = places.index[id] { return known }
        var row = held.entry(id)?.row
        if row == nil { row = try storage.entry(id) }
        let found = try required(row, "entry \(id)")
        places.index[id] = places.known.count
        places.known.append(
            Places.Known(
                entry: id, object: found.object, before: found.placement, now: found.placement))
        return places.known.count - 1
    }

    private func redo(_ move: MoveRow, isNew: Bool, _ places: inout Places)
        throws(StorageError)
    {
        let index = try place(of: move.entry, &places)
        let isRing = try isInside(move.parent, places.known[index].object, &places.parents)
        let stamp = isRing ? nil : places.known[index].now.stamp
        // A placement is what its operation made of it: the stamp tells all.
        if isNew || stamp != move.previous?.stamp {
            var redone = move
            redone.previous = isRing ? nil : places.known[index].now
            try put(redone)
        }
        if !isRing {
            places.put(
                index, at: Placement(parent: move.parent, name: move.name, stamp: move.stamp))
        }
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
