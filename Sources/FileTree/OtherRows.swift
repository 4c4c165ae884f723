/// An extended attribute: a register; a removed one keeps its row. Keyed by (object, name).
package struct XattrRow: Hashable, Sendable {
    package let object: ObjectID
    package let name: [UInt8]
    /// Nil when removed.
    package var value: [UInt8]?
    package var stamp: Stamp

    package init(object: ObjectID, name: [UInt8], value: [UInt8]?, stamp: Stamp) {
        self.object = object
        self.name = name
        self.value = value
        self.stamp = stamp
    }
}

/// One re-placement of a directory, with what it takes to undo it. Keyed by `id`.
///
/// Storage needs an index of `time`.
package struct MoveRow: Hashable, Sendable {
    /// The operation.
    package let id: OperationID
    package let time: HybridTime
    package let entry: EntryID
    package let parent: ObjectID
    package let name: [UInt8]
    /// Where the entry was before; nil if the move has no effect.
    package var previous: Placement?

    package init(
        id: OperationID, time: HybridTime, entry: EntryID, parent: ObjectID, name: [UInt8],
        previous: Placement?
    ) {
        self.id = id
        self.time = time
        self.entry = entry
        self.parent = parent
        self.name = name
        self.previous = previous
    }

    package var stamp: Stamp { Stamp(time: time, operation: id) }
}

/// Something that cannot show under its plain name. Keyed by (parent, name, entry, version).
///
/// Derived from the other rows, and kept so that a lookup is one query. Storage needs an index of
/// (`parent`, `shownName`).
package struct ConflictRow: Hashable, Sendable {
    /// The directory that shows it.
    package let parent: ObjectID
    /// The name it would have.
    package let name: [UInt8]
    package let entry: EntryID
    /// The head of the entry's object that this is; nil if it is the entry itself.
    package let version: VersionID?
    /// The name it shows under instead.
    package var shownName: [UInt8]
    /// The object of the entry, or the version.
    package let node: OperationID
    package let kind: ObjectKind

    package init(
        parent: ObjectID, name: [UInt8], entry: EntryID, version: VersionID?,
        shownName: [UInt8], node: OperationID, kind: ObjectKind
    ) {
        self.parent = parent
        self.name = name
        self.entry = entry
        self.version = version
        self.shownName = shownName
        self.node = node
        self.kind = kind
    }
}
