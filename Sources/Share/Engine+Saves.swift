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
        recent.succeeds(object, old)
    }

    /// Whether a file has no name now, or the one it was renamed to from this place: another may be
    /// a link that it had all along.
    private func hasLeft(_ place: RecentFiles.NamePlace, _ former: ObjectID) throws(VolumeError)
        -> Bool
    {
        if try attributes(former).links == 0 { return true }
        return recent.lastPlace(of: former) == place
    }

    /// Whether the one may become a version of the other: two plain files, one name each at most.
    private func canSucceed(_ object: ObjectID, _ former: ObjectID) throws(VolumeError) -> Bool {
        let nodes = (try node(object), try node(former))
        guard nodes.0.kind == .file, nodes.1.kind == .file, !nodes.0.isCopy, !nodes.1.isCopy else {
            return false
        }
        guard try attributes(object).links == 1 else { return false }
        return try attributes(former).links <= 1
    }

    /// Makes the first save of a new file one of the file that it succeeds, if there is such a one.
    mutating func succeed(by write: Operation.Write) throws(VolumeError) -> Published? {
        guard let former = recent.takeFormer(of: write.object), write.parents.isEmpty,
            try canSucceed(write.object, former)
        else { return nil }
        let isKept = try attributes(former).links == 1
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
            recent.isRecent(source.object), try canSucceed(source.object, former),
            try hasLeft(RecentFiles.NamePlace(parent: place.parent, name: place.name), former)
        else { return nil }
        let shown = try shownContent(source.object)
        let isKept = try attributes(former).links == 1
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
        let old = try shownContent(former)
        let attributes = (try attributes(object), try attributes(former))
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
            let versions = try shownContent(object).versions
            try author(
                .place(.init(.existing(own.id, from: parent), in: backup, named: name)))
            try author(
                .place(
                    .init(
                        .existing(theirs.id, from: backup), in: parent,
                        named: own.placement.name)))
            try author(
                .write(
                    .init(
                        object: object, parents: versions, size: old.size,
                        modified: old.modified,
                        content: old.content.isEmpty ? Content.empty.encode() : old.content)))
            try setAttributes(of: object, to: attributes.1)
        } else {
            try author(.remove(.init(own.id, from: parent)))
            try author(
                .place(
                    .init(
                        .existing(theirs.id, from: parent), in: parent,
                        named: own.placement.name)))
        }
        try setAttributes(of: former, to: attributes.0)
        try swapNumbers(object, former)
        return version
    }

    private mutating func setAttributes(of object: ObjectID, to wanted: Attributes)
        throws(VolumeError)
    {
        let present = try attributes(object)
        let change = Operation.SetAttribute(
            object: object, mode: wanted.mode == present.mode ? nil : UInt16(wanted.mode),
            uid: wanted.uid == present.uid ? nil : wanted.uid,
            gid: wanted.gid == present.gid ? nil : wanted.gid)
        if change != Operation.SetAttribute(object: object) { try author(.setAttribute(change)) }
    }
}
