import Base
import FileTree

/// Heads that do not show yet: while bytes are missing that tell whether a file's heads merge, only one of
/// them shows. What goes away with the file must be no more than that.
extension Engine {
    /// The heads of a file that wait to be shown, each content once.
    func hiddenHeads(of object: ObjectID) throws(VolumeError) -> [VersionRow] {
        try Self.stored { () throws(StorageError) in
            guard case .pending(.some) = try tree.merge(of: object)?.verdict else { return [] }
            let shown = try tree.content(of: object)?.versions ?? []
            var known: Set<[UInt8]> = []
            return try storage.heads(of: object).filter { head in
                !head.isClosed && !shown.contains(head.id) && known.insert(head.content).inserted
            }
        }
    }

    /// Makes the heads that wait to be shown files of their own, as copies are when their file is removed.
    mutating func detachHiddenHeads(of object: ObjectID, shownBy id: EntryID) throws(VolumeError) {
        let hidden = try hiddenHeads(of: object)
        guard !hidden.isEmpty,
            let entry = try Self.stored({ () throws(StorageError) in try storage.entry(id) }),
            let parent = entry.shownParent
        else { return }
        // Under its other names it goes on waiting.
        guard try attributes(object).links == 1 else { return }
        for head in hidden {
            let name = try Self.stored { () throws(StorageError) in
                try tree.freeConflictName(of: head, beside: entry.placement.name, in: parent)
            }
            try detach(
                Node(id: head.id, object: object, entry: id, kind: .file), to: (parent, name))
        }
    }
}
