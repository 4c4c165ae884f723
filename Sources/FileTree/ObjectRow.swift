package import Base

/// A value and the stamp of the operation that set it: the later stamp wins.
package struct Register<Value: Hashable & Sendable>: Hashable, Sendable {
    package var value: Value
    package var stamp: Stamp

    package init(_ value: Value, at stamp: Stamp) {
        self.value = value
        self.stamp = stamp
    }
}

/// What the view keeps of one object.
package struct ObjectRow: Hashable, Sendable {
    package let id: ObjectID
    package var kind: ObjectKind
    /// When it was made; `made.operation` is `id`.
    package var made: Stamp
    package var created: Timestamp
    package var device: UInt64
    package var target: [UInt8]

    package var mode: Register<UInt16>
    package var uid: Register<UInt32>
    package var gid: Register<UInt32>
    package var accessed: Register<Timestamp>
    /// As set explicitly, and for directories by the last change of their entries.
    package var modified: Register<Timestamp>
    /// The last operation that touched the object.
    package var changed: Stamp

    /// Visible entries.
    package var links: UInt64 = 0
    /// Entries with a removal in force.
    package var removedEntries: UInt64 = 0
    /// Whose number it shows on this device; nil: its own. See `FileTree.swapNumbers`.
    package var number: ObjectID?
    /// Who shows its number on this device; nil: itself.
    package var bearer: ObjectID?
    /// Whether one of its entries may share its name with others, or shows copies beside it.
    package var isContested = false
    /// The sum of the digest leaves of its extended attributes and of the heads shown.
    package var details: Digest = .zero

    // Of a directory.

    /// Its one entry; nil before that is placed, and for the root.
    package var entry: EntryID?
    /// The directory that shows its children: itself, unless it is united with an earlier one.
    package var canonical: ObjectID
    /// Visible entries whose parent it is.
    package var visibleChildren: UInt64 = 0
    /// Directories shown in it.
    package var subdirectories: UInt64 = 0
    /// Names in it under which more than one thing shows.
    package var contestedNames: UInt64 = 0

    // Of a file.

    /// Versions without a child.
    package var heads: UInt64 = 0
    /// The heads that show: one and its copies.
    package var shownHeads: UInt64 = 0
    /// The head shown under the file's own name; nil before the first write.
    package var winner: Winner?
    /// What is known of merging its heads; nil unless they are to be merged.
    package var merge: HeadsMerge?

    package struct Winner: Hashable, Sendable {
        package var stamp: Stamp
        package var size: UInt64
        package var modified: Timestamp

        package var version: VersionID { stamp.operation }

        package init(stamp: Stamp, size: UInt64, modified: Timestamp) {
            self.stamp = stamp
            self.size = size
            self.modified = modified
        }
    }

    package init(
        id: ObjectID, kind: ObjectKind, made: Stamp, created: Timestamp, device: UInt64,
        target: [UInt8], mode: UInt16, uid: UInt32, gid: UInt32
    ) {
        self.id = id
        self.kind = kind
        self.made = made
        self.created = created
        self.device = device
        self.target = target
        self.mode = Register(mode, at: made)
        self.uid = Register(uid, at: made)
        self.gid = Register(gid, at: made)
        accessed = Register(created, at: made)
        modified = Register(created, at: made)
        changed = made
        canonical = id
    }
}
