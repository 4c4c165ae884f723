package import Base

extension FileTree {
    /// One place where a node shows: the directory that holds it, and the names from the root down.
    ///
    /// - Returns: nil if it shows nowhere; for the root no names.
    package func path(of id: OperationID) throws(StorageError) -> (
        directory: ObjectID, names: [[UInt8]]
    )? {
        var names: [[UInt8]] = []
        var holder: ObjectID?
        var place = id
        while place != .root {
            guard names.count < Limits.pathDepthMax, let key = try shownName(of: place) else {
                return nil
            }
            names.append(key.name)
            holder = holder ?? key.directory
            place = key.directory
        }
        return (holder ?? .root, names.reversed())
    }

    private func shownName(of id: OperationID) throws(StorageError) -> NameKey? {
        guard let node = try node(id) else { return nil }
        for entry in try entries(of: node.object) {
            guard let parent = entry.shownParent else { continue }
            let name = entry.placement.name
            if entry.holdsName, !node.isCopy { return NameKey(directory: parent, name: name) }
            let conflict = try storage.conflicts(in: parent, named: name).first { $0.node == id }
            if let conflict { return NameKey(directory: parent, name: conflict.shownName) }
            // One of several directories that are one.
            if node.kind == .directory { return NameKey(directory: parent, name: name) }
        }
        return nil
    }
}
