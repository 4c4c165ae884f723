import Base
import Chunks
import FileTree

/// `Limits` of FileTree; the module's name is also a type's, so it cannot be written in full.
typealias FileTreeLimits = Limits

/// Attributes, extended attributes and contents, as the filesystem's calls want them.
extension Engine {
    // MARK: Attributes

    func attributes(_ id: OperationID) throws(VolumeError) -> Attributes {
        guard
            let shown = try Self.stored({ () throws(StorageError) in
                try tree.attributes(of: id)
            })
        else { throw .stale }
        return Attributes(NodeID(id), shown)
    }

    mutating func setAttributes(of node: NodeID, to change: AttributeChange) throws(VolumeError)
        -> Attributes
    {
        var id = try operation(node)
        if try self.node(id).isCopy { id = try detach(try self.node(id)) }
        let operation = Operation.SetAttribute(
            object: id, mode: change.mode.map { UInt16($0 & 0o7777) }, uid: change.uid,
            gid: change.gid, modified: change.modified, accessed: change.accessed)
        if operation != Operation.SetAttribute(object: id) { try author(.setAttribute(operation)) }
        try set(change.extended, of: try self.node(id).object)
        return try attributes(id)
    }

    // MARK: Extended attributes

    func xattrNames(_ id: OperationID) throws(VolumeError) -> [[UInt8]] {
        try Self.stored { () throws(StorageError) in try tree.xattrNames(of: id) }
    }

    func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError) -> [UInt8] {
        let id = try operation(node)
        guard
            let value = try Self.stored({ () throws(StorageError) in
                try tree.xattr(name, of: id)
            })
        else { throw .noAttribute }
        return value
    }

    mutating func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], mustExist: Bool, mustBeNew: Bool
    ) throws(VolumeError) {
        guard !name.isEmpty, name.count <= FileTreeLimits.xattrNameSizeMax else {
            throw .nameTooLong
        }
        guard value.count <= FileTreeLimits.xattrValueSizeMax else { throw .tooLarge }
        let id = try operation(node)
        let old = try Self.stored { () throws(StorageError) in try tree.xattr(name, of: id) }
        if mustExist, old == nil { throw .noAttribute }
        if mustBeNew, old != nil { throw .attributeExists }
        guard old != value else { return }
        let object = try self.node(id).object
        try author(.setXattr(.init(object: object, name: name, value: value)))
    }

    /// Sets what is not so already.
    mutating func set(_ values: [ExtendedValue], of object: ObjectID) throws(VolumeError) {
        for wanted in values {
            let old = try Self.stored { () throws(StorageError) in
                try tree.xattr(wanted.name, of: object)
            }
            guard old != wanted.value else { continue }
            if let value = wanted.value {
                try author(.setXattr(.init(object: object, name: wanted.name, value: value)))
            } else {
                try author(.removeXattr(.init(object: object, name: wanted.name)))
            }
        }
    }

    mutating func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError) {
        _ = try extendedAttribute(name, of: node)
        let object = try self.node(try operation(node)).object
        try author(.removeXattr(.init(object: object, name: name)))
    }

    // MARK: Contents

    func shownContent(_ id: OperationID) throws(VolumeError) -> ShownContent {
        guard
            let shown = try Self.stored({ () throws(StorageError) in try tree.content(of: id) })
        else { throw .stale }
        return shown
    }

    func openContent(of node: NodeID) throws(VolumeError) -> OpenedContent {
        let id = try operation(node)
        guard try self.node(id).kind == .file else { throw .notSupported }
        let shown = try shownContent(id)
        guard !shown.content.isEmpty else {
            return OpenedContent(versions: [], content: .empty, modified: shown.modified)
        }
        guard let content = try? Content(decoding: shown.content) else {
            throw .storage(
                .corrupt(what: "the content of \(id); run holdfast check"))
        }
        return OpenedContent(
            versions: shown.versions.map(\.rawValue), content: content, modified: shown.modified)
    }

    mutating func publish(_ save: Save) throws(VolumeError) -> Published {
        var save = save
        var id = try operation(save.node)
        if let file = try refuge(for: id) {
            id = file
            save.parents = []
        }
        save.node = NodeID(id)
        var node = try self.node(id)
        if membership.hasKnownEndings { try dropOtherParents(of: &save, node.object) }
        let known = changes.count
        let isRemoved = try attributes(id).links == 0
        var isLeft = isRemoved
        if isRemoved, try isUnseen(save, of: node) {
            let file = try putBack(id)
            if file != id { (save.node, save.parents) = (NodeID(file), []) }
            node = try self.node(file)
            isLeft = try attributes(file).links == 0
        }
        // What is written to a file that is known to be removed stays with who has it open.
        let published =
            try isLeft
            ? Published(node: save.node, version: save.parents.first ?? 0)
            : publish(save, as: node)
        if isRemoved { mergeChanges += changes[known...] }
        // Who writes to what stands for a file that is gone has that one's number still.
        if !displaced.isEmpty, displaced.values.contains(node.object) {
            mergeChanges += [.content(NodeID(node.object)), .attributes(NodeID(node.object))]
        }
        if save.settlesStaging {
            try Self.stored { () throws(StorageError) in
                try storage.removeStaged(current(save.node))
            }
            markDirty()
        }
        return published
    }

    /// Whether a save is an edit that whoever removed the file had not seen.
    private func isUnseen(_ save: Save, of node: Node) throws(VolumeError) -> Bool {
        guard save.bringsBack else { return false }
        if removedHere.contains(save.node), try isRemovedHere(node.object) { return false }
        guard save.parents.count == 1, let only = save.parents.first,
            let id = OperationID(rawValue: only).map(current)
        else { return true }
        let parent = try Self.stored { () throws(StorageError) in try storage.version(id) }
        return parent?.content != save.content.encode()
    }

    /// Whether this device has removed a name of it, and none of the others took that back.
    func isRemovedHere(_ object: ObjectID) throws(VolumeError) -> Bool {
        let own = ownSlots
        let entries = try Self.stored { () throws(StorageError) in try tree.allEntries(of: object) }
        return entries.contains { $0.isRemoved(by: own) }
    }

    /// What was shown may not count any more, or have been of a file for which another stands now.
    private func dropOtherParents(of save: inout Save, _ object: ObjectID) throws(VolumeError) {
        var known: [UInt64] = []
        for parent in save.parents {
            guard let id = OperationID(rawValue: parent).map(current) else { continue }
            let row = try Self.stored { () throws(StorageError) in try storage.version(id) }
            if row?.object == object { known.append(parent) }
        }
        save.parents = known
    }

    /// Whether an operation is in the view: after a fork, what the own log says again may wait for blocks to come.
    private func isInView(_ id: OperationID) -> Bool {
        id.block < tree.clock[id.writer] || id.writer == ownSlot && id.block == open?.number
    }

    private mutating func publish(_ save: Save, as node: Node) throws(VolumeError) -> Published {
        var write = Operation.Write(
            object: node.object,
            parents: save.parents.compactMap { OperationID(rawValue: $0).map(current) }
                .filter(isInView),
            size: save.content.size, modified: save.modified, content: save.content.encode())
        if node.isCopy {
            let object = try detach(node, content: write)
            let versions = try shownContent(object).versions
            return Published(node: NodeID(object), version: versions.first?.rawValue ?? 0)
        }
        recent.written(node.object, at: environment.now())
        write.parents = try recordMerge(of: node.object, write.parents)
        if let only = write.parents.first, write.parents.count == 1,
            let parent = try Self.stored({ () throws(StorageError) in try storage.version(only) }),
            parent.content == write.content
        {
            // The same bytes again are not an edit: a new time is all there is to tell.
            if parent.modified != write.modified {
                try author(
                    .setAttribute(.init(object: node.object, modified: write.modified)))
            }
            return Published(node: save.node, version: only.rawValue)
        }
        var twins: [Twin] = []
        let entries = try Self.stored { () throws(StorageError) in
            try tree.entries(of: node.object)
        }
        for entry in entries { twins += try self.twins(of: entry.id) }
        let version = try author(.write(write))
        try succeed(twins)
        return Published(node: save.node, version: version.rawValue)
    }
}

extension EntryRow {
    func isRemoved(by writers: Set<WriterSlot>) -> Bool {
        removals.contains { writers.contains($0.writer) }
    }
}

extension Attributes {
    init(_ node: NodeID, _ shown: NodeAttributes) {
        self.init(
            node: node, kind: FileKind(shown.kind), mode: UInt32(shown.mode),
            links: UInt32(clamping: shown.links), uid: shown.uid, gid: shown.gid,
            device: shown.device, size: shown.size, modified: shown.modified,
            changed: shown.changed, accessed: shown.accessed, number: NodeID(shown.number))
    }
}

extension FileKind {
    init(_ kind: ObjectKind) {
        self =
            switch kind {
            case .file: .file
            case .directory: .directory
            case .symlink: .symlink
            case .fifo: .fifo
            case .socket: .socket
            case .characterDevice: .characterDevice
            case .blockDevice: .blockDevice
            }
    }
}

extension ObjectKind {
    init(_ kind: FileKind) {
        self =
            switch kind {
            case .file: .file
            case .directory: .directory
            case .symlink: .symlink
            case .fifo: .fifo
            case .socket: .socket
            case .characterDevice: .characterDevice
            case .blockDevice: .blockDevice
            }
    }
}
