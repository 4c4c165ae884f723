import Base
import Chunks
import FileTree
import Hypercore

/// Something that only blocks hold which do not count: in the tree that all blocks here make, and not in the
/// tree that the members see.
package struct UncountedItem: Sendable {
    /// Names from the root.
    package var path: [[UInt8]]
    package var attributes: Attributes
    /// Who wrote it.
    package var device: String
    /// Whether the members have nothing of it; else they have the file, with other bytes.
    package var isNew: Bool
    /// Of the directories that lead to it; they may count.
    package var directories: [Attributes]
}

/// What the blocks here hold that do not count: on a device that is no member any more its own since then, on a
/// member what it had applied of another log before it heard of the end. See <doc:Endings>.
package struct UncountedView: Sendable {
    /// A device with such blocks.
    package struct Log: Codable, Equatable, Sendable {
        package var device: String
        /// The log's key, hexadecimal.
        package var log: String
        package var blocks: UInt64

        package init(device: String, log: String, blocks: UInt64) {
            self.device = device
            self.log = log
            self.blocks = blocks
        }
    }

    package var logs: [Log] = []
    /// By path; a directory comes before what is in it.
    package var items: [UncountedItem] = []
    /// Blocks that build on others which are not here, or need a newer release.
    package var unreadBlocks: UInt64 = 0
    /// What they make of the tree; nil if there are no such blocks.
    package var tree: PastView?
}

extension ShareVolume {
    /// Reads all logs twice, with the blocks that do not count and without. The filesystem goes on meanwhile; the
    /// cost is that of the history.
    ///
    /// - Parameters:
    ///   - device: name, or first digits (eight at least) of its key; nil for all.
    ///   - scratch: two, empty, used by the result alone from now on.
    /// - Throws: `.unknown` if there are no such blocks of that device.
    package func uncounted(
        of device: String?, scratch: (all: any ShareStorage, counted: any ShareStorage)
    ) throws(MemberError) -> UncountedView {
        try readingHistory { () throws(MemberError) in
            let found: UncountedView?
            do throws(StorageError) {
                found = try readUncounted(of: device, scratch.all, scratch.counted)
            } catch {
                throw .volume(.storage(error))
            }
            guard let found else { throw .unknown(device ?? "") }
            return found
        }
    }

    /// - Returns: nil if the device has none.
    private func readUncounted(
        of device: String?, _ allScratch: any ShareStorage, _ countedScratch: any ShareStorage
    ) throws(StorageError) -> UncountedView? {
        var view = UncountedView()
        let begun = try engine.withLock { (engine) throws(StorageError) -> (Replays, Bool) in
            try engine.commit()
            let counted = engine.countedParts()
            let parts = try engine.uncountedParts(beyond: counted)
            let chosen = parts.filter {
                device == nil || engine.isLog($0.log.key, of: device ?? "")
            }
            view.logs = chosen.map { part in
                UncountedView.Log(
                    device: engine.nameOnceKnown(part.log.key), log: part.log.key.hex,
                    blocks: part.end - (counted.ends[part.slot] ?? 0))
            }
            let writers = WriterTable(copying: engine.writers)
            return (
                try Replays(
                    all: PastReplay(
                        engine, writers, parts: engine.parts(counted.ends, with: chosen),
                        bounds: counted.bounds.opened(to: device == nil ? nil : chosen.map(\.slot)),
                        scratch: allScratch),
                    counted: PastReplay(
                        engine, writers, parts: engine.parts(counted.ends), bounds: counted.bounds,
                        scratch: countedScratch)),
                chosen.isEmpty
            )
        }
        var (replays, hasNone) = begun
        guard !hasNone else { return device == nil ? view : nil }
        for all in [true, false] {
            var replay = all ? replays.all : replays.counted
            try replay.readBase(from: chunks)
            // The lock is taken for a stretch of blocks at a time.
            while try engine.withLock({ (_) throws(StorageError) in try replay.read(256) }) {}
            try mergeAll(in: replay.tree)
            if all { replays.all = replay } else { replays.counted = replay }
        }
        view.unreadBlocks = replays.all.unreadBlocks
        var comparison = TreeComparison(all: replays.all.tree, counted: replays.counted.tree)
        view.items = try comparison.items { slot in
            engine.withLock { engine in engine.nameOnceKnown(engine.writers.key(of: slot)) }
        }
        view.tree = PastView(replays.all.tree, time: .max)
        return view
    }

    private struct Replays {
        var all: PastReplay
        var counted: PastReplay
    }
}

/// What one tree shows and another does not.
private struct TreeComparison {
    let all: FileTree
    let counted: FileTree
    /// By directory: those that show beside their names nowhere.
    private var hidden: [ObjectID: [ConflictRow]] = [:]

    init(all: FileTree, counted: FileTree) {
        self.all = all
        self.counted = counted
    }

    private struct Place {
        var directory: ObjectID
        var path: [[UInt8]] = []
        var leading: [Attributes] = []
    }

    mutating func items(named name: (WriterSlot) -> String) throws(StorageError)
        -> [UncountedItem]
    {
        try findHidden()
        var items: [UncountedItem] = []
        var waiting = [Place(directory: .root)]
        var known: Set<ObjectID> = [.root]
        while let place = waiting.popLast() {
            guard place.path.count < FileTreeLimits.pathDepthMax else { continue }
            var below: [Place] = []
            for listed in try names(in: place.directory) {
                guard let shown = try all.attributes(of: listed.node) else { continue }
                let attributes = Attributes(NodeID(listed.node), shown)
                let path = place.path + [listed.name]
                if let found = try difference(listed.node, attributes.kind) {
                    items.append(
                        UncountedItem(
                            path: path, attributes: attributes, device: name(found.writer),
                            isNew: found.isNew, directories: place.leading))
                }
                guard attributes.kind == .directory, known.insert(listed.node).inserted else {
                    continue
                }
                below.append(
                    Place(
                        directory: listed.node, path: path,
                        leading: place.leading + [attributes]))
            }
            waiting += below.reversed()
        }
        return items
    }

    private mutating func findHidden() throws(StorageError) {
        var last: ConflictRow?
        repeat {
            let page = try all.conflicts(after: last, limit: 256)
            for row in page { hidden[row.parent, default: []].append(row) }
            last = page.last
        } while last != nil
    }

    private func names(in directory: ObjectID) throws(StorageError) -> [(
        name: [UInt8], node: OperationID
    )] {
        var names = try all.list(directory).map { (name: $0.name, node: $0.node) }
        for row in hidden[directory] ?? [] where !names.contains(where: { $0.node == row.node }) {
            names.append((row.shownName, row.node))
        }
        return names
    }

    /// - Returns: nil for what the other tree shows too.
    private func difference(_ id: OperationID, _ kind: FileKind) throws(StorageError) -> (
        writer: WriterSlot, isNew: Bool
    )? {
        guard let node = try all.node(id) else { return nil }
        let isThere = try !counted.entries(of: node.object).isEmpty
        guard kind == .file else { return isThere ? nil : (node.object.writer, true) }
        let versions = try all.content(of: id)?.versions ?? []
        guard !versions.isEmpty else { return isThere ? nil : (node.object.writer, true) }
        if !isThere { return (versions.first?.writer ?? node.object.writer, true) }
        for version in versions where try counted.node(version) == nil {
            return (version.writer, false)
        }
        return nil
    }
}

extension LogBounds {
    /// Without the ends of these logs; nil for all.
    fileprivate func opened(to slots: [WriterSlot]?) -> LogBounds {
        guard let slots else { return LogBounds() }
        var opened = self
        for slot in slots {
            opened.cuts[slot] = nil
            opened.counted.insert(slot)
        }
        return opened
    }
}
