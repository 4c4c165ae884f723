package import Base
package import Chunks

/// A file's content as an opener is shown it.
package struct OpenedContent: Equatable, Sendable {
    /// The versions whose bytes these are: the parents of what the opener will save.
    package var versions: [UInt64]
    package var content: Content
    package var modified: Timestamp

    package init(versions: [UInt64], content: Content, modified: Timestamp) {
        self.versions = versions
        self.content = content
        self.modified = modified
    }
}

/// A new version of a file, its chunks already in the chunk storage (and synced there).
package struct Save: Sendable {
    package var node: NodeID
    /// What the writer had been shown, from `OpenedContent.versions` or `Published.version`.
    package var parents: [UInt64]
    package var content: Content
    package var modified: Timestamp
    /// Whether the staging record of this node is settled by this save.
    package var settlesStaging: Bool

    package init(
        node: NodeID, parents: [UInt64], content: Content, modified: Timestamp, settlesStaging: Bool
    ) {
        self.node = node
        self.parents = parents
        self.content = content
        self.modified = modified
        self.settlesStaging = settlesStaging
    }
}

package struct Published: Equatable, Sendable {
    /// The node that now has the content: another than the saved one if that was a conflict copy,
    /// which an edit turns into a file of its own.
    package var node: NodeID
    /// The parent of the writer's next save.
    package var version: UInt64

    package init(node: NodeID, version: UInt64) {
        self.node = node
        self.version = version
    }
}

/// Dirty data that survives a crash: what the staging file `file` holds of a node's next version.
package struct StagedFile: Equatable, Sendable {
    package var node: NodeID
    package var parents: [UInt64]
    /// What lies under the dirty ranges.
    package var base: Content
    package var size: UInt64
    package var modified: Timestamp
    /// Ascending, not touching; bytes of the staging file that replace the base's.
    package var dirty: [Range<UInt64>]
    /// Names the staging file in the `StagingArea`.
    package var file: UInt64

    package init(
        node: NodeID, parents: [UInt64], base: Content, size: UInt64, modified: Timestamp,
        dirty: [Range<UInt64>], file: UInt64
    ) {
        self.node = node
        self.parents = parents
        self.base = base
        self.size = size
        self.modified = modified
        self.dirty = dirty
        self.file = file
    }
}

/// What `statfs` needs to know beyond the local disk.
package struct VolumeStatistics: Equatable, Sendable {
    package var files: UInt64
    package var bytes: UInt64
    package var diskBytesTotal: UInt64
    package var diskBytesFree: UInt64

    package init(files: UInt64, bytes: UInt64, diskBytesTotal: UInt64, diskBytesFree: UInt64) {
        self.files = files
        self.bytes = bytes
        self.diskBytesTotal = diskBytesTotal
        self.diskBytesFree = diskBytesFree
    }
}

/// A change that did not come through the caller: what the kernel must forget.
package enum ViewChange: Hashable, Sendable {
    case entry(directory: NodeID, name: [UInt8])
    case attributes(NodeID)
    case content(NodeID)
}

package protocol VolumeObserver: AnyObject, Sendable {
    /// Called without any lock held, on the thread that applied the change; must not block.
    func volumeChanged(_ changes: [ViewChange])
}

/// One share as a filesystem sees it. Thread-safe; every call returns without waiting for the
/// network. Permission checks are the kernel's (`default_permissions`).
package protocol Volume: AnyObject, Sendable {
    func lookup(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> Attributes
    func attributes(of node: NodeID) throws(VolumeError) -> Attributes
    /// The node that shows `number`, as in `Attributes`, and has a name.
    func node(showing number: NodeID) throws(VolumeError) -> NodeID
    /// One lock for many; nil where a node is gone.
    func attributes(of nodes: [NodeID]) throws(VolumeError) -> [Attributes?]
    func setAttributes(of node: NodeID, to change: AttributeChange) throws(VolumeError)
        -> Attributes
    /// The directory that holds `directory`; the root is its own parent.
    func parent(of directory: NodeID) throws(VolumeError) -> NodeID
    /// Every name in the directory, without `.` and `..`, in a stable order.
    func list(_ directory: NodeID) throws(VolumeError) -> [DirectoryItem]

    func make(_ name: [UInt8], in directory: NodeID, _ request: MakeRequest) throws(VolumeError)
        -> Attributes
    func link(_ node: NodeID, as name: [UInt8], in directory: NodeID) throws(VolumeError)
        -> Attributes
    /// - Returns: the node that lost the name.
    @discardableResult
    func unlink(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID
    @discardableResult
    func removeDirectory(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID
    /// The content of the source must have been published if the target exists.
    func rename(
        _ name: [UInt8], in directory: NodeID, to newName: [UInt8], in newDirectory: NodeID,
        _ mode: RenameMode
    ) throws(VolumeError) -> RenameResult
    func readLink(_ node: NodeID) throws(VolumeError) -> [UInt8]

    func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError) -> [UInt8]
    func extendedAttributeNames(of node: NodeID) throws(VolumeError) -> [[UInt8]]
    func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], mustExist: Bool, mustBeNew: Bool
    ) throws(VolumeError)
    func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError)
    /// Who wrote it, and what else wants its name. For people: not on paths that are often gone.
    func facts(of node: NodeID) throws(VolumeError) -> NodeFacts

    /// The content shown now.
    func openContent(of node: NodeID) throws(VolumeError) -> OpenedContent
    /// Makes a new version; visible to peers once its block is sealed, some milliseconds later.
    func publish(_ save: Save) throws(VolumeError) -> Published
    /// Remembers dirty data across crashes: durable after the next `sync`, and after a second at
    /// the latest in the face of a killed process. Replaces the node's earlier record.
    func recordStaged(_ staged: StagedFile) throws(VolumeError)
    func forgetStaged(_ node: NodeID) throws(VolumeError)
    /// What was recorded and not settled: to be published after a restart.
    func stagedFiles() throws(VolumeError) -> [StagedFile]
    /// Fetches chunks that are not here, ahead of others. `completion` is called once, on any
    /// thread, with true when all are here, with false at the deadline or when nobody has them.
    func demand(
        _ chunks: [ChunkReference], completion: @escaping @Sendable (_ allHere: Bool) -> Void)

    /// All that was done before is durable when this returns.
    func sync() throws(VolumeError)
    func statistics() throws(VolumeError) -> VolumeStatistics
    /// At most one; held weakly.
    func setObserver(_ observer: (any VolumeObserver)?)
}
