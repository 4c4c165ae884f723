import Base
package import Chunks
import FileTree

/// What a restore did.
package struct RestoreReport: Codable, Equatable, Sendable {
    /// Files whose content was brought back.
    package var files: UInt64 = 0
    /// Of everything looked at, what was as wanted already.
    package var unchanged: UInt64 = 0
    package var directories: UInt64 = 0
    /// Paths whose bytes are not here; `ShareVolume.demand` may bring them, then restore again.
    package var missing: [String] = []
    /// Paths that were taken by something else, and what was restored beside them instead.
    package var renamed: [String] = []

    package init() {}
}

/// Bringing back what was: by ordinary operations, so that all of it can be undone the same way. Nothing
/// that is there now is removed; a file that is there gets a new version.
extension ShareVolume {
    /// Brings back a version of a file.
    ///
    /// - Parameters:
    ///   - path: of the file, or where it was.
    ///   - version: as `OperationName` writes it.
    ///   - target: where to, if not there.
    ///   - missing: chunks of it that are not here; nothing was done then.
    package func restore(
        _ path: [[UInt8]], version: String, to target: [[UInt8]]? = nil,
        missing: inout [ChunkReference]
    ) throws(VolumeError) -> RestoreReport {
        let object = try object(at: path)
        let (item, content) = try engine.withLock { (engine) throws(VolumeError) in
            let rows = try Engine.stored { () throws(StorageError) in
                try engine.tree.versions(of: object)
            }
            let row = rows.first { OperationName.matches(version, $0.id, engine.writers) }
            guard let row else { throw .notFound }
            var attributes = try engine.attributes(object)
            attributes.modified = row.modified
            return (PastItem(attributes, xattrs: nil), try Engine.content(of: row))
        }
        var restore = Restore(self)
        try restore.bring(item, content, to: target ?? path)
        missing = restore.missing
        return restore.report
    }

    /// Brings back what a path held in an earlier view: a file, or a directory with all that was in it.
    package func restore(
        _ path: [[UInt8]], from past: PastView, to target: [[UInt8]]? = nil,
        missing: inout [ChunkReference]
    ) throws(VolumeError) -> RestoreReport {
        var restore = Restore(self)
        try restore.bring(try past.node(at: path), of: past, to: target ?? path)
        missing = restore.missing
        return restore.report
    }
}

/// Something that was, and is to be again.
private struct PastItem {
    var attributes: Attributes
    var target: [UInt8] = []
    /// Nil leaves them as they are.
    var xattrs: [(name: [UInt8], value: [UInt8])]?

    init(_ attributes: Attributes, xattrs: [(name: [UInt8], value: [UInt8])]?) {
        self.attributes = attributes
        self.xattrs = xattrs
    }
}

private struct Restore {
    private let volume: ShareVolume
    var report = RestoreReport()
    /// At most `Limits.missing` of them.
    var missing: [ChunkReference] = []
    /// Made here: their times are set when all is in them.
    private var made: [(node: NodeID, modified: Timestamp)] = []

    private enum Limits {
        static let missing = 100_000
        static let missingPaths = 1000
        static let attempts = 1000
    }

    init(_ volume: ShareVolume) { self.volume = volume }

    // MARK: One file, one tree

    mutating func bring(_ item: PastItem, _ content: Content, to path: [[UInt8]])
        throws(VolumeError)
    {
        guard let name = path.last else { throw .isDirectory }
        let parent = try directory(path.dropLast(), owner: item.attributes)
        try bring(item, content, as: name, in: parent, path)
    }

    mutating func bring(_ node: Attributes, of past: PastView, to path: [[UInt8]])
        throws(VolumeError)
    {
        var waiting: [(node: Attributes, parent: NodeID, path: [[UInt8]])] = []
        if path.isEmpty {
            guard node.kind == .directory else { throw .isDirectory }
            for item in try past.list(node.node) {
                let attributes = try past.attributes(of: item.node)
                waiting.append((attributes, .root, [item.name]))
            }
        } else {
            waiting = [(node, try directory(path.dropLast(), owner: node), path)]
        }
        while let (node, parent, path) = waiting.popLast() {
            guard let name = path.last else { continue }
            var item = PastItem(node, xattrs: [])
            for xattr in try past.extendedAttributeNames(of: node.node) {
                let value = try past.extendedAttribute(xattr, of: node.node)
                item.xattrs?.append((xattr, value))
            }
            switch node.kind {
            case .directory:
                let own = try bringDirectory(item, as: name, in: parent, path)
                for child in try past.list(node.node) {
                    let attributes = try past.attributes(of: child.node)
                    waiting.append((attributes, own, path + [child.name]))
                }
            case .file:
                let content = try past.openContent(of: node.node).content
                try bring(item, content, as: name, in: parent, path)
            case .symlink:
                item.target = try past.readLink(node.node)
                try bringSpecial(item, as: name, in: parent, path)
            case .fifo, .socket, .characterDevice, .blockDevice:
                try bringSpecial(item, as: name, in: parent, path)
            }
        }
        for (node, modified) in made.reversed() {
            try change { (engine) throws(VolumeError) in
                _ = try engine.setAttributes(of: node, to: AttributeChange(modified: modified))
            }
        }
    }

    // MARK: Parts

    /// Changes the share, as a person does who is not the kernel: that must hear of everything.
    private func change<Result>(_ body: (inout Engine) throws(VolumeError) -> Result)
        throws(VolumeError) -> Result
    {
        var changes: [ViewChange] = []
        // Also if it fails: what others did is told once.
        defer {
            volume.environment.wake()
            volume.notify(changes)
        }
        return try volume.engine.withLock { (engine) throws(VolumeError) in
            defer { changes = engine.takeChanges() }
            let result = try body(&engine)
            if engine.isBlockFull {
                try Engine.stored { () throws(StorageError) in try engine.commit() }
            }
            return result
        }
    }

    /// The directory at a path, made where it is missing.
    private mutating func directory(_ path: ArraySlice<[UInt8]>, owner: Attributes)
        throws(VolumeError) -> NodeID
    {
        var current = NodeID.root
        for name in path {
            let parent = current
            current = try change { (engine) throws(VolumeError) in
                do throws(VolumeError) {
                    let found = try engine.lookup(name, in: parent)
                    guard found.kind == .directory else { throw .notDirectory }
                    return found.node
                } catch .notFound {
                    return try engine.make(
                        name, in: parent,
                        MakeRequest(
                            kind: .directory, mode: 0o755, uid: owner.uid, gid: owner.gid)
                    ).node
                }
            }
        }
        return current
    }

    private mutating func bringDirectory(
        _ item: PastItem, as name: [UInt8], in parent: NodeID, _ path: [[UInt8]]
    ) throws(VolumeError) -> NodeID {
        let (node, isNew, shown) = try change { (engine) throws(VolumeError) in
            let (place, found) = try engine.placeToRestore(name, in: parent, .directory)
            if let found { return (found.node, false, place) }
            let made = try engine.make(
                place, in: parent,
                MakeRequest(
                    kind: .directory, mode: item.attributes.mode, uid: item.attributes.uid,
                    gid: item.attributes.gid))
            try engine.setXattrs(item.xattrs, of: made.node)
            return (made.node, true, place)
        }
        note(name, shown, path)
        if isNew {
            made.append((node, item.attributes.modified))
            report.directories += 1
        } else {
            report.unchanged += 1
        }
        return node
    }

    private mutating func bring(
        _ item: PastItem, _ content: Content, as name: [UInt8], in parent: NodeID,
        _ path: [[UInt8]]
    ) throws(VolumeError) {
        let lacking = try missingChunks(of: content)
        guard lacking.isEmpty else {
            if missing.count < Limits.missing { missing += lacking }
            if report.missing.count < Limits.missingPaths { report.missing.append(text(path)) }
            return
        }
        let (isNew, shown) = try change { (engine) throws(VolumeError) in
            let (place, found) = try engine.placeToRestore(name, in: parent, .file)
            let node: NodeID
            if let found {
                node = found.node
            } else {
                node = try engine.revive(item.attributes, named: place, in: parent)
            }
            if found == nil { try engine.setXattrs(item.xattrs, of: node) }
            let before = try engine.openContent(of: node)
            guard before.content != content || found == nil else { return (false, place) }
            if before.content != content {
                _ = try engine.publish(
                    Save(
                        node: node, parents: before.versions, content: content,
                        modified: item.attributes.modified, settlesStaging: false))
            }
            return (true, place)
        }
        note(name, shown, path)
        if isNew { report.files += 1 } else { report.unchanged += 1 }
    }

    private mutating func bringSpecial(
        _ item: PastItem, as name: [UInt8], in parent: NodeID, _ path: [[UInt8]]
    ) throws(VolumeError) {
        let attributes = item.attributes
        let (isNew, shown) = try change { (engine) throws(VolumeError) in
            let (place, found) = try engine.placeToRestore(
                name, in: parent, attributes.kind, device: attributes.device, target: item.target)
            if found != nil { return (false, place) }
            let made = try engine.make(
                place, in: parent,
                MakeRequest(
                    kind: attributes.kind, mode: attributes.mode, uid: attributes.uid,
                    gid: attributes.gid, device: attributes.device, target: item.target))
            try engine.setXattrs(item.xattrs, of: made.node)
            return (true, place)
        }
        note(name, shown, path)
        if isNew { report.files += 1 } else { report.unchanged += 1 }
    }

    private func missingChunks(of content: Content) throws(VolumeError) -> [ChunkReference] {
        let chunks = volume.chunks
        return try Engine.stored { () throws(StorageError) in
            var walk = ReferenceWalk(chunks)
            var missing: [ChunkReference] = []
            try walk.forEachReference(in: content) { reference in
                if !chunks.contains(reference.address) { missing.append(reference) }
            }
            return missing
        }
    }

    private mutating func note(_ wanted: [UInt8], _ shown: [UInt8], _ path: [[UInt8]]) {
        guard wanted != shown, report.renamed.count < Limits.missingPaths else { return }
        report.renamed.append(text(path.dropLast() + [shown]))
    }

    private func text(_ path: [[UInt8]]) -> String {
        path.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
    }
}

extension Engine {
    fileprivate static func content(of row: VersionRow) throws(VolumeError) -> Content {
        guard !row.content.isEmpty else { return .empty }
        guard let content = try? Content(decoding: row.content) else {
            throw .storage(.corrupt(what: "the content of \(row.id); run holdfast check"))
        }
        return content
    }

    /// The name under which something may be brought back, and what has it already and is of its kind.
    fileprivate func placeToRestore(
        _ name: [UInt8], in parent: NodeID, _ kind: FileKind, device: UInt64 = 0,
        target: [UInt8] = []
    ) throws(VolumeError) -> (name: [UInt8], found: Attributes?) {
        for attempt in 0..<1000 {
            let candidate = attempt == 0 ? name : BesideName.of(name, "restored", attempt)
            do throws(VolumeError) {
                let found = try lookup(candidate, in: parent)
                guard found.kind == kind else { continue }
                switch kind {
                case .directory, .file: return (candidate, found)
                case .symlink where try readLink(found.node) != target: continue
                default: if found.device == device { return (candidate, found) }
                }
            } catch .notFound {
                return (candidate, nil)
            }
        }
        throw .exists
    }

    /// Whether others may have let go of a file that was removed: they do so once they know that everybody
    /// has seen it, this device included.
    func mayBeForgotten(_ object: ObjectID) throws(VolumeError) -> Bool {
        let told = codecs[ownSlot]?.clock ?? Clock()
        let own = applied[ownSlot] ?? 0
        return try Self.stored { () throws(StorageError) in
            try storage.entries(of: object).contains { entry in
                entry.removals.contains {
                    $0.writer == ownSlot ? $0.block < own : told.covers($0)
                }
            }
        }
    }

    /// A file under a name that is free: the one that was removed, so that its history goes on, if nobody can
    /// have let go of it, or else a new one.
    fileprivate mutating func revive(
        _ past: Attributes, named name: [UInt8], in parent: NodeID
    ) throws(VolumeError) -> NodeID {
        let id = try operation(past.node)
        let directory = try operation(parent)
        let node = try? self.node(id)
        if let node, !node.isCopy, node.kind == .file, try attributes(id).links == 0,
            try !mayBeForgotten(id)
        {
            try author(.place(.init(.new(id), in: directory, named: name)))
            let now = try attributes(id)
            if now.mode != past.mode || now.uid != past.uid || now.gid != past.gid {
                _ = try setAttributes(
                    of: past.node,
                    to: AttributeChange(mode: past.mode, uid: past.uid, gid: past.gid))
            }
            return past.node
        }
        return try make(
            name, in: parent,
            MakeRequest(kind: .file, mode: past.mode, uid: past.uid, gid: past.gid)
        ).node
    }

    fileprivate mutating func setXattrs(
        _ xattrs: [(name: [UInt8], value: [UInt8])]?, of node: NodeID
    ) throws(VolumeError) {
        for (name, value) in xattrs ?? [] {
            try setExtendedAttribute(
                name, of: node, to: value, mustExist: false, mustBeNew: false)
        }
    }
}
