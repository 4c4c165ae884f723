package import Base

/// Everything that wants one name of a directory, where more than one thing is there to be shown.
package struct Contest: Sendable {
    /// One thing that would show under the name.
    package struct Contender: Sendable {
        package var entry: EntryID
        package var object: ObjectID
        package var kind: ObjectKind
        /// The head of a file that it is; nil for what has no content.
        package var version: VersionRow?
        /// All heads with the bytes of that one, which is the first.
        package var versions: [VersionID]
        /// The operation that put the entry there.
        package var placed: Stamp
        /// The name it shows under instead; nil for the one that has the name.
        package var shownName: [UInt8]?
        /// Whether it shows in the directory at all.
        package var isRendered: Bool

        /// The object, or the head that shows beside it.
        package var node: OperationID {
            if let version, isCopy { return version.id }
            return object
        }
        /// Whether it is a further head of a file that has another one under its name.
        package var isCopy: Bool
        /// The operation it comes from: of a file the one that wrote its bytes.
        package var stamp: Stamp { version?.stamp ?? placed }
    }

    package var directory: ObjectID
    package var name: [UInt8]
    /// The one that has the name, if it may be had, then the others, the earlier before the later.
    package var contenders: [Contender]

    package var holder: Contender? { contenders.first { $0.shownName == nil } }
    /// Whether the name is the mount's own: then nobody has it.
    package var isReserved: Bool { NameKey(directory: directory, name: name).isReserved }
}

/// Conflicts, told whole. Each costs a few queries; how many files there are does not matter.
extension FileTree {
    /// The contest that one conflict is part of.
    package func contest(of row: ConflictRow) throws(StorageError) -> Contest? {
        try contest(for: row.name, in: row.parent)
    }

    /// The contest for a name, or the one of which something shows under the name.
    ///
    /// - Returns: nil if the name is nobody's, or one thing's alone.
    package func contest(for name: [UInt8], in directory: ObjectID) throws(StorageError)
        -> Contest?
    {
        guard let row = try storage.object(directory) else { return nil }
        guard row.canonical == directory else { return try contest(for: name, in: row.canonical) }
        guard row.contestedNames > 0 else { return nil }
        var rows = try storage.conflicts(in: directory, named: name)
        var name = name
        if rows.isEmpty, let shown = try storage.conflict(shownIn: directory, as: name) {
            name = shown.name
            rows = try storage.conflicts(in: directory, named: name)
        }
        guard !rows.isEmpty else { return nil }
        return try contest(NameKey(directory: directory, name: name), rows)
    }

    private func contest(_ key: NameKey, _ rows: [ConflictRow]) throws(StorageError) -> Contest {
        let entries = try storage.entries(shownIn: key.directory, named: key.name)
        let showsConflicts = try showsConflicts(in: key.directory)
        var losers: [Contest.Contender] = []
        for row in rows {
            let entry = try required(
                entries.first { $0.id == row.entry }, "entry \(row.entry) of a conflict")
            var loser = try contender(entry, head: row.version)
            loser.shownName = row.shownName
            let isBeside = try showsBeside(row)
            loser.isRendered = showsConflicts && isBeside
            losers.append(loser)
        }
        losers.sort { writers.precedes($0.stamp, $1.stamp) }
        let holder = try entries.first(where: \.holdsName).map { (entry) throws(StorageError) in
            try contender(entry, head: nil)
        }
        return Contest(
            directory: key.directory, name: key.name,
            contenders: (holder.map { [$0] } ?? []) + losers)
    }

    /// - Parameter head: the head that shows beside its file; nil for the file itself.
    private func contender(_ entry: EntryRow, head: VersionID?) throws(StorageError)
        -> Contest.Contender
    {
        var contender = Contest.Contender(
            entry: entry.id, object: entry.object, kind: entry.kind, version: nil, versions: [],
            placed: entry.placement.stamp, shownName: nil, isRendered: true, isCopy: head != nil)
        guard entry.kind == .file else { return contender }
        let items = ShownHeads(try storage.heads(of: entry.object), writers: writers).items
        let item = head.map { head in items.first { $0.versions.contains(head) } } ?? items.first
        contender.version = item?.version
        contender.versions = item?.versions ?? []
        return contender
    }

    /// Whether another tree of the same operations and writers has the same conflicts: they follow from
    /// what the digest covers, and are stored for speed.
    package func hasEqualConflicts(_ other: FileTree) throws(StorageError) -> Bool {
        guard totals.conflicts == other.totals.conflicts else { return false }
        var last: ConflictRow?
        while true {
            let page = try storage.conflicts(after: last, limit: 256)
            guard try other.storage.conflicts(after: last, limit: 256) == page else { return false }
            guard let end = page.last else { return true }
            last = end
        }
    }

    /// The names by which a directory is reached from the root.
    ///
    /// - Returns: nil if it does not show.
    package func names(leadingTo directory: ObjectID) throws(StorageError) -> [[UInt8]]? {
        var names: [[UInt8]] = []
        var current = directory
        while current != .root {
            guard let row = try storage.object(current), let id = row.entry else { return nil }
            if row.canonical != current {
                current = row.canonical
                continue
            }
            guard let entry = try storage.entry(id), let parent = entry.shownParent else {
                return nil
            }
            names.append(try shownName(of: entry, in: parent))
            current = parent
        }
        return names.reversed()
    }

    /// The name under which a visible entry shows: its own, or the one it has as the loser of that.
    package func shownName(of entry: EntryRow, in directory: ObjectID) throws(StorageError)
        -> [UInt8]
    {
        if entry.holdsName { return entry.placement.name }
        let rows = try storage.conflicts(in: directory, named: entry.placement.name)
        return rows.first { $0.entry == entry.id && $0.version == nil }?.shownName
            ?? entry.placement.name
    }

    /// The latest versions that both have come from: one, unless their histories cross.
    ///
    /// Goes back only as far as it must, the latest first: a version comes later than all it came from.
    package func bases(of left: VersionID, _ right: VersionID) throws(StorageError)
        -> [VersionRow]
    {
        struct Mark {
            var isLeft = false
            var isRight = false
            /// An ancestor of a base is none.
            var isCovered = false
        }
        var marks: [VersionID: Mark] = [:]
        var waiting: [VersionRow] = []
        func reach(_ id: VersionID, _ mark: Mark) throws(StorageError) {
            if marks[id] == nil {
                waiting.append(try required(try storage.version(id), "version \(id)"))
            }
            var known = marks[id] ?? Mark()
            known.isLeft = known.isLeft || mark.isLeft
            known.isRight = known.isRight || mark.isRight
            known.isCovered = known.isCovered || mark.isCovered
            marks[id] = known
        }
        try reach(left, Mark(isLeft: true))
        try reach(right, Mark(isRight: true))
        var bases: [VersionRow] = []
        while waiting.contains(where: { marks[$0.id]?.isCovered != true }) {
            guard
                let index = waiting.indices.max(by: {
                    writers.precedes(waiting[$0].stamp, waiting[$1].stamp)
                })
            else { break }
            let version = waiting.remove(at: index)
            var mark = marks[version.id] ?? Mark()
            if mark.isLeft, mark.isRight {
                if !mark.isCovered { bases.append(version) }
                mark.isCovered = true
            }
            for parent in version.parents { try reach(parent, mark) }
        }
        return bases
    }
}
