extension Operation {
    /// What the operation names: all of it must have been seen by its block.
    package var references: [OperationID] {
        switch self {
        case .make, .admit, .retire, .revoke, .invite, .set, .checkpoint: []
        case .place(let place):
            switch place.subject {
            case .new(let object): [object, place.parent]
            case .existing(let entry, let from): [entry, from, place.parent]
            }
        case .remove(let remove):
            if let version = remove.version {
                [remove.entry, remove.from, version]
            } else {
                [remove.entry, remove.from]
            }
        case .write(let write): [write.object] + write.parents
        case .setAttribute(let change): [change.object]
        case .setXattr(let change): [change.object]
        case .removeXattr(let change): [change.object]
        }
    }

    /// Whether it is of those that mean the same wherever they stand.
    package var refersToNone: Bool {
        switch self {
        case .admit, .retire, .revoke, .invite, .set, .checkpoint: true
        case .make, .place, .remove, .write, .setAttribute, .setXattr, .removeXattr: false
        }
    }

    /// The same operation with every identity it refers to replaced.
    package func replacingReferences(_ replace: (OperationID) -> OperationID) -> Operation {
        switch self {
        case .place(var place):
            place.parent = replace(place.parent)
            switch place.subject {
            case .new(let object): place.subject = .new(replace(object))
            case .existing(let entry, let from):
                place.subject = .existing(replace(entry), from: replace(from))
            }
            return .place(place)
        case .remove(var remove):
            remove.entry = replace(remove.entry)
            remove.from = replace(remove.from)
            remove.version = remove.version.map(replace)
            return .remove(remove)
        case .write(var write):
            write.object = replace(write.object)
            write.parents = write.parents.map(replace)
            return .write(write)
        case .setAttribute(var change):
            change.object = replace(change.object)
            return .setAttribute(change)
        case .setXattr(var xattr):
            xattr.object = replace(xattr.object)
            return .setXattr(xattr)
        case .removeXattr(var xattr):
            xattr.object = replace(xattr.object)
            return .removeXattr(xattr)
        case .make, .admit, .retire, .revoke, .invite, .set, .checkpoint:
            return self
        }
    }
}
