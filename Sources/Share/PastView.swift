import Base
import Chunks
import FileTree
import Hypercore

/// The tree as it was: what all operations up to a moment mean, read-only. Thread-safe.
///
/// A node has the number that the present view gives it.
package final class PastView: Sendable {
    /// The moment, in milliseconds since 1970, by the clocks of those who wrote.
    package let time: UInt64
    private let tree: Guarded<FileTree>

    init(_ tree: FileTree, time: UInt64) {
        self.tree = Guarded(tree)
        self.time = time
    }

    private func read<Result>(_ body: (FileTree) throws(StorageError) -> Result)
        throws(VolumeError) -> Result
    {
        do throws(StorageError) {
            return try tree.withLock { (tree) throws(StorageError) in try body(tree) }
        } catch {
            throw .storage(error)
        }
    }

    private func operation(_ node: NodeID) throws(VolumeError) -> OperationID {
        guard let id = node.operation else { throw .stale }
        return id
    }

    package func lookup(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> Attributes {
        let id = try operation(directory)
        let found = try read { (tree) throws(StorageError) in try tree.lookup(name, in: id) }
        guard let found else { throw .notFound }
        return try attributes(of: NodeID(found.id))
    }

    package func attributes(of node: NodeID) throws(VolumeError) -> Attributes {
        let id = try operation(node)
        let shown = try read { (tree) throws(StorageError) in try tree.attributes(of: id) }
        guard let shown else { throw .notFound }
        return Attributes(NodeID(id), shown)
    }

    /// The directory that holds `directory`; the root is its own parent.
    package func parent(of directory: NodeID) throws(VolumeError) -> NodeID {
        let id = try operation(directory)
        let shown = try read { (tree) throws(StorageError) in try tree.attributes(of: id) }
        return NodeID(shown?.parent ?? .root)
    }

    package func list(_ directory: NodeID) throws(VolumeError) -> [DirectoryItem] {
        let id = try operation(directory)
        return try read { (tree) throws(StorageError) in try tree.list(id) }.map {
            DirectoryItem(
                name: $0.name, node: NodeID($0.node), kind: FileKind($0.kind),
                number: NodeID($0.node))
        }
    }

    package func readLink(_ node: NodeID) throws(VolumeError) -> [UInt8] {
        let id = try operation(node)
        let target = try read { (tree) throws(StorageError) in try tree.target(of: id) }
        guard let target else { throw .notSupported }
        return target
    }

    package func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError)
        -> [UInt8]
    {
        let id = try operation(node)
        let value = try read { (tree) throws(StorageError) in try tree.xattr(name, of: id) }
        guard let value else { throw .noAttribute }
        return value
    }

    package func extendedAttributeNames(of node: NodeID) throws(VolumeError) -> [[UInt8]] {
        let id = try operation(node)
        return try read { (tree) throws(StorageError) in try tree.xattrNames(of: id) }
    }

    /// What the file held. Its chunks may be gone: the retention policy says which are kept.
    package func openContent(of node: NodeID) throws(VolumeError) -> OpenedContent {
        let id = try operation(node)
        let shown = try read { (tree) throws(StorageError) in try tree.content(of: id) }
        guard let shown else { throw .notSupported }
        guard !shown.content.isEmpty else {
            return OpenedContent(versions: [], content: .empty, modified: shown.modified)
        }
        guard let content = try? Content(decoding: shown.content) else {
            throw .storage(.corrupt(what: "the content of \(id); run holdfast check"))
        }
        return OpenedContent(
            versions: shown.versions.map(\.rawValue), content: content, modified: shown.modified)
    }

    /// Follows names from the root.
    package func node(at path: [[UInt8]]) throws(VolumeError) -> Attributes {
        var attributes = try attributes(of: .root)
        for name in path { attributes = try lookup(name, in: attributes.node) }
        return attributes
    }
}

extension ShareVolume {
    /// The tree as it was at a moment: every block up to it that is here, replayed. The filesystem goes on
    /// meanwhile; the cost is that of the history.
    ///
    /// - Parameters:
    ///   - time: milliseconds since 1970.
    ///   - scratch: empty, and used by the view alone from now on.
    /// - Throws: `.notFound` for a moment before the checkpoint that this device goes on from.
    package func past(at time: UInt64, scratch: any ShareStorage) throws(VolumeError) -> PastView {
        let past = try readingHistory { () throws(VolumeError) in
            try Engine.stored { () throws(StorageError) in
                try replay(until: time, scratch: scratch)
            }
        }
        guard let past else { throw .notFound }
        return past
    }

    /// - Returns: nil for a moment of which too little is here.
    private func replay(until time: UInt64, scratch: any ShareStorage) throws(StorageError)
        -> PastView?
    {
        let begun = try engine.withLock { (engine) throws(StorageError) -> PastReplay? in
            try engine.commit()
            if let base = engine.base, time < HybridTime(rawValue: base.time).milliseconds {
                return nil
            }
            return try PastReplay(
                engine, WriterTable(copying: engine.writers), until: time,
                parts: engine.parts(engine.applied), bounds: engine.bounds, scratch: scratch)
        }
        guard var replay = begun else { return nil }
        try replay.readBase(from: chunks)
        // The lock is taken for a stretch of blocks at a time.
        while try engine.withLock({ (_) throws(StorageError) in try replay.read(256) }) {}
        try mergeAll(in: replay.tree)
        try replay.tree.save()
        try scratch.commit()
        return PastView(replay.tree, time: time)
    }
}

/// A replay of logs up to a moment, some blocks at a time.
struct PastReplay {
    /// A log, and how many blocks of it to read.
    struct Part {
        let slot: WriterSlot
        let log: Log
        let end: UInt64
    }

    let tree: FileTree
    private let time: UInt64
    private let writers: WriterTable
    private let parts: [Part]
    private var codecs: [WriterSlot: BlockCodec] = [:]
    private var positions: [WriterSlot: UInt64] = [:]
    private var ended: Set<WriterSlot> = []
    private let base: PublishedCheckpoint?
    private let bounds: LogBounds

    /// - Parameters:
    ///   - writers: a copy of the engine's.
    ///   - bounds: what of the logs counts.
    ///   - scratch: empty.
    init(
        _ engine: Engine, _ writers: WriterTable, until time: UInt64 = .max, parts: [Part],
        bounds: LogBounds, scratch: any ShareStorage
    ) throws(StorageError) {
        self.time = time
        self.writers = writers
        tree = try FileTree(
            storage: scratch, writers: writers, deviceNames: engine.deviceNames,
            settlesAfter: engine.checkpointPolicy.graceMilliseconds)
        base = engine.base
        self.bounds = bounds
        self.parts = parts
    }

    /// Begins with what this device started from. Needs no lock.
    mutating func readBase(from chunks: any ChunkStorage) throws(StorageError) {
        guard let base else { return }
        for state in try Engine.read(base, from: chunks, into: tree).states {
            codecs[state.writer] = state
            positions[state.writer] = state.number
        }
    }

    /// Needs the engine's lock, as the logs do.
    ///
    /// - Returns: whether there is more.
    mutating func read(_ blocks: Int) throws(StorageError) -> Bool {
        var left = blocks
        var progress = true
        tree.begin()
        while progress, left > 0 {
            progress = false
            for part in parts {
                while left > 0, try applyNext(of: part) {
                    progress = true
                    left -= 1
                }
            }
        }
        _ = try tree.finish()
        return progress
    }

    /// Those that could not be applied.
    var unreadBlocks: UInt64 {
        parts.reduce(0) { $0 &+ $1.end - min($1.end, positions[$1.slot] ?? 0) }
    }

    private mutating func applyNext(of part: Part) throws(StorageError) -> Bool {
        let slot = part.slot
        let number = positions[slot] ?? 0
        guard number < part.end, !ended.contains(slot),
            let bytes = try part.log.block(at: number)
        else { return false }
        var codec = codecs[slot] ?? BlockCodec(writer: slot)
        guard var block = try? codec.decode(bytes.span, writers: writers),
            block.time.milliseconds <= time
        else {
            // Times of a log only grow.
            ended.insert(slot)
            return false
        }
        _ = bounds.limit(&block)
        guard try tree.apply(block, from: slot, number: number) != .early else { return false }
        codecs[slot] = codec
        positions[slot] = number + 1
        return true
    }
}
