import Base

/// Whether the moves of directories in a checkpoint are such as can have been: whoever undoes them finds where each
/// directory was before, and does not walk in circles.
struct CheckpointMoves {
    private enum Limits {
        /// Steps towards the root, in all.
        static let steps = 1 << 26
    }

    private let tree: FileTree
    private var places: [EntryID: Placement] = [:]
    private var parents: [ObjectID: ObjectID] = [:]
    private var stepsLeft = Limits.steps

    init(_ tree: FileTree) { self.tree = tree }

    /// - Precondition: every directory reaches the root, and all rows are in storage.
    mutating func areSound() throws(StorageError) -> Bool {
        let writers = tree.writers
        let moves = try tree.storage.moves(from: .zero)
            .sorted { writers.precedes($0.stamp, $1.stamp) }
        for move in moves.reversed() {
            guard let previous = move.previous else { continue }
            guard let (place, object) = try place(of: move.entry),
                place == Placement(parent: move.parent, name: move.name, stamp: move.stamp)
            else { return false }
            places[move.entry] = previous
            parents[object] = previous.parent
        }
        for object in parents.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            guard try reachesRoot(object) else { return false }
        }
        for move in moves {
            guard let (place, object) = try place(of: move.entry),
                let isInside = try isInside(move.parent, object),
                isInside == (move.previous == nil)
            else { return false }
            guard let previous = move.previous else { continue }
            guard place == previous else { return false }
            places[move.entry] = Placement(
                parent: move.parent, name: move.name, stamp: move.stamp)
            parents[object] = move.parent
        }
        return true
    }

    private func place(of entry: EntryID) throws(StorageError) -> (Placement, ObjectID)? {
        guard let row = try tree.storage.entry(entry) else { return nil }
        return (places[entry] ?? row.placement, row.object)
    }

    private func parent(of directory: ObjectID) throws(StorageError) -> ObjectID? {
        if let known = parents[directory] { return known }
        guard let entry = try tree.storage.object(directory)?.entry else { return nil }
        return try tree.storage.entry(entry)?.placement.parent
    }

    private mutating func reachesRoot(_ directory: ObjectID) throws(StorageError) -> Bool {
        var path: Set<ObjectID> = []
        var current = directory
        while current != .root {
            stepsLeft -= 1
            guard stepsLeft > 0, path.insert(current).inserted,
                let parent = try parent(of: current)
            else { return false }
            current = parent
        }
        return true
    }

    /// - Returns: nil if it takes too long to tell.
    private mutating func isInside(_ directory: ObjectID, _ ancestor: ObjectID)
        throws(StorageError) -> Bool?
    {
        var current = directory
        while current != ancestor {
            guard current != .root else { return false }
            stepsLeft -= 1
            guard stepsLeft > 0, let parent = try parent(of: current) else { return nil }
            current = parent
        }
        return true
    }
}
