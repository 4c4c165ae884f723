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
        if let original = entry.original, let parent = original.shownParent {
            state.digest -= hasher.entry(original, shownIn: parent)
        }
        if let parent = entry.row.shownParent {
            state.digest += hasher.entry(entry.row, shownIn: parent)
        }
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
        if let original = object.original, original.isShown {
            state.digest -= hasher.object(original)
            if original.kind == .file {
                state.totals.files -= 1
                state.totals.bytes &-= original.winner?.size ?? 0
            }
        }
        if object.row.isShown {
            state.digest += hasher.object(object.row)
            if object.row.kind == .file {
                state.totals.files += 1
                state.totals.bytes &+= object.row.winner?.size ?? 0
            }
        }
        try storage.put(object.row)
        changes.append(.attributes(object.row.id))
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
                changes.append(.attributes(head.id))
            }
        }
    }
}

extension ObjectRow {
    var isShown: Bool { links > 0 || id == .root }
}
