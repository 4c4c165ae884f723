import Base
import Chunks
import FileTree

/// The filesystem's calls about names, as operations.
extension Engine {
    enum NameLimits {
        static let linksMax: UInt64 = 65000
        /// How deep a directory may lie; a guard for walks towards the root.
        static let depthMax = 10000
    }

    // MARK: Reading

    func lookup(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> Attributes {
        let found = try entry(name, in: try self.directory(directory))
        return try attributes(found.id)
    }

    func attributes(of node: NodeID) throws(VolumeError) -> Attributes {
        try attributes(try operation(node))
    }

    func node(showing number: NodeID) throws(VolumeError) -> NodeID {
        let id = try operation(number)
        if id == .root { return .root }
        let bearer = try Self.stored { () throws(StorageError) in try tree.bearer(of: id) }
        guard let bearer, try attributes(bearer).links > 0 else { throw .stale }
        return NodeID(bearer)
    }

    func list(_ directory: NodeID) throws(VolumeError) -> [DirectoryItem] {
        let id = try self.directory(directory)
        return try Self.stored { () throws(StorageError) in try tree.list(id) }.map {
            DirectoryItem(
                name: $0.name, node: NodeID($0.node), kind: FileKind($0.kind),
                number: NodeID($0.number))
        }
    }

    func parent(of directory: NodeID) throws(VolumeError) -> NodeID {
        let id = try self.directory(directory)
        let attributes = try Self.stored { () throws(StorageError) in
            try tree.attributes(of: id)
        }
        return NodeID(attributes?.parent ?? .root)
    }

    func readLink(_ node: NodeID) throws(VolumeError) -> [UInt8] {
        let id = try operation(node)
        guard let target = try Self.stored({ () throws(StorageError) in try tree.target(of: id) })
        else { throw .notSupported }
        return target
    }

    // MARK: Making

    mutating func make(_ name: [UInt8], in directory: NodeID, _ request: MakeRequest)
        throws(VolumeError) -> Attributes
    {
        let parent = try self.directory(directory)
        try requireFree(name, in: parent)
        let object = try author(
            .make(
                .init(
                    kind: ObjectKind(request.kind), mode: UInt16(request.mode & 0o7777),
                    uid: request.uid, gid: request.gid, created: environment.wallTime(),
                    device: request.device, target: request.target)))
        try author(.place(.init(.new(object), in: parent, named: name)))
        try set(request.extended, of: object)
        if request.kind == .file {
            recent.born(object, at: environment.now())
        }
        return try attributes(object)
    }

    mutating func link(_ node: NodeID, as name: [UInt8], in directory: NodeID)
        throws(VolumeError) -> Attributes
    {
        let object = try operation(node)
        let parent = try self.directory(directory)
        let before = try attributes(object)
        guard before.kind != .directory else { throw .notPermitted }
        guard try self.node(object).isCopy == false else { throw .notSupported }
        guard before.links > 0 else { throw .notFound }
        guard UInt64(before.links) < NameLimits.linksMax else { throw .tooManyLinks }
        try requireFree(name, in: parent)
        let entry = try author(.place(.init(.new(object), in: parent, named: name)))
        recent.linked(entry, at: environment.now())
        return try attributes(object)
    }

    // MARK: Removing

    mutating func unlink(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID {
        let parent = try self.directory(directory)
        let found = try entry(name, in: parent)
        guard found.kind != .directory else { throw .isDirectory }
        try remove(found, from: parent)
        try forgetStagedIfGone(found.id)
        return NodeID(found.id)
    }

    func hasName(_ id: OperationID) throws(VolumeError) -> Bool {
        do throws(VolumeError) {
            return try attributes(id).links > 0
        } catch .stale {
            return false
        }
    }

    mutating func removeDirectory(_ name: [UInt8], in directory: NodeID) throws(VolumeError)
        -> NodeID
    {
        let parent = try self.directory(directory)
        let found = try entry(name, in: parent)
        guard found.kind == .directory else { throw .notDirectory }
        try requireEmpty(found.object)
        try removeMembers(of: found.object, from: parent)
        return NodeID(found.id)
    }

    /// Removes what is not a directory: a copy's head is closed, a file goes with the twins hidden
    /// behind it, while copies shown beside it become files of their own.
    private mutating func remove(_ node: Node, from parent: ObjectID) throws(VolumeError) {
        guard let entry = node.entry else { throw .notPermitted }
        if node.isCopy {
            try close(node, of: entry, in: parent)
            return
        }
        for copy in try copies(of: node.object, shownFor: entry) { try detach(copy) }
        if node.kind == .file { try detachHiddenHeads(of: node.object, shownBy: entry) }
        if node.kind == .file { try noteDeparture(of: node.object) }
        // While the names of their copies are still what the user sees.
        try remove(try self.twins(of: entry))
        try author(.remove(.init(entry, from: parent)))
    }

    private mutating func removeMembers(of directory: ObjectID, from parent: ObjectID)
        throws(VolumeError)
    {
        // What is listed as a conflict only, and never shown here, goes with its directory.
        for hidden in try Self.stored({ () throws(StorageError) in
            try storage.entries(shownIn: directory, after: nil, limit: .max)
        }) {
            try author(.remove(.init(hidden.id, from: directory)))
        }
        for member in try Self.stored({ () throws(StorageError) in
            try tree.members(of: directory)
        }) {
            try author(.remove(.init(member.id, from: parent)))
        }
    }

    // MARK: Renaming

    mutating func rename(
        _ name: [UInt8], in directory: NodeID, to newName: [UInt8], in newDirectory: NodeID,
        _ mode: RenameMode, succeeding former: NodeID?
    ) throws(VolumeError) -> RenameResult {
        let from = try self.directory(directory)
        let to = try self.directory(newDirectory)
        let source = try entry(name, in: from)
        try check(newName)
        let target = try Self.stored { () throws(StorageError) in
            try tree.lookup(newName, in: to)
        }
        switch mode {
        case .noReplace where target != nil: throw .exists
        case .exchange:
            guard let target else { throw .notFound }
            return try exchange(source, name, from, target, newName, to)
        default: break
        }
        if let target, target.object == source.object, target.id == source.id { return .unchanged }
        if source.kind == .directory { try requireOutside(source.object, to) }
        if source.kind == .file, !source.isCopy {
            recent.moved(source.object, from: RecentFiles.NamePlace(parent: from, name: name))
        }
        guard let target else {
            if !Self.isBackup(newName, of: name),
                let result = try succeed(
                    by: source, at: (parent: to, name: newName), from: from, former)
            {
                return result
            }
            return .moved(try move(source, from: from, to: to, as: newName), replaced: nil)
        }
        if try isCopy(source, besideFile: target) {
            return try choose(source, from: from, insteadOf: target, in: to)
        }
        switch (source.kind == .directory, target.kind == .directory) {
        case (true, false): throw .notDirectory
        case (false, true): throw .isDirectory
        case (true, true):
            try requireEmpty(target.object)
            try removeMembers(of: target.object, from: to)
        case (false, false):
            if !Self.isBackup(newName, of: name), try isSave(of: source, over: target) {
                if let link = try backup(of: target) {
                    return try save(source, from: from, over: target, in: to, keeping: link)
                }
                return try save(source, from: from, over: target, in: to)
            }
            try remove(target, from: to)
            try forgetStagedIfGone(target.id)
        }
        return .moved(
            try move(source, from: from, to: to, as: newName), replaced: NodeID(target.id))
    }

    private mutating func exchange(
        _ source: Node, _ name: [UInt8], _ from: ObjectID, _ target: Node, _ newName: [UInt8],
        _ to: ObjectID
    ) throws(VolumeError) -> RenameResult {
        guard source.id != target.id else { return .unchanged }
        if source.kind == .directory { try requireOutside(source.object, to) }
        if target.kind == .directory { try requireOutside(target.object, from) }
        // Under one name for a moment, two with the same bytes would be each other's twins, and two folders
        // that one block put there would be one.
        for node in [source, target] { try removeTwins(of: node) }
        let members = try self.members(of: target)
        let first = try move(source, from: from, to: to, as: newName, withTwins: false)
        let second = try move(
            target, from: to, to: from, as: name, withTwins: false, members: members)
        return .exchanged(first, second)
    }

    /// The entries of the directories that are one with a node.
    private func members(of node: Node) throws(VolumeError) -> [EntryRow] {
        try Self.stored { () throws(StorageError) in
            try tree.members(of: node.object)
        }
    }

    private mutating func removeTwins(of node: Node) throws(VolumeError) {
        guard let entry = node.entry, !node.isCopy, node.kind != .directory else { return }
        try remove(try twins(of: entry))
    }

    /// Gives a node its new place; a conflict copy becomes a file of its own there.
    ///
    /// - Parameters:
    ///   - withTwins: whether those that are hidden behind it give up the name.
    ///   - members: the directories that are one with it, if they are known.
    mutating func move(
        _ node: Node, from: ObjectID, to: ObjectID, as name: [UInt8], withTwins: Bool = true,
        members: [EntryRow]? = nil
    ) throws(VolumeError) -> NodeID {
        guard let entry = node.entry else { throw .notPermitted }
        if node.isCopy {
            return NodeID(try detach(node, to: (to, name)))
        }
        if node.kind == .directory {
            var entries = members ?? []
            if members == nil { entries = try self.members(of: node) }
            for member in entries {
                try author(
                    .place(.init(.existing(member.id, from: from), in: to, named: name)))
            }
            return NodeID(node.id)
        }
        if withTwins { try removeTwins(of: node) }
        try author(.place(.init(.existing(entry, from: from), in: to, named: name)))
        return NodeID(node.id)
    }

    /// Whether a node shows as a copy of a file, or of one that is hidden behind that.
    private func isCopy(_ node: Node, besideFile file: Node) throws(VolumeError) -> Bool {
        guard node.isCopy, !file.isCopy else { return false }
        if node.object == file.object { return true }
        guard let entry = file.entry, file.kind == .file else { return false }
        return try twins(of: entry).contains { $0.entry.id == node.entry }
    }

    /// A conflict copy renamed over the file that it is a copy of: its content is what the file has
    /// from now on, for everybody, and both heads are succeeded.
    private mutating func choose(
        _ copy: Node, from: ObjectID, insteadOf target: Node, in to: ObjectID
    ) throws(VolumeError) -> RenameResult {
        let replaced = try openContent(of: NodeID(target.id))
        let chosen = try shownContent(copy.id)
        var parents = Set(try shownContent(target.id).versions)
        if copy.object == target.object {
            parents.formUnion(chosen.versions)
        } else if let entry = copy.entry {
            try close(copy, of: entry, in: from)
        }
        var twins: [Twin] = []
        if let entry = target.entry { twins = try self.twins(of: entry) }
        let version = try author(
            .write(
                .init(
                    object: target.object,
                    parents: parents.sorted { $0.rawValue < $1.rawValue }, size: chosen.size,
                    modified: chosen.modified, content: chosen.content)))
        try succeed(twins)
        try moveStaged(from: copy.id, to: target.id, after: [version])
        try author(.setAttribute(.init(object: from, modified: environment.wallTime())))
        return .saved(
            saved: NodeID(target.id), temporary: NodeID(copy.id), replacedContent: replaced)
    }

    // MARK: Conflict copies

    /// The conflict copies that show beside an entry because its file has further heads.
    func copies(of object: ObjectID, shownFor entry: EntryID) throws(VolumeError)
        -> [Node]
    {
        guard let row = try Self.stored({ () throws(StorageError) in try storage.entry(entry) }),
            let shownParent = row.shownParent
        else { return [] }
        return try Self.stored { () throws(StorageError) in
            try storage.conflicts(in: shownParent, named: row.placement.name)
        }.compactMap { conflict in
            guard conflict.entry == entry, let version = conflict.version else { return nil }
            return Node(id: version, object: object, entry: entry, kind: .file)
        }
    }

    /// Makes a conflict copy a file of its own, under the name it shows, or at `place`.
    ///
    /// - Parameter content: replaces the copy's own.
    /// - Returns: the new object.
    @discardableResult
    mutating func detach(
        _ copy: Node, to place: (parent: ObjectID, name: [UInt8])? = nil,
        content: Operation.Write? = nil
    ) throws(VolumeError) -> ObjectID {
        guard let row = try shownEntry(of: copy), let shownParent = row.shownParent else {
            throw .stale
        }
        let entry = row.id
        let conflict = try Self.stored { () throws(StorageError) in
            try storage.conflicts(in: shownParent, named: row.placement.name)
        }.first { $0.entry == entry && $0.version == copy.id }
        let shown = try shownContent(copy.id)
        let attributes = try self.attributes(copy.object)
        let object = try author(
            .make(
                .init(
                    kind: .file, mode: UInt16(attributes.mode), uid: attributes.uid,
                    gid: attributes.gid, created: environment.wallTime())))
        if let place {
            try author(.place(.init(.new(object), in: place.parent, named: place.name)))
        } else {
            // A copy that is listed only has no name to keep; the file's own gets its rules again.
            try author(
                .place(
                    .init(
                        .new(object), in: shownParent,
                        named: conflict?.shownName ?? row.placement.name)))
        }
        try author(
            .write(
                .init(
                    object: object, parents: [], size: content?.size ?? shown.size,
                    modified: content?.modified ?? shown.modified,
                    content: content?.content ?? shown.content)))
        // What the mode says of its group may be the mask of a list of who else may do what.
        try setXattrs(of: object, to: try xattrs(of: copy.object))
        try close(copy, of: entry, in: shownParent)
        return object
    }

    /// Closes the head that a copy shows, and those with equal bytes that count as one with it.
    private mutating func close(_ copy: Node, of entry: EntryID, in parent: ObjectID)
        throws(VolumeError)
    {
        for version in try shownContent(copy.id).versions {
            try author(.remove(.init(entry, from: parent, version: version)))
        }
    }

    /// The entry beside which a conflict copy shows. A look-up of its name has found it; who knows
    /// only the version has not.
    private func shownEntry(of copy: Node) throws(VolumeError) -> EntryRow? {
        try Self.stored { () throws(StorageError) in
            if let entry = copy.entry { return try storage.entry(entry) }
            let entries = try tree.entries(of: copy.object)
            for row in entries {
                guard let parent = row.shownParent else { continue }
                let conflicts = try storage.conflicts(in: parent, named: row.placement.name)
                if conflicts.contains(where: { $0.entry == row.id && $0.version == copy.id }) {
                    return row
                }
            }
            return entries.first
        }
    }

    // MARK: Checks

    func operation(_ node: NodeID) throws(VolumeError) -> OperationID {
        guard let id = node.operation else { throw .stale }
        return retiredSlots.isEmpty && displaced.isEmpty ? id : current(id)
    }

    func node(_ id: OperationID) throws(VolumeError) -> Node {
        guard let node = try Self.stored({ () throws(StorageError) in try tree.node(id) }) else {
            throw .stale
        }
        return node
    }

    func directory(_ node: NodeID) throws(VolumeError) -> ObjectID {
        let id = try operation(node)
        guard id != .root else { return id }
        guard try self.node(id).kind == .directory else { throw .notDirectory }
        return id
    }

    private func entry(_ name: [UInt8], in directory: ObjectID) throws(VolumeError) -> Node {
        guard name.count <= FileTreeLimits.nameSizeMax else { throw .nameTooLong }
        guard
            let node = try Self.stored({ () throws(StorageError) in
                try tree.lookup(name, in: directory)
            })
        else { throw .notFound }
        return node
    }

    private func check(_ name: [UInt8]) throws(VolumeError) {
        guard name.count <= FileTreeLimits.nameSizeMax else { throw .nameTooLong }
        guard !name.isEmpty, name != [0x2e], name != [0x2e, 0x2e], !name.contains(0x2f),
            !name.contains(0)
        else { throw .invalidName }
    }

    func requireFree(_ name: [UInt8], in directory: ObjectID) throws(VolumeError) {
        try check(name)
        guard try attributes(directory).links > 0 else { throw .notFound }
        let taken = try Self.stored { () throws(StorageError) in
            try tree.lookup(name, in: directory)
        }
        guard taken == nil else { throw .exists }
    }

    private func requireEmpty(_ directory: ObjectID) throws(VolumeError) {
        let names = try Self.stored { () throws(StorageError) in
            try tree.list(directory, limit: 1)
        }
        guard names.isEmpty else { throw .notEmpty }
    }

    /// Refuses a place inside the directory that moves.
    private func requireOutside(_ moving: ObjectID, _ place: ObjectID) throws(VolumeError) {
        var current = place
        for _ in 0..<NameLimits.depthMax {
            if current == moving { throw .invalidMove }
            if current == .root { return }
            let attributes = try Self.stored { () throws(StorageError) in
                try tree.attributes(of: current)
            }
            guard let parent = attributes?.parent else { return }
            current = parent
        }
    }
}
