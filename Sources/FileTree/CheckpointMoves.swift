import Base

/// Whether the moves of directories in a checkpoint are such as can have been: whoever undoes them finds where each
/// directory was before, and does not walk in circles.
///
/// Whoever signed the checkpoint chose how deep the directories lie and how many moves there are. The work
/// is a few look-ups of rows for each directory and each move, and what a `MovingForest` takes to follow them.
struct CheckpointMoves {
    private let tree: FileTree
    private var places: [EntryID: Placement] = [:]
    /// By directory, where it was before all moves, for those that moved.
    private var parents: [ObjectID: ObjectID] = [:]
    private var forest = MovingForest()
    private var nodes: [ObjectID: Int] = [:]

    init(_ tree: FileTree) {
        self.tree = tree
        nodes[.root] = forest.add()
    }

    /// - Precondition: every directory reaches the root, and all rows are in storage.
    mutating func areSound() throws(StorageError) -> Bool {
        let writers = tree.writers
        let moves = try tree.storage.moves(from: .zero)
            .sorted { writers.precedes($0.stamp, $1.stamp) }
        for move in moves.reversed() {
            guard let previous = move.previous else { continue }
            guard let (place, object) = try place(of: move.entry), place == move.placement
            else { return false }
            places[move.entry] = previous
            parents[object] = previous.parent
        }
        for object in parents.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            guard try node(of: object) != nil else { return false }
        }
        for move in moves {
            guard let (place, object) = try place(of: move.entry),
                let moved = try node(of: object), let parent = try node(of: move.parent)
            else { return false }
            guard let previous = move.previous else {
                // It had no effect, for the reason that there can be.
                guard forest.isInside(parent, moved) else { return false }
                continue
            }
            guard place == previous, !forest.isInside(parent, moved) else { return false }
            places[move.entry] = move.placement
            forest.cut(moved)
            forest.link(moved, below: parent)
        }
        return true
    }

    private func place(of entry: EntryID) throws(StorageError) -> (Placement, ObjectID)? {
        guard let row = try tree.storage.entry(entry) else { return nil }
        return (places[entry] ?? row.placement, row.object)
    }

    /// A directory's node in the forest, where it and those above it are put if they are not there.
    ///
    /// A directory that comes in after the first move has never moved, and what is above it neither, up to where
    /// the forest ends.
    ///
    /// - Returns: nil if the way to the root leads into a ring.
    private mutating func node(of directory: ObjectID) throws(StorageError) -> Int? {
        if let known = nodes[directory] { return known }
        let first = forest.count
        var current = directory
        var below: Int?
        while true {
            let known = nodes[current]
            // It was come by on the way.
            if let known, known >= first { return nil }
            let node = known ?? forest.add()
            if let below { forest.link(below, below: node) }
            guard known == nil else { return first }
            nodes[current] = node
            below = node
            guard let parent = try parent(of: current) else { return nil }
            current = parent
        }
    }

    private func parent(of directory: ObjectID) throws(StorageError) -> ObjectID? {
        if let known = parents[directory] { return known }
        guard let entry = try tree.storage.object(directory)?.entry else { return nil }
        return try tree.storage.entry(entry)?.placement.parent
    }
}

extension MoveRow {
    /// Where it puts its directory.
    fileprivate var placement: Placement { Placement(parent: parent, name: name, stamp: stamp) }
}
