package import Base

/// What a filesystem asks of the view. Reads see all operations but those of a batch that is still open.
extension FileTree {
    // MARK: Nodes and names

    /// - Returns: nil if there never was such an object or version. A removed one still answers.
    package func node(_ id: OperationID) throws(StorageError) -> Node? {
        if let row = try storage.object(id) {
            return Node(id: id, object: id, entry: row.entry, kind: row.kind)
        }
        guard let version = try storage.version(id) else { return nil }
        return Node(id: id, object: version.object, entry: nil, kind: .file)
    }

    /// What a name shows in a directory. One query, unless the name is missing or contested.
    package func lookup(_ name: [UInt8], in directory: ObjectID) throws(StorageError) -> Node? {
        if let node = try holder(of: name, in: directory) { return node }
        guard let row = try storage.object(directory) else { return nil }
        if row.canonical != directory {
            return try lookup(name, in: row.canonical)
        }
        guard row.contestedNames > 0,
            let conflict = try storage.conflict(shownIn: directory, as: name),
            try showsConflicts(in: directory), try showsBeside(conflict)
        else { return nil }
        return try node(of: conflict)
    }

    private func holder(of name: [UInt8], in directory: ObjectID) throws(StorageError) -> Node? {
        let entries = try storage.entries(shownIn: directory, named: name)
        return entries.first(where: \.holdsName).map { entry in
            Node(id: entry.object, object: entry.object, entry: entry.id, kind: entry.kind)
        }
    }

    private func node(of conflict: ConflictRow) throws(StorageError) -> Node {
        let entry = try required(
            try storage.entry(conflict.entry), "entry \(conflict.entry)")
        return Node(
            id: conflict.node, object: entry.object, entry: entry.id, kind: conflict.kind)
    }

    /// The first `limit` names of a directory after `name`, in byte order.
    package func list(_ directory: ObjectID, after name: [UInt8]? = nil, limit: Int = .max)
        throws(StorageError) -> [ListedName]
    {
        guard let row = try storage.object(directory) else { return [] }
        if row.canonical != directory {
            return try list(row.canonical, after: name, limit: limit)
        }
        let names = try storage.holders(in: directory, after: name, limit: limit).map { entry in
            ListedName(
                name: entry.placement.name, node: entry.object, kind: entry.kind,
                number: entry.number)
        }
        let copies = try conflictNames(in: row, after: name, limit: limit)
        guard !copies.isEmpty else { return names }
        let merged = (names + copies).sorted { $0.name.lexicographicallyPrecedes($1.name) }
        return Array(merged.prefix(limit))
    }

    private func conflictNames(in directory: ObjectRow, after name: [UInt8]?, limit: Int)
        throws(StorageError) -> [ListedName]
    {
        guard directory.contestedNames > 0, try showsConflicts(in: directory.id) else { return [] }
        var result: [ListedName] = []
        var cursor = name
        while result.count < limit {
            let count = min(limit - result.count, 256)
            let page = try storage.conflicts(shownIn: directory.id, after: cursor, limit: count)
            for row in page where try showsBeside(row) {
                // A loser that is a file of its own may show another's number.
                let number = row.version == nil ? try storage.entry(row.entry)?.number : nil
                result.append(
                    ListedName(
                        name: row.shownName, node: row.node, kind: row.kind, number: number))
            }
            guard page.count == count else { break }
            cursor = page.last?.shownName
        }
        return result
    }

    // MARK: Where copies do not show

    /// Whether losers show beside their names here: not inside a directory `.git`, or a bare repository,
    /// which is called `NAME.git`: a stray name is a reference to git.
    package func showsConflicts(in directory: ObjectID) throws(StorageError) -> Bool {
        var current = directory
        while current != .root {
            let object = try required(try storage.object(current), "directory \(current)")
            guard let id = object.entry, let entry = try storage.entry(id) else { return true }
            if entry.placement.name.suffix(4) == Array(".git".utf8)[...] { return false }
            guard let parent = entry.shownParent else { return true }
            current = parent
        }
        return true
    }

    private static let databaseSuffixes = ["-wal", "-shm", "-journal"].map { Array($0.utf8) }

    /// Whether a name is that of a file which SQLite has beside a database in use.
    package static func isBesideDatabase(_ name: [UInt8]) -> Bool {
        databaseSuffixes.contains { name.count > $0.count && name.suffix($0.count) == $0[...] }
    }

    /// Whether this loser may show: a file not beside those of a database in use.
    func showsBeside(_ conflict: ConflictRow) throws(StorageError) -> Bool {
        guard conflict.kind == .file else { return true }
        if Self.isBesideDatabase(conflict.name) { return false }
        for suffix in Self.databaseSuffixes {
            let sibling = conflict.name + suffix
            guard sibling.count <= Limits.nameSizeMax else { continue }
            if try !storage.entries(shownIn: conflict.parent, named: sibling).isEmpty {
                return false
            }
        }
        return true
    }

    // MARK: Attributes

    package func attributes(of id: OperationID) throws(StorageError) -> NodeAttributes? {
        if let row = try storage.object(id) {
            switch row.kind {
            case .directory: return try attributes(ofDirectory: row)
            case .file: return attributes(of: row)
            case .symlink, .fifo, .socket, .characterDevice, .blockDevice:
                return common(row, size: UInt64(row.target.count), modified: row.modified.value)
            }
        }
        guard let version = try storage.version(id), let row = try storage.object(version.object)
        else { return nil }
        var attributes = common(row, size: version.size, modified: version.modified)
        attributes.id = id
        attributes.number = id
        return attributes
    }

    private func attributes(of file: ObjectRow) -> NodeAttributes {
        guard let winner = file.winner else {
            return common(file, size: 0, modified: file.modified.value)
        }
        let isSet = writers.precedes(winner.stamp, file.modified.stamp)
        return common(
            file, size: winner.size, modified: isSet ? file.modified.value : winner.modified)
    }

    private func attributes(ofDirectory row: ObjectRow) throws(StorageError) -> NodeAttributes {
        guard row.canonical == row.id else {
            let canonical = try required(
                try storage.object(row.canonical), "directory \(row.canonical)")
            var attributes = try attributes(ofDirectory: canonical)
            attributes.id = row.id
            attributes.number = row.id
            return attributes
        }
        var attributes = common(row, size: 0, modified: row.modified.value)
        attributes.links = row.links > 0 || row.id == .root ? 2 + row.subdirectories : 0
        attributes.parent = try parent(of: row)
        guard row.isContested else { return attributes }
        // The times of a united directory are the latest of its members'.
        var modified = row.modified
        var changed = row.changed
        for member in try members(of: row.id) where member.object != row.id {
            let other = try required(try storage.object(member.object), "\(member.object)")
            if writers.precedes(modified.stamp, other.modified.stamp) { modified = other.modified }
            if writers.precedes(changed, other.changed) { changed = other.changed }
        }
        attributes.modified = modified.value
        attributes.changed = changed.timestamp(notBefore: modified.value)
        return attributes
    }

    private func parent(of directory: ObjectRow) throws(StorageError) -> ObjectID {
        guard let id = directory.entry, let entry = try storage.entry(id) else { return .root }
        return entry.shownParent ?? entry.placement.parent
    }

    private func common(_ row: ObjectRow, size: UInt64, modified: Timestamp) -> NodeAttributes {
        NodeAttributes(
            id: row.id, object: row.id, number: row.number ?? row.id, kind: row.kind,
            mode: row.mode.value, uid: row.uid.value, gid: row.gid.value, device: row.device,
            size: size, modified: modified,
            changed: row.changed.timestamp(notBefore: modified), accessed: row.accessed.value,
            created: row.created,
            links: row.links, parent: nil)
    }

    /// The target of a symlink.
    package func target(of id: ObjectID) throws(StorageError) -> [UInt8]? {
        try storage.object(id)?.target
    }

    package func xattr(_ name: [UInt8], of id: OperationID) throws(StorageError) -> [UInt8]? {
        guard let node = try node(id) else { return nil }
        return try storage.xattr(name, of: node.object)?.value
    }

    package func xattrNames(of id: OperationID) throws(StorageError) -> [[UInt8]] {
        guard let node = try node(id) else { return [] }
        return try storage.xattrs(of: node.object).compactMap { $0.value == nil ? nil : $0.name }
    }

    // MARK: Content

    /// The content shown under a node, a file or a copy. A version that no longer shows answers for
    /// itself: who has it open goes on reading it.
    ///
    /// - Returns: nil for what is not a file.
    package func content(of id: OperationID) throws(StorageError) -> ShownContent? {
        guard let node = try node(id), node.kind == .file else { return nil }
        let row = try required(try storage.object(node.object), "object \(node.object)")
        guard let winner = row.winner else {
            return ShownContent(versions: [], size: 0, modified: row.modified.value, content: [])
        }
        if !node.isCopy && row.heads == 1 {
            let version = try required(
                try storage.version(winner.version), "version \(winner.version)")
            return ShownContent(version, [version.id])
        }
        let heads = try storage.heads(of: node.object)
        if !node.isCopy {
            return ShownHeads(heads, row.merge?.verdict, writers: writers).items.first.map {
                ShownContent($0.version, $0.versions)
            }
        }
        // Whoever has a copy open goes on reading it when it is merged.
        let items = ShownHeads(heads, nil, writers: writers).items
        if let item = items.first(where: { $0.versions.contains(id) }) {
            return ShownContent(item.version, item.versions)
        }
        return try storage.version(id).map { ShownContent($0, [id]) }
    }

    /// All versions of a file, in the order of operations.
    package func versions(of object: ObjectID) throws(StorageError) -> [VersionRow] {
        try storage.versions(of: object).sorted { writers.precedes($0.stamp, $1.stamp) }
    }

    // MARK: For whoever authors changes

    /// The visible entries of an object.
    package func entries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        try storage.entries(of: object).filter(\.isVisible)
    }

    /// The entries that are one directory with this one, the canonical one first: who renames or removes it
    /// does so to all of them in one block. Empty for the root.
    package func members(of directory: ObjectID) throws(StorageError) -> [EntryRow] {
        guard let row = try storage.object(directory), let id = row.entry,
            let entry = try storage.entry(id)
        else { return [] }
        guard let parent = entry.shownParent else { return [entry] }
        var result: [EntryRow] = []
        for other in try storage.entries(shownIn: parent, named: entry.placement.name)
        where other.kind == .directory {
            let object = try required(try storage.object(other.object), "\(other.object)")
            guard object.canonical == row.canonical else { continue }
            if other.object == row.canonical {
                result.insert(other, at: 0)
            } else {
                result.append(other)
            }
        }
        return result
    }

    /// The entries hidden behind this one because name and content are equal: who writes, renames or
    /// removes it removes them in the same block.
    package func twins(of id: EntryID) throws(StorageError) -> [EntryRow] {
        guard let entry = try storage.entry(id), let parent = entry.shownParent else { return [] }
        let entries = try storage.entries(shownIn: parent, named: entry.placement.name)
        guard entries.count > 1 else { return [] }
        var members: [NameGroup.Member] = []
        for entry in entries {
            let object = try required(try storage.object(entry.object), "\(entry.object)")
            members.append(try member(entry, object, isAlone: false))
        }
        let group = NameGroup(members, writers: writers)
        return entries.filter { group.twins[$0.id] == id }
    }

    /// All conflicts in the order of their keys, after one if given; those that do not show beside their
    /// names too.
    package func conflicts(after row: ConflictRow? = nil, limit: Int) throws(StorageError)
        -> [ConflictRow]
    {
        try storage.conflicts(after: row, limit: limit)
    }
}

extension ShownContent {
    fileprivate init(_ version: VersionRow, _ versions: [VersionID]) {
        self.init(
            versions: versions, size: version.size, modified: version.modified,
            content: version.content)
    }
}
