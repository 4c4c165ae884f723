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
    /// Whether the bytes were written before their writer could know of the file's removal elsewhere: then they bring
    /// it back. Else nobody sees them whom it is not open for.
    package var bringsBack: Bool

    package init(
        node: NodeID, parents: [UInt64], content: Content, modified: Timestamp,
        settlesStaging: Bool, bringsBack: Bool = false
    ) {
        self.node = node
        self.parents = parents
        self.content = content
        self.modified = modified
        self.settlesStaging = settlesStaging
        self.bringsBack = bringsBack
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

/// A file that was made in the place of another, and is that.
package struct Succession: Sendable {
    /// The node is the other's.
    package var attributes: Attributes
    /// What its program had been shown: the parents of what it writes.
    package var versions: [UInt64]
    /// What the other was renamed to goes on under this node, with this content; nil if it was removed.
    package var backup: (node: NodeID, versions: [UInt64])?

    package init(
        attributes: Attributes, versions: [UInt64], backup: (node: NodeID, versions: [UInt64])?
    ) {
        self.attributes = attributes
        self.versions = versions
        self.backup = backup
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
    /// Whether those bytes were on the disk before the record was made: else a power failure may
    /// leave the record without them.
    package var isSynced: Bool
    /// Over the same base, what was on the disk before: what counts after a power failure.
    package var synced: Synced?
    /// Entries of the journal up to this number are contained.
    package var journal: UInt64

    /// The part of an earlier record whose bytes a power failure spares.
    package struct Synced: Equatable, Sendable {
        package var size: UInt64
        package var modified: Timestamp
        package var dirty: [Range<UInt64>]
        package var file: UInt64
        package var journal: UInt64

        package init(
            size: UInt64, modified: Timestamp, dirty: [Range<UInt64>], file: UInt64,
            journal: UInt64 = 0
        ) {
            self.journal = journal
            self.size = size
            self.modified = modified
            self.dirty = dirty
            self.file = file
        }
    }

    package init(
        node: NodeID, parents: [UInt64], base: Content, size: UInt64, modified: Timestamp,
        dirty: [Range<UInt64>], file: UInt64, isSynced: Bool = true, synced: Synced? = nil,
        journal: UInt64 = 0
    ) {
        self.journal = journal
        self.isSynced = isSynced
        self.synced = synced
        self.node = node
        self.parents = parents
        self.base = base
        self.size = size
        self.modified = modified
        self.dirty = dirty
        self.file = file
    }
}

/// Where a node shows.
package struct NodePath: Equatable, Sendable {
    /// The directory that holds it; the root for itself.
    package var directory: NodeID
    /// From the root down; empty for the root.
    package var names: [[UInt8]]

    package init(directory: NodeID, names: [[UInt8]]) {
        self.directory = directory
        self.names = names
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

/// A change that did not come through the caller: what the kernel must forget, and what those who
/// watch want to hear of. What is true now the volume says.
package enum ViewChange: Hashable, Sendable {
    /// What showed under a name.
    package struct Shown: Hashable, Sendable {
        package var node: NodeID
        package var kind: FileKind

        package init(node: NodeID, kind: FileKind) {
            self.node = node
            self.kind = kind
        }
    }

    /// Another thing, or none, may show under the name; `before` did until now.
    case entry(directory: NodeID, name: [UInt8], before: Shown?)
    /// Attributes or extended attributes that somebody set.
    case attributes(NodeID)
    /// Attributes that follow from other changes: a directory's times, counts of links, sizes.
    case derived(NodeID)
    /// The bytes of a file.
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
    /// One place where the node shows; nil if there is none.
    func path(of node: NodeID) throws(VolumeError) -> NodePath?
    /// Every name in the directory, without `.` and `..`, in a stable order.
    func list(_ directory: NodeID) throws(VolumeError) -> [DirectoryItem]

    func make(_ name: [UInt8], in directory: NodeID, _ request: MakeRequest) throws(VolumeError)
        -> Attributes
    /// Makes a file where another was until the same program renamed it aside or removed it, a moment ago:
    /// how programs save that make a backup first. The other file has its name back, with the new
    /// one's attributes and its bytes still: whoever writes begins with none.
    ///
    /// - Returns: nil if it is no such save, and nothing was done.
    func makeAnew(
        _ name: [UInt8], in directory: NodeID, _ request: MakeRequest, succeeding former: NodeID
    ) throws(VolumeError) -> Succession?
    func link(_ node: NodeID, as name: [UInt8], in directory: NodeID) throws(VolumeError)
        -> Attributes
    /// - Returns: the node that lost the name.
    @discardableResult
    func unlink(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID
    @discardableResult
    func removeDirectory(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID
    /// The content of the source must have been published if the target exists.
    ///
    /// - Parameter former: what had the new name until the same program renamed or removed it, a
    ///   moment ago; then the content of the source must have been published too.
    func rename(
        _ name: [UInt8], in directory: NodeID, to newName: [UInt8], in newDirectory: NodeID,
        _ mode: RenameMode, succeeding former: NodeID?
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

extension Volume {
    package func rename(
        _ name: [UInt8], in directory: NodeID, to newName: [UInt8], in newDirectory: NodeID,
        _ mode: RenameMode
    ) throws(VolumeError) -> RenameResult {
        try rename(
            name, in: directory, to: newName, in: newDirectory, mode, succeeding: nil)
    }
}
