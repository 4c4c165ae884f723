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

/// What the view keeps of one object. Copies share their fields until one of them is changed: rows go
/// from hand to hand for every call, and few of them change.
package struct ObjectRow: Hashable, Sendable {
    package let id: ObjectID
    private var shared: Shared

    package init(
        id: ObjectID, kind: ObjectKind, made: Stamp, created: Timestamp, device: UInt64,
        target: [UInt8], mode: UInt16, uid: UInt32, gid: UInt32
    ) {
        self.id = id
        shared = Shared(
            Fields(
                kind: kind, made: made, created: created, device: device, target: target,
                mode: Register(mode, at: made), uid: Register(uid, at: made),
                gid: Register(gid, at: made), accessed: Register(created, at: made),
                modified: Register(created, at: made), changed: made, canonical: id))
    }

    package static func == (left: ObjectRow, right: ObjectRow) -> Bool {
        left.id == right.id
            && (left.shared === right.shared || left.shared.fields == right.shared.fields)
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(id)
        hasher.combine(shared.fields)
    }

    /// The fields, this row's alone.
    private var own: Fields {
        get { shared.fields }
        _modify {
            if !isKnownUniquelyReferenced(&shared) { shared = Shared(shared.fields) }
            yield &shared.fields
        }
    }

    package var kind: ObjectKind {
        get { shared.fields.kind }
        _modify { yield &own.kind }
    }
    /// When it was made; `made.operation` is `id`.
    package var made: Stamp {
        get { shared.fields.made }
        _modify { yield &own.made }
    }
    package var created: Timestamp {
        get { shared.fields.created }
        _modify { yield &own.created }
    }
    package var device: UInt64 {
        get { shared.fields.device }
        _modify { yield &own.device }
    }
    package var target: [UInt8] {
        get { shared.fields.target }
        _modify { yield &own.target }
    }
    package var mode: Register<UInt16> {
        get { shared.fields.mode }
        _modify { yield &own.mode }
    }
    package var uid: Register<UInt32> {
        get { shared.fields.uid }
        _modify { yield &own.uid }
    }
    package var gid: Register<UInt32> {
        get { shared.fields.gid }
        _modify { yield &own.gid }
    }
    package var accessed: Register<Timestamp> {
        get { shared.fields.accessed }
        _modify { yield &own.accessed }
    }
    /// As set explicitly, and for directories by the last change of their entries.
    package var modified: Register<Timestamp> {
        get { shared.fields.modified }
        _modify { yield &own.modified }
    }
    /// The last operation that touched the object.
    package var changed: Stamp {
        get { shared.fields.changed }
        _modify { yield &own.changed }
    }
    /// Visible entries.
    package var links: UInt64 {
        get { shared.fields.links }
        _modify { yield &own.links }
    }
    /// Entries with a removal in force.
    package var removedEntries: UInt64 {
        get { shared.fields.removedEntries }
        _modify { yield &own.removedEntries }
    }
    /// Whose number it shows on this device; nil: its own. See `FileTree.swapNumbers`.
    package var number: ObjectID? {
        get { shared.fields.number }
        _modify { yield &own.number }
    }
    /// Who shows its number on this device; nil: itself.
    package var bearer: ObjectID? {
        get { shared.fields.bearer }
        _modify { yield &own.bearer }
    }
    /// Whether one of its entries may share its name with others, or shows copies beside it.
    package var isContested: Bool {
        get { shared.fields.isContested }
        _modify { yield &own.isContested }
    }
    /// The sum of the digest leaves of its extended attributes and of the heads shown.
    package var details: Digest {
        get { shared.fields.details }
        _modify { yield &own.details }
    }
    // Of a directory.

    /// Its one entry; nil before that is placed, and for the root.
    package var entry: EntryID? {
        get { shared.fields.entry }
        _modify { yield &own.entry }
    }
    /// The directory that shows its children: itself, unless it is united with an earlier one.
    package var canonical: ObjectID {
        get { shared.fields.canonical }
        _modify { yield &own.canonical }
    }
    /// Visible entries whose parent it is.
    package var visibleChildren: UInt64 {
        get { shared.fields.visibleChildren }
        _modify { yield &own.visibleChildren }
    }
    /// Directories shown in it.
    package var subdirectories: UInt64 {
        get { shared.fields.subdirectories }
        _modify { yield &own.subdirectories }
    }
    /// Names in it under which more than one thing shows.
    package var contestedNames: UInt64 {
        get { shared.fields.contestedNames }
        _modify { yield &own.contestedNames }
    }
    // Of a file.

    /// Versions without a child.
    package var heads: UInt64 {
        get { shared.fields.heads }
        _modify { yield &own.heads }
    }
    /// The heads that show: one and its copies.
    package var shownHeads: UInt64 {
        get { shared.fields.shownHeads }
        _modify { yield &own.shownHeads }
    }
    /// The head shown under the file's own name; nil before the first write.
    package var winner: Winner? {
        get { shared.fields.winner }
        _modify { yield &own.winner }
    }
    /// What is known of merging its heads; nil unless they are to be merged.
    package var merge: HeadsMerge? {
        get { shared.fields.merge }
        _modify { yield &own.merge }
    }

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
}

extension ObjectRow {
    /// What the row's properties of the same names give and change.
    private struct Fields: Hashable, Sendable {
        var kind: ObjectKind
        var made: Stamp
        var created: Timestamp
        var device: UInt64
        var target: [UInt8]
        var mode: Register<UInt16>
        var uid: Register<UInt32>
        var gid: Register<UInt32>
        var accessed: Register<Timestamp>
        var modified: Register<Timestamp>
        var changed: Stamp
        var links: UInt64 = 0
        var removedEntries: UInt64 = 0
        var number: ObjectID?
        var bearer: ObjectID?
        var isContested = false
        var details: Digest = .zero
        var entry: EntryID?
        var canonical: ObjectID
        var visibleChildren: UInt64 = 0
        var subdirectories: UInt64 = 0
        var contestedNames: UInt64 = 0
        var heads: UInt64 = 0
        var shownHeads: UInt64 = 0
        var winner: Winner?
        var merge: HeadsMerge?
    }

    /// Changed only by a row that has it alone.
    private final class Shared: @unchecked Sendable {
        var fields: Fields

        init(_ fields: Fields) { self.fields = fields }
    }
}
