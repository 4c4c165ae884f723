package import Base

/// What the view keeps of one version of a file's content.
///
/// Storage needs an index of `object`, best with `isHead` in it.
package struct VersionRow: Hashable, Sendable {
    package let id: VersionID
    package let object: ObjectID
    package let time: HybridTime
    package let parents: [VersionID]
    package let size: UInt64
    package let modified: Timestamp
    package let content: [UInt8]
    /// Whether no version has it as a parent.
    package var isHead = true
    /// Whether someone removed it while it showed as a copy.
    package var isClosed = false
    package var lineage = Lineage.whole

    /// How far its history may be looked through for what it has in common with others.
    ///
    /// A file that is held open for long is saved over a version that others succeeded long ago, and that a
    /// device which started from a checkpoint never had. All devices must find the same, so nobody looks
    /// behind such a save: it stands beside what came before it, and is merged with nothing of that.
    package enum Lineage: UInt8, Sendable {
        case whole
        /// Its parents had been succeeded for long when it was written, as its author knew.
        case cut
        /// That is so of a version that it descends from.
        case behindCut
    }

    package init(
        id: VersionID, object: ObjectID, time: HybridTime, parents: [VersionID], size: UInt64,
        modified: Timestamp, content: [UInt8]
    ) {
        self.id = id
        self.object = object
        self.time = time
        self.parents = parents
        self.size = size
        self.modified = modified
        self.content = content
    }

    package var stamp: Stamp { Stamp(time: time, operation: id) }
}
