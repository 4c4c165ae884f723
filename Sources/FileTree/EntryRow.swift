/// Where an entry is: its parent, its name, and the operation that put it there.
package struct Placement: Hashable, Sendable {
    package var parent: ObjectID
    package var name: [UInt8]
    package var stamp: Stamp

    package init(parent: ObjectID, name: [UInt8], stamp: Stamp) {
        self.parent = parent
        self.name = name
        self.stamp = stamp
    }
}

/// What the view keeps of one entry: a name for an object in a directory.
///
/// Storage needs an index of (`shownParent`, `placement.name`, `id`) over the rows whose
/// `shownParent` is not nil, and one of `object`.
package struct EntryRow: Hashable, Sendable {
    package let id: EntryID
    package let object: ObjectID
    package let kind: ObjectKind
    package var placement: Placement
    /// The placements of this entry that no other one had seen.
    package var lives: OperationList
    /// The removals in force: those that had seen every placement, and every version of the object
    /// that had not seen them. None had seen another. The entry is dead while there is one.
    package var removals: OperationList = []
    /// The directory that shows it: its parent, or the one its parent is united with. Nil while
    /// the entry is not visible.
    package var shownParent: ObjectID?
    /// Its object's `number`, for listings.
    package var number: ObjectID?
    /// Whether it is the one that shows under its plain name.
    package var holdsName = false

    package init(id: EntryID, object: ObjectID, kind: ObjectKind, placement: Placement) {
        self.id = id
        self.object = object
        self.kind = kind
        self.placement = placement
        lives = [placement.stamp.operation]
    }

    package var isDead: Bool { !removals.isEmpty }
    package var isVisible: Bool { shownParent != nil }
    /// Whether it is where it was made.
    package var isAtFirstPlace: Bool { placement.stamp.operation == id }
}
