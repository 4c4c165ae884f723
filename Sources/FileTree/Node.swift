package import Base

/// What a name resolves to: an object, or a head of a file shown beside it as a conflict copy.
package struct Node: Hashable, Sendable {
    /// The object, or the version of a copy.
    package var id: OperationID
    package var object: ObjectID
    /// The entry that shows it; nil for the root, and for a file that was asked for by its identity.
    package var entry: EntryID?
    package var kind: ObjectKind

    package init(id: OperationID, object: ObjectID, entry: EntryID?, kind: ObjectKind) {
        self.id = id
        self.object = object
        self.entry = entry
        self.kind = kind
    }

    /// Whether it is a losing head: a regular file whose identity is a version.
    package var isCopy: Bool { id != object }
}

/// One name of a directory.
package struct ListedName: Hashable, Sendable {
    package var name: [UInt8]
    package var node: OperationID
    /// What the node shows as its number: see `NodeAttributes.number`.
    package var number: OperationID
    package var kind: ObjectKind

    package init(
        name: [UInt8], node: OperationID, kind: ObjectKind, number: OperationID? = nil
    ) {
        self.name = name
        self.node = node
        self.kind = kind
        self.number = number ?? node
    }
}

package struct NodeAttributes: Hashable, Sendable {
    package var id: OperationID
    package var object: ObjectID
    /// The identity that shows as its number on this device: its own, or the one that
    /// `FileTree.swapNumbers` gave it. No two nodes show the same.
    package var number: OperationID
    package var kind: ObjectKind
    package var mode: UInt16
    package var uid: UInt32
    package var gid: UInt32
    package var device: UInt64
    /// Of a file its content's, of a symlink its target's, in bytes; 0 for others.
    package var size: UInt64
    package var modified: Timestamp
    package var changed: Timestamp
    package var accessed: Timestamp
    package var created: Timestamp
    /// Visible names; for a directory 2 and its subdirectories. 0 once it is removed.
    package var links: UInt64
    /// Of a directory the one that shows it (the root: itself).
    package var parent: ObjectID?
}

/// A file's content as it shows under one node.
package struct ShownContent: Hashable, Sendable {
    /// The versions whose bytes these are: the parents of the next save, and what is to be closed when
    /// a copy is removed. Empty before the first save.
    package var versions: [VersionID]
    package var size: UInt64
    package var modified: Timestamp
    /// As the writer encoded it; empty before the first save.
    package var content: [UInt8]
}

/// What is visible, in sums.
package struct TreeTotals: Hashable, Sendable {
    /// Visible regular files, each once however many names it has.
    package var files: UInt64 = 0
    package var directories: UInt64 = 0
    /// Of the content shown under the files' own names.
    package var bytes: UInt64 = 0
    package var conflicts: UInt64 = 0

    package init() {}
}
