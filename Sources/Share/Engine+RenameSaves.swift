import Base
import Chunks
import FileTree

/// Saves by renaming a temporary file over the old one: its bytes become a version of that, whose identity
/// survives.
extension Engine {
    /// Whether a name is that of a backup: the file's with something added, as in `f~`, `f.bak`, `bak_f`.
    static func isBackup(_ backup: [UInt8], of name: [UInt8]) -> Bool {
        backup.count > name.count
            && (backup.starts(with: name) || backup.suffix(name.count) == name[...])
    }

    /// Whether a rename over an existing file is how a program saved it: the source was made here for
    /// that, and both are plain files with one name; the old one may have a backup besides.
    func isSave(of source: Node, over target: Node) throws(VolumeError) -> Bool {
        guard target.kind == .file, !target.isCopy, try isTemporary(source) else { return false }
        let places = try self.places(of: target.object)
        if places.count == 2 { return try backup(of: target) != nil }
        return places.count == 1
    }

    /// Whether a file that is renamed was made here as the next version of another: programs do that at
    /// once, or as soon as it is complete. What has been there for a while is a file of its own, and
    /// whoever puts it in the place of another means to replace that, with all that shows of it.
    func isTemporary(_ source: Node) throws(VolumeError) -> Bool {
        let now = environment.now()
        guard source.kind == .file, !source.isCopy,
            let history = recent.history(of: source.object),
            history.written + SaveLimits.sinceWritten >= now,
            try places(of: source.object).count == 1
        else { return false }
        let heads = try Self.stored { () throws(StorageError) in
            try storage.heads(of: source.object)
        }
        // A temporary file has not been shown to others: no edit of theirs would go with it.
        guard heads.count <= 1 else { return false }
        // What takes longer to make is written once; what was saved again after a while is edited.
        return history.born + SaveLimits.sinceBorn >= now
            || heads.allSatisfy(\.parents.isEmpty)
    }

    private enum SaveLimits {
        /// From the last version of a temporary file to its renaming. Editors, rsync and package managers
        /// sync it in between; a script may look at it.
        static let sinceWritten = Duration.seconds(10)
        /// The same for a program that does both, and knows nothing of what came in since it began.
        static let atOnce = Duration.seconds(2)
        /// From the making of a temporary file that is written in several steps to its renaming.
        static let sinceBorn = Duration.seconds(60)
        /// From the linking of a backup to the renaming.
        static let sinceLinked = Duration.seconds(10)
    }

    /// The other name of a file of two, if it was made a moment ago: programs that replace a file link it
    /// first to keep it (`rsync --backup`, dpkg).
    func backup(of target: Node) throws(VolumeError) -> EntryRow? {
        guard let own = target.entry else { return nil }
        let entries = try Self.stored { () throws(StorageError) in
            try tree.entries(of: target.object)
        }
        guard let here = entries.first(where: { $0.id == own }) else { return nil }
        let others = entries.filter { !$0.isAt(here) }
        guard let other = others.first, others.count == 1,
            let linked = recent.linked(other.id),
            linked + SaveLimits.sinceLinked >= environment.now()
        else { return nil }
        return other
    }

    /// One entry for each place where a file shows: several of one name count once.
    func places(of object: ObjectID) throws(VolumeError) -> [EntryRow] {
        var places: [EntryRow] = []
        let entries = try Self.stored { () throws(StorageError) in try tree.entries(of: object) }
        for entry in entries where !places.contains(where: { $0.isAt(entry) }) {
            places.append(entry)
        }
        return places
    }

    /// The temporary file's content becomes a version of the target, whose identity survives.
    ///
    /// The parents are what the program had been shown when it made the temporary file: versions
    /// that came in since are not its parents, so they are not buried. If the file had been complete for
    /// some seconds when it was renamed, it was somebody who had seen what was there by then.
    mutating func save(
        _ source: Node, from: ObjectID, over target: Node, in to: ObjectID
    ) throws(VolumeError) -> RenameResult {
        guard let sourceEntry = source.entry, let targetEntry = target.entry else {
            throw .notPermitted
        }
        let replaced = try openContent(of: NodeID(target.id))
        let content = try shownContent(source.id)
        let parents = try recordMerge(
            of: target.object, parentsOfSave(target, by: source.object))
        let twins = try self.twins(of: targetEntry)
        let version = try author(
            .write(
                .init(
                    object: target.object, parents: parents, size: content.size,
                    modified: content.modified,
                    // What was never written to has no content yet.
                    content: content.content.isEmpty ? Content.empty.encode() : content.content)))
        try succeed(twins)
        try copyAttributes(from: source.object, to: target.object)
        try author(.remove(.init(sourceEntry, from: from)))
        if to != from {
            // No entry moves there, but programs see one that does.
            try author(.setAttribute(.init(object: to, modified: environment.wallTime())))
        }
        try swapNumbers(source.object, target.object)
        try moveStaged(from: source.object, to: target.object, after: [version])
        return .saved(
            saved: NodeID(target.id), temporary: NodeID(source.id), replacedContent: replaced)
    }

    func swapNumbers(_ first: ObjectID, _ second: ObjectID) throws(VolumeError) {
        try Self.stored { () throws(StorageError) in try tree.swapNumbers(first, second) }
    }

    func parentsOfSave(_ target: Node, by temporary: ObjectID) throws(VolumeError)
        -> [VersionID]
    {
        // Whoever takes longer than a program does has looked at what is there now.
        let isAtOnce =
            recent.history(of: temporary).map {
                $0.written + SaveLimits.atOnce >= environment.now()
            } ?? true
        // A file that came to this path only now was not what the program had been shown here.
        if isAtOnce, let id = target.entry, try hasCome(id, toPathOf: temporary) { return [] }
        var parents: [VersionID] = []
        var pending = try shownContent(target.object).versions
        if let last = recent.lastShown(of: target.object), pending.allSatisfy(last.contains) {
            pending = last
        }
        while let version = pending.popLast() {
            guard !parents.contains(version) else { continue }
            guard isAtOnce, recent.arrived(version, after: temporary) else {
                parents.append(version)
                continue
            }
            let row = try Self.stored { () throws(StorageError) in try storage.version(version) }
            pending.append(contentsOf: row?.parents ?? [])
        }
        return parents.sorted { $0.rawValue < $1.rawValue }
    }

    /// Whether a file came to the path where it is only after another was made here: to its name, or with a directory,
    /// unless the other one has been in that.
    private func hasCome(_ id: EntryID, toPathOf temporary: ObjectID) throws(VolumeError) -> Bool {
        try Self.stored { () throws(StorageError) in
            let home = try tree.entries(of: temporary).first?.shownParent
            var entry = try storage.entry(id)
            for _ in 0..<NameLimits.depthMax {
                guard let row = entry, let parent = row.shownParent else { return false }
                let name = NameKey(directory: parent, name: row.placement.name)
                if recent.changed(name, after: temporary) { return true }
                guard parent != home, parent != .root,
                    let above = try storage.object(parent)?.entry
                else { return false }
                entry = try storage.entry(above)
            }
            return false
        }
    }

    mutating func copyAttributes(from source: ObjectID, to target: ObjectID)
        throws(VolumeError)
    {
        let wanted = try attributes(source)
        let present = try attributes(target)
        let change = Operation.SetAttribute(
            object: target, mode: wanted.mode == present.mode ? nil : UInt16(wanted.mode),
            uid: wanted.uid == present.uid ? nil : wanted.uid,
            gid: wanted.gid == present.gid ? nil : wanted.gid,
            modified: wanted.modified == present.modified ? nil : wanted.modified)
        if change != Operation.SetAttribute(object: target) { try author(.setAttribute(change)) }
        try setXattrs(of: target, to: try xattrs(of: source))
    }

    /// In the order of names.
    func xattrs(of object: ObjectID) throws(VolumeError) -> [(name: [UInt8], value: [UInt8])] {
        var all: [(name: [UInt8], value: [UInt8])] = []
        for name in try xattrNames(object) {
            let value = try Self.stored { () throws(StorageError) in
                try tree.xattr(name, of: object)
            }
            if let value { all.append((name, value)) }
        }
        return all
    }

    mutating func setXattrs(
        of object: ObjectID, to wanted: [(name: [UInt8], value: [UInt8])]
    ) throws(VolumeError) {
        let present = try xattrs(of: object)
        for (name, _) in present where !wanted.contains(where: { $0.name == name }) {
            try author(.removeXattr(.init(object: object, name: name)))
        }
        for (name, value) in wanted
        where !present.contains(where: { $0.name == name && $0.value == value }) {
            try author(.setXattr(.init(object: object, name: name, value: value)))
        }
    }
}

extension EntryRow {
    /// Whether both show at one place.
    func isAt(_ other: EntryRow) -> Bool {
        shownParent == other.shownParent && placement.name == other.placement.name
    }
}
