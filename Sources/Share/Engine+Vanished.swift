import Base
import FileTree

/// Files that went from the view while programs were writing to them.
///
/// One that another device has removed, which had not seen what is being written, comes back. One that went because
/// blocks do not count any more has another in its place: a version of it would count no more than it does.
extension Engine {
    struct VanishedFile {
        var directory: ObjectID
        var name: [UInt8]
        var mode: UInt32
        var uid: UInt32
        var gid: UInt32
    }

    /// A name that shows something.
    struct ShownName {
        let directory: ObjectID
        let name: [UInt8]
        let node: OperationID
        let kind: FileKind
        /// Of a file that will be gone.
        var attributes: Attributes?
    }

    func shownNames() throws(StorageError) -> [ShownName] {
        var found: [ShownName] = []
        var waiting: [ObjectID] = [.root]
        var known: Set<ObjectID> = [.root]
        while let directory = waiting.popLast() {
            for item in try tree.list(directory) {
                var shown = ShownName(
                    directory: directory, name: item.name, node: item.node,
                    kind: FileKind(item.kind))
                if item.kind == .file, item.node.block >= bound(of: item.node.writer),
                    let attributes = try tree.attributes(of: item.node)
                {
                    shown.attributes = Attributes(NodeID(item.node), attributes)
                }
                found.append(shown)
                if item.kind == .directory, known.insert(item.node).inserted {
                    waiting.append(item.node)
                }
            }
        }
        return found
    }

    /// Files that were removed elsewhere while they were being written to here, under the last names that they had.
    func removedStaged() throws(StorageError) -> [ShownName] {
        var found: [ShownName] = []
        for staged in try storage.stagedFiles() {
            guard let id = staged.node.operation, let attributes = try tree.attributes(of: id),
                attributes.links == 0, let entry = try tree.allEntries(of: id).last
            else { continue }
            var directory = entry.placement.parent
            var steps = 0
            while try tree.path(of: directory) == nil, steps < FileTreeLimits.pathDepthMax,
                let above = try tree.allEntries(of: directory).last
            {
                directory = above.placement.parent
                steps += 1
            }
            found.append(
                ShownName(
                    directory: directory, name: entry.placement.name, node: id, kind: .file,
                    attributes: Attributes(NodeID(id), attributes)))
        }
        return found
    }

    /// Compares the view with what it was. Whatever was being written to a file that is gone has a new one, if
    /// there is a record of it; or gets it when it is saved.
    mutating func noteVanished(_ before: [ShownName]) throws(StorageError) {
        for shown in before {
            if shown.kind == .directory {
                if try tree.path(of: shown.node) == nil {
                    vanishedDirectories[shown.node] = shown.directory
                }
                continue
            }
            guard shown.kind == .file else { continue }
            let now = try tree.attributes(of: shown.node)
            guard now.map({ $0.links == 0 }) ?? true else { continue }
            vanished[shown.node] = VanishedFile(
                directory: shown.directory, name: shown.name,
                mode: now.map { UInt32($0.mode) } ?? shown.attributes?.mode ?? 0o600,
                uid: now?.uid ?? shown.attributes?.uid ?? 0,
                gid: now?.gid ?? shown.attributes?.gid ?? 0)
        }
        guard !vanished.isEmpty else { return }
        for staged in try storage.stagedFiles() {
            guard let id = staged.node.operation, vanished[id] != nil else { continue }
            do throws(VolumeError) {
                guard let file = try refuge(for: id) else { continue }
                var moved = staged
                moved.node = NodeID(file)
                moved.parents = []
                try Self.stored { () throws(StorageError) in try storage.putStaged(moved) }
            } catch {
                if case .storage(let error) = error { throw error }
                // Nothing can be written now: when it is saved.
            }
        }
    }

    /// Puts a file that another device has removed back under the last name that it had.
    ///
    /// - Returns: the file, or a new one if others may have forgotten it by now: what names it would do nothing there.
    mutating func putBack(_ id: ObjectID) throws(VolumeError) -> ObjectID {
        let own = ownSlots
        let entries = try Self.stored { () throws(StorageError) in try tree.allEntries(of: id) }
        guard let entry = entries.last(where: { !$0.isRemoved(by: own) }) ?? entries.last else {
            return id
        }
        let place = entry.placement
        var directory = place.parent
        var isKnown = try !mayBeForgotten(id)
        var steps = 0
        while try !isShown(directory), steps < FileTreeLimits.pathDepthMax {
            if try mayBeForgotten(directory) { isKnown = false }
            let last = try Self.stored { () throws(StorageError) in
                try tree.allEntries(of: directory).last
            }
            if last == nil { isKnown = false }
            directory = last?.placement.parent ?? .root
            steps += 1
        }
        if isKnown {
            do {
                let from = place.parent
                try author(
                    .place(.init(.existing(entry.id, from: from), in: from, named: place.name)))
                return id
            } catch .notPermitted {
                // As a new one.
            }
        }
        let attributes = try attributes(id)
        vanished[id] = VanishedFile(
            directory: directory, name: place.name, mode: attributes.mode, uid: attributes.uid,
            gid: attributes.gid)
        return try refuge(for: id) ?? id
    }

    private func isShown(_ directory: ObjectID) throws(VolumeError) -> Bool {
        try Self.stored { () throws(StorageError) in try tree.path(of: directory) != nil }
    }

    /// Makes the file that stands for one that is gone.
    ///
    /// - Returns: nil if it is not gone.
    mutating func refuge(for id: OperationID) throws(VolumeError) -> OperationID? {
        guard let file = vanished[id] else { return nil }
        var directory = file.directory
        var steps = 0
        while let parent = vanishedDirectories[directory], steps < FileTreeLimits.pathDepthMax {
            directory = parent
            steps += 1
        }
        var name = file.name
        var attempt = 0
        while try isTaken(name, in: directory) {
            attempt += 1
            name = BesideName.of(file.name, "recovered", attempt)
        }
        let made = try make(
            name, in: NodeID(directory),
            MakeRequest(kind: .file, mode: file.mode, uid: file.uid, gid: file.gid))
        guard let new = made.node.operation else { return nil }
        try Self.stored { () throws(StorageError) in try storage.removeStaged(NodeID(id)) }
        vanished[id] = nil
        displaced[id] = new
        notices.append("a file that was being written is gone: what is saved is a new file")
        return new
    }

    private func isTaken(_ name: [UInt8], in directory: ObjectID) throws(VolumeError) -> Bool {
        try Self.stored { () throws(StorageError) in try tree.lookup(name, in: directory) != nil }
    }
}
