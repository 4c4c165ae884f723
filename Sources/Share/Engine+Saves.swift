import Base
import Chunks
import FileTree

/// Saves that put a new file where another was: a backup was made of the old one by renaming it, or it was
/// removed. Who calls knows that one program did both, at once; here it becomes a version of the old file,
/// which gets its name back, and the new one goes on as the backup, if there is one.
extension Engine {
    /// A file has lost its name: what it showed is remembered if that takes more than a look at it later.
    mutating func noteDeparture(of object: ObjectID) throws(VolumeError) {
        let versions = try shownContent(object).versions
        if versions.count > 1 { recent.departed(object, showing: versions) }
    }

    /// Makes a file where another was: that gets its name back, and its old bytes go on under the name that
    /// it was given, in a new file.
    ///
    /// - Returns: nil if it is not how that one is saved; nothing was done.
    mutating func makeAnew(
        _ name: [UInt8], in directory: NodeID, _ request: MakeRequest, succeeding former: NodeID
    ) throws(VolumeError) -> Succession? {
        let parent = try self.directory(directory)
        try requireFree(name, in: parent)
        guard let former = former.operation.map(current), try isPlainFile(former),
            try places(of: former).count <= 1,
            try hasLeft(RecentFiles.NamePlace(parent: parent, name: name), former),
            let entry = try lastEntry(of: former)
        else { return nil }
        let backup = entry.shownParent
        // A database's journal is another file each time: after a crash the bytes of an earlier one would
        // be taken for those of a change that was cut off.
        if FileTree.isBesideDatabase(name) { return nil }
        let old = try Particulars(of: former, in: self)
        let attributes = old.attributes
        let object = try author(
            .make(
                .init(
                    kind: .file, mode: UInt16(attributes.mode & 0o7777), uid: attributes.uid,
                    gid: attributes.gid, created: environment.wallTime())))
        try author(
            .place(.init(.existing(entry.id, from: backup ?? parent), in: parent, named: name)))
        if let backup {
            noteExchange(of: entry.placement.name, in: backup)
            try author(.place(.init(.new(object), in: backup, named: entry.placement.name)))
            try keep(old, as: object)
        }
        let now = environment.wallTime()
        try author(
            .setAttribute(
                .init(
                    object: former, mode: UInt16(request.mode & 0o7777), uid: request.uid,
                    gid: request.gid, modified: now, accessed: now)))
        try setXattrs(
            of: former,
            to: request.extended.compactMap { item in item.value.map { (item.name, $0) } })
        // To programs it is another file than before.
        try swapNumbers(object, former)
        var versions = try shownContent(former).versions
        if let last = recent.lastShown(of: former), versions.allSatisfy(last.contains) {
            versions = last
        }
        var kept: (node: NodeID, versions: [UInt64])?
        if backup != nil {
            let shown = try shownContent(object).versions
            kept = (NodeID(object), shown.map(\.rawValue))
            try moveStaged(from: former, to: object, after: shown)
        }
        return Succession(
            attributes: try self.attributes(former), versions: versions.map(\.rawValue),
            backup: kept)
    }

    private func isPlainFile(_ object: ObjectID) throws(VolumeError) -> Bool {
        let node = try node(object)
        return node.kind == .file && !node.isCopy
    }

    /// Where a file is, or was until it was removed.
    private func lastEntry(of object: ObjectID) throws(VolumeError) -> EntryRow? {
        try Self.stored { () throws(StorageError) in try storage.entries(of: object) }.max {
            ($0.isVisible ? 1 : 0, $0.placement.stamp.time)
                < ($1.isVisible ? 1 : 0, $1.placement.stamp.time)
        }
    }

    /// Whether a file has no name now, or that of a backup, which it was renamed to from this place: another
    /// may be a link that it had all along, or what a lock file was made for.
    private func hasLeft(_ place: RecentFiles.NamePlace, _ former: ObjectID) throws(VolumeError)
        -> Bool
    {
        guard let backup = try places(of: former).first else {
            return try attributes(former).links == 0
        }
        return recent.lastPlace(of: former) == place
            && backup.placement.name.contains(place.name)
    }

    /// Whether the one may become a version of the other: two plain files, one name each at most.
    private func canSucceed(_ object: ObjectID, _ former: ObjectID) throws(VolumeError) -> Bool {
        guard try isPlainFile(object), try isPlainFile(former) else { return false }
        guard try places(of: object).count == 1 else { return false }
        return try places(of: former).count <= 1
    }

    /// A temporary file was renamed to where another was: it is a save of that one.
    ///
    /// - Returns: nil if it is not.
    mutating func succeed(
        by source: Node, at place: (parent: ObjectID, name: [UInt8]), from: ObjectID,
        _ former: NodeID?
    ) throws(VolumeError) -> RenameResult? {
        guard let former = former?.operation.map(current), former != source.object,
            try isTemporary(source), try canSucceed(source.object, former),
            try hasLeft(RecentFiles.NamePlace(parent: place.parent, name: place.name), former)
        else { return nil }
        let shown = try shownContent(source.object)
        let isKept = try attributes(former).links > 0
        _ = try move(source, from: from, to: place.parent, as: place.name)
        _ = try exchange(
            source.object, with: former,
            Operation.Write(
                object: source.object, parents: [], size: shown.size, modified: shown.modified,
                content: shown.content.isEmpty ? Content.empty.encode() : shown.content))
        return .succeeded(
            saved: NodeID(former), temporary: NodeID(source.object), isKept: isKept)
    }

    /// The old file gets the new one's bytes, attributes and name; the new one becomes what is left of the
    /// old.
    private mutating func exchange(
        _ object: ObjectID, with former: ObjectID, _ write: Operation.Write
    ) throws(VolumeError) -> VersionID {
        let own = try Self.stored { () throws(StorageError) in try tree.entries(of: object) }.first
        guard let own, let theirs = try lastEntry(of: former), let parent = own.shownParent else {
            throw .stale
        }
        let old = try Particulars(of: former, in: self)
        let new = try Particulars(of: object, in: self)
        let parents = try recordMerge(
            of: former,
            parentsOfSave(
                Node(id: former, object: former, entry: nil, kind: .file), by: object))
        let version = try author(
            .write(
                .init(
                    object: former, parents: parents, size: write.size,
                    modified: new.attributes.modified, content: write.content)))
        noteExchange(of: own.placement.name, in: parent)
        if let backup = theirs.shownParent {
            let name = theirs.placement.name
            noteExchange(of: name, in: backup)
            try author(
                .place(.init(.existing(own.id, from: parent), in: backup, named: name)))
            try author(
                .place(
                    .init(
                        .existing(theirs.id, from: backup), in: parent,
                        named: own.placement.name)))
            try keep(old, as: object)
        } else {
            try author(.remove(.init(own.id, from: parent)))
            try author(
                .place(
                    .init(
                        .existing(theirs.id, from: parent), in: parent,
                        named: own.placement.name)))
        }
        try setAttributes(of: former, to: new)
        try swapNumbers(object, former)
        try exchangeStaged(object, with: former, after: version)
        return version
    }

    /// A temporary file is renamed over a file that was linked to another name a moment ago: a save of that
    /// one, whose old bytes go on under the other name as a file of their own.
    mutating func save(
        _ source: Node, from: ObjectID, over target: Node, in to: ObjectID,
        keeping link: EntryRow
    ) throws(VolumeError) -> RenameResult {
        guard let sourceEntry = source.entry, let targetEntry = target.entry,
            let backup = link.shownParent,
            let row = try Self.stored({ () throws(StorageError) in
                try storage.entry(targetEntry)
            })
        else { throw .notPermitted }
        let old = try Particulars(of: target.object, in: self)
        let new = try Particulars(of: source.object, in: self)
        let parents = try recordMerge(
            of: target.object, parentsOfSave(target, by: source.object))
        let twins = try self.twins(of: targetEntry)
        let version = try author(.write(new.write(to: target.object, after: parents)))
        try succeed(twins)
        let name = link.placement.name
        noteExchange(of: name, in: backup)
        try author(.place(.init(.existing(sourceEntry, from: from), in: backup, named: name)))
        // Should an edit elsewhere bring the link back to life, it is the file itself once more.
        try author(
            .place(.init(.existing(link.id, from: backup), in: to, named: row.placement.name)))
        try author(.remove(.init(link.id, from: to)))
        try keep(old, as: source.object)
        try setAttributes(of: target.object, to: new)
        try swapNumbers(source.object, target.object)
        try exchangeStaged(source.object, with: target.object, after: version)
        return .succeeded(
            saved: NodeID(target.object), temporary: NodeID(source.object), isKept: true)
    }

    /// What a file shows, to be given to another.
    private struct Particulars {
        let content: ShownContent
        let attributes: Attributes
        let xattrs: [(name: [UInt8], value: [UInt8])]

        init(of object: ObjectID, in engine: borrowing Engine) throws(VolumeError) {
            content = try engine.shownContent(object)
            attributes = try engine.attributes(object)
            xattrs = try engine.xattrs(of: object)
        }

        func write(to object: ObjectID, after parents: [VersionID]) -> Operation.Write {
            // The time may have been set after the version was made.
            Operation.Write(
                object: object, parents: parents, size: content.size,
                modified: attributes.modified,
                // What was never written to has no content yet.
                content: content.content.isEmpty ? Content.empty.encode() : content.content)
        }
    }

    /// The new file goes on as the backup of the old one.
    private mutating func keep(_ old: Particulars, as object: ObjectID) throws(VolumeError) {
        let versions = try shownContent(object).versions
        try author(.write(old.write(to: object, after: versions)))
        try setAttributes(of: object, to: old)
    }

    private mutating func setAttributes(of object: ObjectID, to wanted: Particulars)
        throws(VolumeError)
    {
        let present = try attributes(object)
        let attributes = wanted.attributes
        let change = Operation.SetAttribute(
            object: object, mode: attributes.mode == present.mode ? nil : UInt16(attributes.mode),
            uid: attributes.uid == present.uid ? nil : attributes.uid,
            gid: attributes.gid == present.gid ? nil : attributes.gid)
        if change != Operation.SetAttribute(object: object) { try author(.setAttribute(change)) }
        try setXattrs(of: object, to: wanted.xattrs)
    }
}
