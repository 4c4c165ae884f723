package import Base

/// A name in a directory that shows it.
package struct NameKey: Hashable, Sendable {
    package var directory: ObjectID
    package var name: [UInt8]

    package init(directory: ObjectID, name: [UInt8]) {
        self.directory = directory
        self.name = name
    }

    /// Whether nothing of the share shows under it.
    var isReserved: Bool { directory == .root && name == reservedRootName }
}

/// In the root a mount shows its own folder under this name: an entry that has it, from a device that did
/// not know, shows beside it like what lost a name.
package let reservedRootName = Array(".holdfast".utf8)

/// Names whose rendering a flush has to settle.
struct StaleNames {
    private(set) var queue: [NameKey] = []
    private var known: Set<NameKey> = []
    /// Directories where a name came or went that a conflict's name may have to avoid.
    private(set) var directories: [ObjectID] = []

    mutating func insert(_ directory: ObjectID, _ name: [UInt8]) {
        let key = NameKey(directory: directory, name: name)
        if known.insert(key).inserted { queue.append(key) }
        if ConflictName.isMarked(name), !directories.contains(directory) {
            directories.append(directory)
        }
    }

    mutating func takeNext() -> NameKey? {
        // From the end: cheap, and the order does not matter.
        guard let key = queue.popLast() else { return nil }
        known.remove(key)
        return key
    }

    mutating func takeDirectories() -> [ObjectID] {
        defer { directories.removeAll() }
        return directories
    }
}

/// Which directory shows each visible entry, which directories are one, and which names the things in a
/// directory have.
extension FileTree {
    func settleNames() throws(StorageError) {
        for entry in held.entries { try showInParent(entry) }
        for object in held.objects where object.showsOtherContent {
            for entry in try heldEntries(of: object.row.id) { markName(of: entry) }
        }
        while let key = staleNames.takeNext() { try settle(key, isStructural: true) }

        // Only now is it known which names are taken.
        for directory in staleNames.takeDirectories() {
            let object = try required(try object(directory), "directory \(directory)")
            guard object.row.contestedNames > 0 else { continue }
            var last: NameKey?
            for row in try storage.conflicts(in: directory) {
                let key = NameKey(directory: row.parent, name: row.name)
                if key != last { try settle(key, isStructural: false) }
                last = key
            }
        }
    }

    /// Renders every conflict anew.
    func renameConflicts() throws(StorageError) {
        var last: ConflictRow?
        while true {
            let page = try storage.conflicts(after: last, limit: 256)
            guard let end = page.last else { return }
            for row in page { staleNames.insert(row.parent, row.name) }
            last = end
        }
    }

    // MARK: Directories that are one

    /// Writes down which directory shows a changed entry, and under which name.
    private func showInParent(_ entry: HeldEntry) throws(StorageError) {
        var shownParent: ObjectID?
        if let parent = entry.counted {
            shownParent = try required(try object(parent), "directory \(parent)").row.canonical
        } else if entry.row.isVisible, entry.row.kind == .directory {
            // What is not visible stands for itself; nothing in it shows either.
            let object = try required(
                try object(entry.row.object), "directory \(entry.row.object)")
            changes.append(.derived(object.row.canonical))
            object.row.canonical = entry.row.object
        }
        let original = entry.original
        let isMoved =
            original?.placement != entry.row.placement || original?.shownParent != shownParent
        guard isMoved || entry.isChanged else { return }
        if isMoved, let original, let parent = original.shownParent {
            staleNames.insert(parent, original.placement.name)
            if original.holdsName {
                noteShown(original, under: original.placement.name, in: parent)
            }
        }
        entry.row.shownParent = shownParent
        // Nearly always true, and then the row is written once.
        if isMoved { entry.row.holdsName = shownParent != nil }
        try store(entry)
        if isMoved { markName(of: entry) }
    }

    private func markName(of entry: HeldEntry) {
        guard let parent = entry.row.shownParent else { return }
        staleNames.insert(parent, entry.row.placement.name)
    }

    private func store(_ entry: HeldEntry) throws(StorageError) {
        guard entry.isChanged else { return }
        try put(entry.row)
        entry.stored = entry.row
    }

    /// Has another directory show what is in this one.
    private func unite(_ directory: Held<ObjectRow>, with canonical: ObjectID)
        throws(StorageError)
    {
        let before = directory.row.canonical
        guard before != canonical else { return }
        directory.row.canonical = canonical
        // Times and links are those of all that are one.
        for id in [directory.row.id, before, canonical] { changes.append(.derived(id)) }
        guard directory.row.visibleChildren > 0 else { return }
        var cursor: EntryCursor?
        while true {
            let page = try storage.entries(shownIn: before, after: cursor, limit: 256)
            guard let last = page.last else { return }
            cursor = EntryCursor(name: last.placement.name, entry: last.id)
            for row in page where row.placement.parent == directory.row.id {
                let entry = hold(row)
                markName(of: entry)
                entry.row.shownParent = canonical
                try store(entry)
                markName(of: entry)
            }
        }
    }

    // MARK: One name

    /// Settles who holds a name and who shows beside it.
    ///
    /// - Parameter isStructural: whether directories may have become one or ceased to be.
    private func settle(_ key: NameKey, isStructural: Bool) throws(StorageError) {
        let entries = try storage.entries(shownIn: key.directory, named: key.name).map(hold)
        if try settleAlone(entries, key) { return }
        var members: [NameGroup.Member] = []
        for entry in entries {
            let object = try required(
                try object(entry.row.object), "object \(entry.row.object)")
            members.append(try member(entry.row, object.row, isAlone: entries.count == 1))
        }
        if isStructural {
            for union in NameGroup.unions(of: members, writers: writers) {
                for id in union {
                    let directory = try required(try object(id), "directory \(id)")
                    try unite(directory, with: union[0])
                }
            }
        }
        let group = NameGroup(members, writers: writers, isReserved: key.isReserved)
        try settleHolder(group.holder, entries, key)
        try noteContest(members)
        try settleConflicts(of: key, losers: group.losers)
        try noteChange(of: [key.name], in: key.directory)
    }

    /// Nearly every name has one entry, or none any more, and nothing to compare it with: what `NameGroup` would
    /// make of it is plain.
    ///
    /// - Returns: false if there is more to it.
    private func settleAlone(_ entries: [HeldEntry], _ key: NameKey) throws(StorageError) -> Bool {
        guard entries.count <= 1, !key.isReserved else { return false }
        if let entry = entries.first {
            let object = try required(
                try object(entry.row.object), "object \(entry.row.object)")
            guard object.row.shownHeads <= 1, object.row.canonical == object.row.id else {
                return false
            }
            try settleHolder(entry.row.id, entries, key)
            if object.row.links <= 1 { object.row.isContested = false }
        } else {
            try settleHolder(nil, entries, key)
        }
        try settleConflicts(of: key, losers: [])
        try noteChange(of: [key.name], in: key.directory)
        return true
    }

    private func settleHolder(_ holder: EntryID?, _ entries: [HeldEntry], _ key: NameKey)
        throws(StorageError)
    {
        noteShown(entries.first { $0.held(key) }?.original, under: key.name, in: key.directory)
        for entry in entries {
            entry.row.holdsName = entry.row.id == holder
            try store(entry)
        }
        if let holder = entries.first(where: \.row.holdsName), !holder.held(key),
            newHolders.count < Limits.heldRowsMax
        {
            newHolders.append(key)
        }
    }

    private func noteShown(_ entry: EntryRow?, under name: [UInt8], in directory: ObjectID) {
        noteShown(
            entry.map { TreeChange.Shown(node: $0.object, kind: $0.kind) },
            under: NameKey(directory: directory, name: name))
    }

    /// Remembers what showed when the batch began: who says so first is right.
    private func noteShown(_ shown: TreeChange.Shown?, under key: NameKey) {
        if shownBefore.index(forKey: key) == nil { shownBefore.updateValue(shown, forKey: key) }
    }

    private func noteChange(of names: [[UInt8]], in directory: ObjectID) throws(StorageError) {
        for name in names {
            changes.append(.entry(directory: directory, name: name, before: nil))
        }
        changes.append(.derived(directory))
        if try required(try object(directory), "directory \(directory)").row.isContested {
            contestedDirectories.insert(directory)
        }
    }

    /// - Parameter isAlone: whether nothing else has the name: then equal bytes do not matter.
    func member(_ entry: EntryRow, _ object: ObjectRow, isAlone: Bool) throws(StorageError)
        -> NameGroup.Member
    {
        let needsHeads = object.shownHeads > 1 || !isAlone && object.winner != nil
        let items =
            needsHeads
            ? ShownHeads(
                try storage.heads(of: object.id), object.merge?.verdict, writers: writers
            ).items : []
        return NameGroup.Member(entry: entry, object: object, heads: items)
    }

    /// Remembers which objects share a name, so that a change of others touches one name only.
    private func noteContest(_ members: [NameGroup.Member]) throws(StorageError) {
        for member in members {
            guard let object = held.object(member.object.id) else { continue }
            let isContested = members.count > 1 || object.row.shownHeads > 1
            // With more names than this one the others may be contested still.
            if isContested || object.row.links <= 1 { object.row.isContested = isContested }
        }
    }

    private func settleConflicts(of key: NameKey, losers: [NameGroup.Loser]) throws(StorageError) {
        let directory = try required(try object(key.directory), "directory \(key.directory)")
        let before =
            directory.row.contestedNames > 0
            ? try storage.conflicts(in: key.directory, named: key.name) : []
        guard !(before.isEmpty && losers.isEmpty) else { return }

        let after = try conflicts(of: key, losers: losers)
        var changed: [[UInt8]] = []
        for row in before where !after.contains(row) {
            let isKept = after.contains { $0.entry == row.entry && $0.version == row.version }
            if !isKept { try storage.remove(row) }
            changed.append(row.shownName)
            noteShown(
                TreeChange.Shown(node: row.node, kind: row.kind),
                under: NameKey(directory: key.directory, name: row.shownName))
        }
        for row in after where !before.contains(row) {
            try storage.put(row)
            changed.append(row.shownName)
        }
        try noteChange(of: changed, in: key.directory)
        state.totals.conflicts += UInt64(after.count)
        state.totals.conflicts -= UInt64(before.count)
        if before.isEmpty { directory.row.contestedNames += 1 }
        if after.isEmpty { directory.row.contestedNames -= 1 }
    }

    /// Gives each loser the first of its names that is free.
    private func conflicts(of key: NameKey, losers: [NameGroup.Loser]) throws(StorageError)
        -> [ConflictRow]
    {
        var taken: Set<[UInt8]> = []
        var rows: [ConflictRow] = []
        for loser in losers {
            let writer = loser.stamp.operation.writer
            let names = ConflictName(
                base: key.name, kind: loser.kind, device: deviceName(of: writer),
                time: loser.stamp.time, identity: hasher.identity(loser.node))
            var name = names.candidate(0)
            for attempt in 1..<ConflictName.attemptsMax {
                let isFree = try storage.entries(shownIn: key.directory, named: name).isEmpty
                if isFree && !taken.contains(name) { break }
                name = names.candidate(attempt)
            }
            taken.insert(name)
            rows.append(
                ConflictRow(
                    parent: key.directory, name: key.name, entry: loser.entry,
                    version: loser.version, shownName: name, node: loser.node, kind: loser.kind))
        }
        return rows
    }

    /// A name under which a head may be kept beside its file, and that nothing shows under.
    package func freeConflictName(
        of head: VersionRow, beside name: [UInt8], in directory: ObjectID
    ) throws(StorageError) -> [UInt8] {
        let names = ConflictName(
            base: name, kind: .file, device: deviceName(of: head.id.writer), time: head.time,
            identity: hasher.identity(head.id))
        var free = names.candidate(0)
        for attempt in 1..<ConflictName.attemptsMax where try lookup(free, in: directory) != nil {
            free = names.candidate(attempt)
        }
        return free
    }

    private func deviceName(of writer: WriterSlot) -> String {
        if let name = deviceNames[writer], !name.isEmpty { return name }
        return String(writers.key(of: writer).hex.prefix(8))
    }
}

extension HeldEntry {
    /// Whether this entry held the name before the flush.
    fileprivate func held(_ key: NameKey) -> Bool {
        guard let original else { return false }
        return original.holdsName && original.shownParent == key.directory
            && original.placement.name == key.name
    }
}

extension Held<ObjectRow> {
    /// Whether a file shows other bytes, and others may be compared with it.
    fileprivate var showsOtherContent: Bool {
        guard row.kind == .file, row.links > 0 else { return false }
        guard
            original?.winner != row.winner || original?.details != row.details
                || original?.merge?.verdict != row.merge?.verdict
        else { return false }
        return row.isContested || row.shownHeads > 1 || (original?.shownHeads ?? 0) > 1
    }
}
