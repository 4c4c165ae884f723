package import Base
import FileTree

/// What a share knows of a node beyond what `stat` shows.
package struct NodeFacts: Equatable, Sendable {
    /// The versions of a file that no other has succeeded and nobody has removed, the one shown first:
    /// `OperationName`s. Empty for what is no file, and before the first write.
    package var versions: [String]
    /// The device that wrote it last; of what is no file, that touched it last.
    package var writer: String
    package var written: Timestamp
    /// What else wants the node's name: the paths that show it, from the root and without a slash in
    /// front. Nil if nothing does; empty if nothing of it shows.
    package var others: [[UInt8]]?

    package init(
        versions: [String], writer: String, written: Timestamp, others: [[UInt8]]? = nil
    ) {
        self.versions = versions
        self.writer = writer
        self.written = written
        self.others = others
    }
}

extension ShareVolume {
    package func facts(of node: NodeID) throws(VolumeError) -> NodeFacts {
        try engine.withLock { (engine) throws(VolumeError) in
            let node = try engine.node(try engine.operation(node))
            return try Engine.stored { () throws(StorageError) in try engine.facts(of: node) }
        }
    }
}

extension Engine {
    fileprivate func facts(of node: Node) throws(StorageError) -> NodeFacts {
        guard let row = try storage.object(node.object) else {
            throw .corrupt(what: "object \(node.object) is missing; rebuild the view")
        }
        let shown = node.kind == .file ? try tree.content(of: node.id)?.versions ?? [] : []
        var versions = shown
        if node.kind == .file, !node.isCopy, row.heads > 1 {
            let heads = try storage.heads(of: node.object).filter { !$0.isClosed }
            versions += heads.sorted { writers.precedes($1.stamp, $0.stamp) }.map(\.id)
                .filter { !shown.contains($0) }
        }
        let last = try shown.first.flatMap { (id) throws(StorageError) in
            try storage.version(id)?.stamp
        }
        let stamp = last ?? row.changed
        return NodeFacts(
            versions: versions.map { OperationName.text(of: $0, writers) },
            writer: stamp.operation == .root ? "" : deviceName(of: stamp.operation.writer),
            written: stamp.timestamp, others: try others(than: node))
    }

    /// The other sides of the conflict that a node is part of.
    private func others(than node: Node) throws(StorageError) -> [[UInt8]]? {
        for entry in try tree.entries(of: node.object) {
            guard let parent = entry.shownParent,
                let contest = try tree.contest(for: entry.placement.name, in: parent),
                let own = contest.contenders.first(where: {
                    $0.entry == entry.id && $0.node == node.id
                }),
                let directory = try tree.names(leadingTo: contest.directory)
            else { continue }
            return contest.contenders.filter { other in
                // Beside the one that has the name all others are its other side.
                let isOther = other.entry != own.entry || other.node != own.node
                return isOther && other.isRendered
                    && (own.shownName == nil || other.shownName == nil)
            }.map { other in
                Array((directory + [other.shownName ?? contest.name]).joined(separator: [0x2f]))
            }
        }
        return nil
    }
}
