package import Base

/// Rows as they are, for whoever writes again what another view knew. A row that was removed still answers.
extension FileTree {
    package func objectRow(_ id: ObjectID) throws(StorageError) -> ObjectRow? {
        try storage.object(id)
    }

    package func entryRow(_ id: EntryID) throws(StorageError) -> EntryRow? {
        try storage.entry(id)
    }

    /// Dead ones included, by id.
    package func allEntries(of object: ObjectID) throws(StorageError) -> [EntryRow] {
        try storage.entries(of: object)
    }

    /// Removed ones included, by name.
    package func xattrRows(of object: ObjectID) throws(StorageError) -> [XattrRow] {
        try storage.xattrs(of: object)
    }

    package func headIDs(of object: ObjectID) throws(StorageError) -> [VersionID] {
        try storage.heads(of: object).map(\.id)
    }

    package func hasVersion(_ id: VersionID) throws(StorageError) -> Bool {
        try storage.version(id) != nil
    }

    /// Whether a save of the file may name it as what was shown: a version of it, or one that is settled and gone.
    ///
    /// - Parameter orForgotten: whether one that is gone was a version of this file, as the caller knows.
    package func isVersion(_ id: VersionID, of object: ObjectID, orForgotten: Bool)
        throws(StorageError) -> Bool
    {
        guard let row = try storage.version(id) else {
            guard orForgotten else { return false }
            return try isForgotten(id)
        }
        return row.object == object
    }
}
