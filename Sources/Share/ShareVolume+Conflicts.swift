package import Base
package import Chunks
import FileTree

/// What people ask about conflicts, and how they settle them.
extension ShareVolume {
    /// Every conflict of the view, below a directory if one is named, in an order that stays the same
    /// while nothing changes. The cost is that of the conflicts, however many files there are.
    package func conflicts(below path: [[UInt8]] = []) throws(VolumeError) -> [ShareConflict] {
        var found: [ShareConflict] = []
        var last: ConflictRow?
        var isFirst = true
        // The lock is taken for a few at a time: the filesystem goes on meanwhile.
        while isFirst || last != nil {
            isFirst = false
            let page = try engine.withLock { (engine) throws(VolumeError) in
                try Engine.stored { () throws(StorageError) in
                    try engine.conflicts(after: last, limit: 64)
                }
            }
            found += page.conflicts.filter { $0.path.starts(with: path) }
            last = page.last
        }
        return found
    }

    /// The conflict that a path is part of, be it the name itself or one that shows beside it.
    ///
    /// - Returns: nil if there is none.
    package func conflict(at path: [[UInt8]]) throws(VolumeError) -> ShareConflict? {
        try engine.withLock { (engine) throws(VolumeError) in
            guard let contest = try engine.contest(at: path) else { return nil }
            return try Engine.stored { () throws(StorageError) in try engine.conflict(contest) }
        }
    }

    /// The content that two versions have both come from.
    ///
    /// - Returns: nil if there is none, or more than one, or one of the two is no version of a file.
    package func base(of left: NodeID, _ right: NodeID) throws(VolumeError)
        -> (node: NodeID, size: UInt64)?
    {
        try engine.withLock { (engine) throws(VolumeError) in
            let (left, right) = (try engine.operation(left), try engine.operation(right))
            let bases = try Engine.stored { () throws(StorageError) in
                guard try engine.storage.version(left) != nil,
                    try engine.storage.version(right) != nil
                else { return [VersionRow]() }
                return try engine.tree.bases(of: left, right)
            }
            guard let only = bases.first, bases.count == 1 else { return nil }
            return (NodeID(only.id), only.size)
        }
    }

    // MARK: Settling

    /// Settles a conflict for everybody.
    ///
    /// - Returns: the path as it was contested.
    @discardableResult
    package func resolve(_ path: [[UInt8]], _ wanted: Resolution) throws(ResolutionError)
        -> [[UInt8]]
    {
        try settle(path, seen: nil) { (engine, contest) throws(ResolutionError) in
            wanted == .both ? .keepAll : .keep(try engine.contender(wanted, in: contest))
        }
    }

    /// Settles a conflict of files with a version made from them.
    ///
    /// - Parameters:
    ///   - content: its chunks are in the chunk storage, and synced there.
    ///   - seen: ids of the versions it was made from: others stay.
    package func resolve(
        _ path: [[UInt8]], with content: Content, modified: Timestamp, seen: [String]
    ) throws(ResolutionError) -> [[UInt8]] {
        try settle(path, seen: seen) { _, _ in
            .merge(
                Operation.Write(
                    object: .root, parents: [], size: content.size, modified: modified,
                    content: content.encode()))
        }
    }

    private func settle(
        _ path: [[UInt8]], seen: [String]?,
        _ choose: (Engine, Contest) throws(ResolutionError) -> Engine.Settlement
    ) throws(ResolutionError) -> [[UInt8]] {
        var changes: [ViewChange] = []
        // Also if it fails: what others did is told once.
        defer {
            environment.wake()
            notify(changes)
        }
        return try engine.withLock { (engine) throws(ResolutionError) in
            let (contest, whole) = try engine.contestToSettle(at: path)
            let settlement = try choose(engine, contest)
            var operations: Set<OperationID>?
            if let seen {
                operations = Set(
                    contest.contenders.map(\.stamp.operation).filter { operation in
                        seen.contains { OperationName.matches($0, operation, engine.writers) }
                    })
                // What was merged has been settled otherwise meanwhile.
                guard operations?.count == seen.count else { throw .noConflict }
            }
            // No kernel asked for this, so none knows of it.
            defer { changes = engine.takeChanges() }
            try engine.settle(contest, settlement, seen: operations)
            return whole
        }
    }
}

extension Engine {
    fileprivate func contestToSettle(at path: [[UInt8]]) throws(ResolutionError)
        -> (Contest, [[UInt8]])
    {
        do throws(VolumeError) {
            guard let contest = try contest(at: path) else { throw .notFound }
            let directory = try Self.stored { () throws(StorageError) in
                try tree.names(leadingTo: contest.directory)
            }
            guard let directory else { throw .notFound }
            return (contest, directory + [contest.name])
        } catch .notFound {
            throw .noConflict
        } catch {
            throw .volume(error)
        }
    }
}
