import Base

/// Digest, totals and counters that follow from the rows, and the rows on their way to storage.
///
/// All of it by difference: what a row amounted to when the flush began is taken away, what it amounts to now
/// is added.
extension FileTree {
    func settleSums() throws(StorageError) {
        // Counting subdirectories may bring in more objects; entries are complete by now.
        for entry in held.entries { try sum(entry) }
        for object in held.objects { try sum(object) }
        if unhashed.count > Limits.heldRowsMax { settleDigest() }
    }

    /// Brings the digest up to date with the rows.
    func settleDigest() {
        for (first, last) in unhashed.objects.values {
            if let before = first.original, before.isShown {
                state.digest -= hasher.object(before)
            }
            if last.row.isShown { state.digest += hasher.object(last.row) }
        }
        for (first, last) in unhashed.entries.values {
            if let before = first.original, let parent = before.shownParent {
                state.digest -= hasher.entry(before, shownIn: parent)
            }
            if let parent = last.row.shownParent {
                state.digest += hasher.entry(last.row, shownIn: parent)
            }
        }
        unhashed.removeAll()
    }

    private func sum(_ entry: HeldEntry) throws(StorageError) {
        if entry.row.kind == .directory {
            let object = try required(try object(entry.row.object), "object \(entry.row.object)")
            let before = object.original.flatMap { directory(showing: entry.original, $0) }
            let after = directory(showing: entry.row, object.row)
            if before != after {
                if let before { try countSubdirectory(-1, in: before) }
                if let after { try countSubdirectory(1, in: after) }
            }
        }
        guard entry.original != entry.row else { return }
        unhashed.note(entry.rows)
    }

    /// The directory in which this one counts as a subdirectory.
    private func directory(showing entry: EntryRow?, _ object: ObjectRow) -> ObjectID? {
        object.canonical == object.id ? entry?.shownParent : nil
    }

    private func countSubdirectory(_ change: Int, in directory: ObjectID) throws(StorageError) {
        let parent = try required(try object(directory), "directory \(directory)")
        if change > 0 {
            parent.row.subdirectories += 1
            state.totals.directories += 1
        } else {
            parent.row.subdirectories -= 1
            state.totals.directories -= 1
        }
    }

    private func sum(_ object: Held<ObjectRow>) throws(StorageError) {
        guard object.original != object.row else { return }
        unhashed.note(object)
        if let original = object.original, original.isShown, original.kind == .file {
            state.totals.files -= 1
            state.totals.bytes &-= original.winner?.size ?? 0
        }
        if object.row.isShown, object.row.kind == .file {
            state.totals.files += 1
            state.totals.bytes &+= object.row.winner?.size ?? 0
        }
        if let original = object.original, !original.isShown, object.row.isShown,
            object.row.heads > 0
        {
            revived.insert(object.row.id)
        }
        try put(object.row)
        changes.append(
            object.areAttributesSet ? .attributes(object.row.id) : .derived(object.row.id))
        if object.row.kind == .directory, object.row.isContested {
            contestedDirectories.insert(object.row.id)
        }
        if let original = object.original,
            original.winner?.version != object.row.winner?.version
                || original.merge?.shown != object.row.merge?.shown
        {
            changes.append(.content(object.row.id))
        }
        if object.row.shownHeads > 1 {
            // Copies have the attributes of their file.
            for head in try storage.heads(of: object.row.id) {
                changes.append(
                    object.areAttributesSet ? .attributes(head.id) : .derived(head.id))
            }
        }
    }
}

extension Held<ObjectRow> {
    /// Whether somebody set attributes or extended attributes, not only content or names.
    fileprivate var areAttributesSet: Bool {
        guard let original else { return false }
        if original.mode != row.mode || original.uid != row.uid || original.gid != row.gid {
            return true
        }
        if original.details != row.details, original.winner == row.winner { return true }
        return row.kind != .directory
            && (original.modified != row.modified || original.accessed != row.accessed)
    }
}

/// Rows whose leaves in the digest are of an earlier state. A file made and written, and the directory
/// it is in, change several times before anyone asks for the digest or saves it: each is hashed once.
struct UnhashedRows {
    /// By identity: who held the row when its leaf in the digest was right, and who did last. Nobody changes
    /// a row after its flush. Sums do not depend on the order.
    private(set) var objects: [ObjectID: (first: Held<ObjectRow>, last: Held<ObjectRow>)] = [:]
    private(set) var entries: [EntryID: (first: Held<EntryRow>, last: Held<EntryRow>)] = [:]

    var count: Int { objects.count + entries.count }

    mutating func note(_ held: Held<ObjectRow>) {
        objects[held.row.id, default: (held, held)].last = held
    }

    mutating func note(_ held: Held<EntryRow>) {
        entries[held.row.id, default: (held, held)].last = held
    }

    mutating func removeAll() {
        guard count > 0 else { return }
        let isSmall = count <= 1024
        objects.removeAll(keepingCapacity: isSmall)
        entries.removeAll(keepingCapacity: isSmall)
    }
}

extension ObjectRow {
    var isShown: Bool { links > 0 || id == .root }
}
