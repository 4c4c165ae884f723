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

    /// A new file is there in place of another that has just lost the name.
    mutating func noteSuccessor(
        _ object: ObjectID, of former: NodeID?, at place: RecentFiles.NamePlace
    ) throws(VolumeError) {
        guard let old = former?.operation.map(current), old != object,
            try canSucceed(object, old), try hasLeft(place, old)
        else { return }
        recent.succeeds(object, old, at: place)
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
        let nodes = (try node(object), try node(former))
        guard nodes.0.kind == .file, nodes.1.kind == .file, !nodes.0.isCopy, !nodes.1.isCopy else {
            return false
        }
        guard try places(of: object).count == 1 else { return false }
        return try places(of: former).count <= 1
    }

    /// Makes the first save of a new file one of the file that it succeeds, if there is such a one.
    mutating func succeed(by write: Operation.Write) throws(VolumeError) -> Published? {
        // Both may have got other names since.
        guard let (former, place) = recent.takeFormer(of: write.object), write.parents.isEmpty,
            try canSucceed(write.object, former), try hasLeft(place, former),
            let own = try places(of: write.object).first, own.shownParent == place.parent,
            own.placement.name == place.name
        else { return nil }
        let isKept = try attributes(former).links > 0
        let version = try exchange(write.object, with: former, write)
        return Published(
            node: NodeID(former), version: version.rawValue,
            exchanged: isKept ? NodeID(write.object) : nil)
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
        let (own, theirs) = try Self.stored { () throws(StorageError) in
            (
                try tree.entries(of: object).first,
                try storage.entries(of: former).max {
                    ($0.isVisible ? 1 : 0, $0.placement.stamp.time)
                        < ($1.isVisible ? 1 : 0, $1.placement.stamp.time)
                }
            )
        }
        guard let own, let theirs, let parent = own.shownParent else { throw .stale }
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
                    modified: write.modified, content: write.content)))
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
        try author(.write(new.write(to: target.object, after: parents)))
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
            Operation.Write(
                object: object, parents: parents, size: content.size, modified: content.modified,
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
