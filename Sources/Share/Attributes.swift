package import Base

/// What `stat` shows of a node.
package struct Attributes: Equatable, Sendable {
    package var node: NodeID
    /// What `st_ino` says, different for any two nodes at any time: the node's own, or after a save
    /// by rename that of the temporary file.
    package var number: NodeID
    package var kind: FileKind
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    package var mode: UInt32
    package var links: UInt32
    package var uid: UInt32
    package var gid: UInt32
    /// The device number of a device node, as `makedev` packs it; 0 for others.
    package var device: UInt64
    /// In bytes: of the content, of a symlink's target; 0 for the rest.
    package var size: UInt64
    package var modified: Timestamp
    package var changed: Timestamp
    package var accessed: Timestamp

    package init(
        node: NodeID, kind: FileKind, mode: UInt32, links: UInt32, uid: UInt32, gid: UInt32,
        device: UInt64, size: UInt64, modified: Timestamp, changed: Timestamp, accessed: Timestamp,
        number: NodeID? = nil
    ) {
        self.node = node
        self.number = number ?? node
        self.kind = kind
        self.mode = mode
        self.links = links
        self.uid = uid
        self.gid = gid
        self.device = device
        self.size = size
        self.modified = modified
        self.changed = changed
        self.accessed = accessed
    }
}

/// What to change of a node; nil leaves a field as it is. Size is content: see `Volume.publish`.
package struct AttributeChange: Equatable, Sendable {
    package var mode: UInt32?
    package var uid: UInt32?
    package var gid: UInt32?
    package var modified: Timestamp?
    package var accessed: Timestamp?
    /// Set in the same block; each name once.
    package var extended: [ExtendedValue]

    package init(
        mode: UInt32? = nil, uid: UInt32? = nil, gid: UInt32? = nil, modified: Timestamp? = nil,
        accessed: Timestamp? = nil, extended: [ExtendedValue] = []
    ) {
        self.extended = extended
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.modified = modified
        self.accessed = accessed
    }
}

/// What an extended attribute is to be.
package struct ExtendedValue: Equatable, Sendable {
    /// 1 to 255 bytes.
    package var name: [UInt8]
    /// At most 65,536 bytes; nil takes the attribute away, if there is one.
    package var value: [UInt8]?

    package init(name: [UInt8], value: [UInt8]?) {
        self.name = name
        self.value = value
    }
}

/// What `make` creates.
package struct MakeRequest: Equatable, Sendable {
    package var kind: FileKind
    /// Permission bits, the umask already applied.
    package var mode: UInt32
    package var uid: UInt32
    package var gid: UInt32
    package var device: UInt64
    /// Of a symlink, at most 4095 bytes; empty for others.
    package var target: [UInt8]
    /// What it has from the start, in the same block; each name once.
    package var extended: [ExtendedValue]

    package init(
        kind: FileKind, mode: UInt32, uid: UInt32, gid: UInt32, device: UInt64 = 0,
        target: [UInt8] = [], extended: [ExtendedValue] = []
    ) {
        self.extended = extended
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.device = device
        self.target = target
    }
}

/// One row of a directory listing.
package struct DirectoryItem: Equatable, Sendable {
    package var name: [UInt8]
    package var node: NodeID
    /// As in `Attributes`.
    package var number: NodeID
    package var kind: FileKind

    package init(name: [UInt8], node: NodeID, kind: FileKind, number: NodeID? = nil) {
        self.name = name
        self.node = node
        self.number = number ?? node
        self.kind = kind
    }
}

package enum RenameMode: Sendable { case replace, noReplace, exchange }

/// What a rename did, so that the mount can bind its inodes anew.
package enum RenameResult: Equatable, Sendable {
    /// The node has a new name; `replaced` lost its last name there, if any.
    case moved(NodeID, replaced: NodeID?)
    /// Both have the other's name now.
    case exchanged(NodeID, NodeID)
    /// A save by rename: `saved` keeps its identity under the target's name and has the temporary
    /// file's content and attributes; `temporary` is gone. Handles opened on `saved` before must
    /// go on reading `replacedContent`.
    case saved(saved: NodeID, temporary: NodeID, replacedContent: OpenedContent)
    /// A save by rename to a name that another file had until a moment ago: `saved` has that name again, and
    /// the temporary file's content and attributes. `temporary` is what `saved` was, under its present
    /// name, if it is kept; else it is gone.
    case succeeded(saved: NodeID, temporary: NodeID, isKept: Bool)
    /// Source and target were the same object: nothing happened.
    case unchanged
}
