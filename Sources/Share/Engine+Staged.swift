import Base
import FileTree

/// What a crash leaves of files that were written and are no version yet. A record goes where its file's bytes go,
/// in the transaction that moves them: after a crash between the two, bytes that were replaced would come
/// back beside what replaced them, and those of a removed file would bring it back.
extension Engine {
    /// Remembers what is staged of a file for a crash, unless it was removed here a moment ago.
    mutating func recordStaged(_ staged: StagedFile) throws(VolumeError) {
        var staged = current(staged)
        if let id = staged.node.operation, let file = try refuge(for: id) {
            staged.node = NodeID(file)
            staged.parents = []
        }
        if removedHere.contains(staged.node), let id = staged.node.operation {
            let isNowhere = try !hasName(id)
            if isNowhere, try isRemovedHere(id) { return }
        }
        try Self.stored { () throws(StorageError) in try storage.putStaged(staged) }
        markDirty()
    }

    /// A file has lost a name.
    mutating func forgetStagedIfGone(_ id: OperationID) throws(VolumeError) {
        guard try !hasName(id) else { return }
        try Self.stored { () throws(StorageError) in try storage.removeStaged(NodeID(id)) }
        removedHere.insert(NodeID(id))
    }

    /// A file goes on as another, whose own bytes are replaced.
    ///
    /// - Parameter versions: what the other shows now, which the next one follows.
    func moveStaged(from source: OperationID, to target: OperationID, after versions: [VersionID])
        throws(VolumeError)
    {
        let staged = try takeStaged(source)
        _ = try takeStaged(target)
        try giveStaged(staged, to: target, after: versions)
    }

    /// Two files have changed places: `kept` goes on with the bytes of `former`, if it shows at all.
    ///
    /// - Parameter version: what `former` got.
    func exchangeStaged(
        _ kept: OperationID, with former: OperationID, after version: VersionID
    ) throws(VolumeError) {
        let new = try takeStaged(kept)
        let old = try takeStaged(former)
        try giveStaged(new, to: former, after: [version])
        guard let old, try hasName(kept) else { return }
        // What the publisher of the bytes follows, too (`Filesystem.show`).
        let shown = try shownContent(kept).versions
        try giveStaged(old, to: kept, after: Array(shown.prefix(1)))
    }

    private func takeStaged(_ id: OperationID) throws(VolumeError) -> StagedFile? {
        try Self.stored { () throws(StorageError) in
            guard let staged = try storage.staged(NodeID(id)) else { return nil }
            try storage.removeStaged(NodeID(id))
            return staged
        }
    }

    private func giveStaged(
        _ staged: StagedFile?, to id: OperationID, after versions: [VersionID]
    ) throws(VolumeError) {
        guard var staged else { return }
        staged.node = NodeID(id)
        staged.parents = versions.map(\.rawValue)
        try Self.stored { () throws(StorageError) in try storage.putStaged(staged) }
    }
}
