import Base
import FileTree

/// What things were that blocks name and did not make themselves, before the view became another: so that what is done
/// to one that is gone can be done to its like.
struct FormerPlaces {
    struct Thing {
        var row: ObjectRow
        /// Where it was; nil for what had no name, and for the root.
        var entry: EntryRow?
        var xattrs: [XattrRow]
        /// Of a file: what it showed.
        var content: ShownContent?
        var versions: [VersionID]
    }

    private(set) var things: [ObjectID: Thing] = [:]
    private(set) var objects: [EntryID: ObjectID] = [:]

    /// - Parameters:
    ///   - slot: the log of the blocks, the first of which has the number `first`.
    init(of blocks: [Block], from slot: WriterSlot, _ first: UInt64, in tree: FileTree)
        throws(StorageError)
    {
        for block in blocks {
            for case .some(let operation) in block.operations {
                for id in operation.references where id.writer != slot || id.block < first {
                    try note(id, in: tree)
                }
            }
        }
    }

    private mutating func note(_ id: OperationID, in tree: FileTree) throws(StorageError) {
        var object = id
        if let entry = try tree.entryRow(id) {
            objects[id] = entry.object
            object = entry.object
        }
        // What it was in, up to the root.
        while object != .root, things[object] == nil {
            guard let thing = try tree.formerThing(object) else { return }
            things[object] = thing
            guard let entry = thing.entry else { return }
            objects[entry.id] = object
            object = entry.placement.parent
        }
    }
}

extension FileTree {
    fileprivate func formerThing(_ id: ObjectID) throws(StorageError) -> FormerPlaces.Thing? {
        guard let row = try objectRow(id) else { return nil }
        let entries = try allEntries(of: id)
        return FormerPlaces.Thing(
            row: row, entry: entries.first(where: \.isVisible) ?? entries.last,
            xattrs: try xattrRows(of: id),
            content: row.kind == .file ? try content(of: id) : nil,
            versions: row.kind == .file ? try versions(of: id).map(\.id) : [])
    }
}
