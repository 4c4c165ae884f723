package import Base
import Wire

/// Starting from a checkpoint instead of from the first blocks.
extension FileTree {
    /// Makes an empty tree the view that a checkpoint holds: the blocks after its clock may be applied
    /// then.
    ///
    /// - Parameters:
    ///   - digest: of the view, as whoever published the checkpoint signed it.
    ///   - next: the next bytes of it; nil at the end.
    /// - Throws: after an error storage holds part of a view: remove it.
    package func read(
        checkpoint digest: Bytes32, _ next: () throws(StorageError) -> [UInt8]?
    ) throws(CheckpointError) {
        guard clock.elements.isEmpty, totals == TreeTotals() else {
            throw .malformed("the tree is not empty")
        }
        var input = CheckpointInput(tree: self)
        do throws(StorageError) {
            try input.read(next)
        } catch {
            throw .storage(error)
        }
        if let problem = input.problem { throw .malformed(problem) }
        do throws(StorageError) {
            try finishCheckpoint(clock: input.clock, newestTime: input.newestTime)
            guard try everyDirectoryReachesTheRoot(input.directories) else {
                throw .corrupt(what: "a checkpoint with directories in a ring")
            }
        } catch {
            throw .storage(error)
        }
        guard self.digest == digest else { throw .otherView }
    }

    private func finishCheckpoint(clock: Clock, newestTime: HybridTime) throws(StorageError) {
        try settleCheckpoint()
        state.clock = clock
        state.newestTime = newestTime
        try save()
    }

    func settleCheckpoint() throws(StorageError) {
        try flush()
        changes.removeAll()
        contestedDirectories.removeAll()
    }

    /// What walks towards the root must end there.
    private func everyDirectoryReachesTheRoot(_ directories: [ObjectID]) throws(StorageError)
        -> Bool
    {
        var good: Set<ObjectID> = [.root]
        for directory in directories {
            var path: Set<ObjectID> = []
            var current = directory
            while !good.contains(current) {
                guard path.insert(current).inserted, let row = try storage.object(current),
                    let id = row.entry
                else { break }
                current = try required(try storage.entry(id), "entry \(id)").placement.parent
            }
            guard good.contains(current) else { return false }
            good.formUnion(path)
        }
        return true
    }
}

/// Frames on their way in. Whatever is wrong with them ends up in `problem`; nothing is trusted that would
/// be refused in a block.
private struct CheckpointInput {
    private enum Frame {
        case header
        case object(ObjectRow)
        case version(VersionRow)
        case xattr(name: [UInt8], value: [UInt8]?, Stamp)
        case entry(EntryRow)
        case move(MoveRow)
        case end
    }

    let tree: FileTree
    private(set) var clock = Clock()
    private(set) var newestTime = HybridTime.zero
    private(set) var problem: String?
    /// Those that have a place.
    private(set) var directories: [ObjectID] = []
    private var codec = CheckpointCodec(slots: [])
    private var hasHeader = false
    private var hasEnded = false
    private var lastTag = CheckpointCodec.Tag.object
    private var lastObject: ObjectID?
    /// The object whose versions and attributes follow.
    private var current: Held<ObjectRow>?
    private var versions: [VersionID: VersionRow] = [:]

    init(tree: FileTree) { self.tree = tree }

    mutating func read(_ next: () throws(StorageError) -> [UInt8]?) throws(StorageError) {
        var waiting: [UInt8] = []
        while problem == nil, let bytes = try next() {
            guard !hasEnded else { return refuse("bytes after the end") }
            waiting += bytes
            var used = 0
            while problem == nil, !hasEnded, used < waiting.count {
                let rest = waiting.span.extracting(used..<waiting.count)
                guard let (frame, count) = parse(rest) else { break }
                used += count
                try take(frame)
            }
            if hasEnded, used < waiting.count { refuse("bytes after the end") }
            waiting.removeFirst(used)
            if waiting.count >= frameSizeMax { refuse("a frame that is too long") }
        }
        if problem == nil, !hasEnded { refuse("it ends early") }
    }

    /// A header names every log; a frame holds one row.
    private var frameSizeMax: Int {
        hasHeader ? CheckpointCodec.Limits.frameSizeMax + 16 : 64 * (Int(WriterSlot.max) + 1)
    }

    private mutating func refuse(_ what: String) {
        if problem == nil { problem = what }
    }

    // MARK: Bytes

    /// - Returns: nil if the frame is not here in full, or wrong.
    private mutating func parse(_ bytes: Span<UInt8>) -> (Frame, Int)? {
        var reader = WireReader(bytes)
        do throws(WireError) {
            guard hasHeader else {
                try readHeader(&reader)
                return (.header, bytes.count - reader.remaining)
            }
            guard let tag = CheckpointCodec.Tag(rawValue: try reader.readUInt8()) else {
                throw .invalid("tag")
            }
            guard tag != .end else { return (.end, 1) }
            guard tag.section >= lastTag.section else { throw .invalid("rows out of order") }
            lastTag = tag
            let body = try reader.readBuffer(max: CheckpointCodec.Limits.frameSizeMax)
            guard let frame = frame(tag, body) else { return nil }
            return (frame, bytes.count - reader.remaining)
        } catch {
            guard case .truncated = error else {
                refuse("\(error)")
                return nil
            }
            return nil
        }
    }

    private mutating func readHeader(_ reader: inout WireReader) throws(WireError) {
        guard try reader.readUInt8() == CheckpointCodec.format else { throw .invalid("format") }
        let time = HybridTime(rawValue: try reader.readUInt64())
        let count = try reader.readUInt(max: UInt64(WriterSlot.max))
        var keys: [(Bytes32, UInt64)] = []
        for _ in 0..<count {
            let key = try reader.readBytes32()
            let blocks = try reader.readUInt(max: FileTree.OperationLimits.blocksPerLogMax)
            guard key > keys.last?.0 ?? .zero, blocks > 0 else { throw .invalid("logs") }
            keys.append((key, blocks))
        }
        var slots: [WriterSlot] = []
        for (key, blocks) in keys {
            guard let slot = tree.writers.insert(key) else { throw .invalid("too many logs") }
            slots.append(slot)
            clock[slot] = blocks
        }
        newestTime = time
        codec = CheckpointCodec(slots: slots)
        let rules = try reader.readUInt64()
        tree.state.mergeRules = Register(rules, at: try codec.readStamp(&reader, within: clock))
        hasHeader = true
    }

    private mutating func frame(_ tag: CheckpointCodec.Tag, _ body: [UInt8]) -> Frame? {
        var reader = WireReader(body.span)
        do throws(WireError) {
            let frame: Frame
            switch tag {
            case .end: return .end
            case .object: frame = .object(try object(&reader))
            case .version: frame = .version(try version(&reader))
            case .xattr:
                let name = try reader.readBuffer(
                    max: FileTree.OperationLimits.xattrNameSizeMax)
                let stamp = try codec.readStamp(&reader, within: clock)
                let isThere = try reader.readBool()
                let value = try reader.readBuffer(
                    max: FileTree.OperationLimits.xattrValueSizeMax)
                guard isXattrName(name) else { throw .invalid("name of an attribute") }
                frame = .xattr(name: name, value: isThere ? value : nil, stamp)
            case .entry: frame = .entry(try entry(&reader))
            case .move: frame = .move(try move(&reader))
            }
            guard reader.isAtEnd else { throw .invalid("bytes left over") }
            return frame
        } catch {
            refuse("\(tag): \(error)")
            return nil
        }
    }

    private func object(_ reader: inout WireReader) throws(WireError) -> ObjectRow {
        let id = try codec.readID(&reader, within: clock)
        guard let kind = ObjectKind(rawValue: try reader.readUInt8()) else {
            throw .invalid("kind")
        }
        let made = Stamp(time: HybridTime(rawValue: try reader.readUInt64()), operation: id)
        let created = try reader.readTimestamp()
        let device = try reader.readUInt64()
        let target = try reader.readBuffer(max: FileTree.OperationLimits.targetSizeMax)
        var row = ObjectRow(
            id: id, kind: kind, made: made, created: created, device: device, target: target,
            mode: 0, uid: 0, gid: 0)
        row.mode = Register(
            try reader.readUInt16(), at: try codec.readStamp(&reader, within: clock))
        row.uid = Register(
            try reader.readUInt32(), at: try codec.readStamp(&reader, within: clock))
        row.gid = Register(
            try reader.readUInt32(), at: try codec.readStamp(&reader, within: clock))
        row.accessed = Register(
            try reader.readTimestamp(), at: try codec.readStamp(&reader, within: clock))
        row.modified = Register(
            try reader.readTimestamp(), at: try codec.readStamp(&reader, within: clock))
        row.changed = try codec.readStamp(&reader, within: clock)
        guard row.mode.value <= 0o7777 else { throw .invalid("mode") }
        return row
    }

    private func version(_ reader: inout WireReader) throws(WireError) -> VersionRow {
        let id = try codec.readID(&reader, within: clock)
        let time = HybridTime(rawValue: try reader.readUInt64())
        let parents = try codec.readIDs(&reader, within: clock)
        let size = try reader.readUInt(max: .max)
        let modified = try reader.readTimestamp()
        let marks = try reader.readUInt8()
        var row = VersionRow(
            id: id, object: lastObject ?? .root, time: time, parents: parents, size: size,
            modified: modified,
            content: try reader.readBuffer(max: FileTree.OperationLimits.contentSizeMax))
        guard marks <= 3, size <= FileTree.OperationLimits.fileSizeMax else {
            throw .invalid("version")
        }
        row.isHead = marks & 1 != 0
        row.isClosed = marks & 2 != 0
        return row
    }

    private func entry(_ reader: inout WireReader) throws(WireError) -> EntryRow {
        let id = try codec.readID(&reader, within: clock)
        let object = try codec.readID(&reader, within: clock)
        let placement = Placement(
            parent: try codec.readID(&reader, within: clock), name: try name(&reader),
            stamp: try codec.readStamp(&reader, within: clock))
        // The kind is the object's.
        var row = EntryRow(id: id, object: object, kind: .file, placement: placement)
        row.lives = try codec.readIDs(&reader, within: clock)
        row.removals = try codec.readIDs(&reader, within: clock)
        guard !row.lives.isEmpty else { throw .invalid("an entry that was never placed") }
        return row
    }

    private func move(_ reader: inout WireReader) throws(WireError) -> MoveRow {
        let stamp = try codec.readStamp(&reader, within: clock)
        let entry = try codec.readID(&reader, within: clock)
        let parent = try codec.readID(&reader, within: clock)
        let name = try name(&reader)
        var previous: Placement?
        if try reader.readBool() {
            previous = Placement(
                parent: try codec.readID(&reader, within: clock), name: try self.name(&reader),
                stamp: try codec.readStamp(&reader, within: clock))
        }
        return MoveRow(
            id: stamp.operation, time: stamp.time, entry: entry, parent: parent, name: name,
            previous: previous)
    }

    private func name(_ reader: inout WireReader) throws(WireError) -> [UInt8] {
        let name = try reader.readBuffer(max: FileTree.OperationLimits.nameSizeMax)
        guard isEntryName(name) else { throw .invalid("name") }
        return name
    }

    // MARK: Rows

    private mutating func take(_ frame: Frame) throws(StorageError) {
        switch frame {
        case .header: break
        case .object(let row): try take(row)
        case .version(let row):
            guard row.id != .root, current?.row.kind == .file,
                versions.updateValue(row, forKey: row.id) == nil
            else { return refuse("a version of what is no file") }
        case .xattr(let name, let value, let stamp): try take(name, value, stamp)
        case .entry(let row):
            try finishObject()
            try take(row)
        case .move(let row):
            try finishObject()
            try take(row)
        case .end:
            try finishObject()
        }
        if case .end = frame { hasEnded = true }
    }

    private mutating func take(_ row: ObjectRow) throws(StorageError) {
        try finishObject()
        if let lastObject {
            guard codec.order(lastObject, row.id) else { return refuse("objects out of order") }
        } else {
            guard row.id == .root else { return refuse("no root") }
        }
        lastObject = row.id
        guard row.id == .root else {
            let held = Held(new: row)
            tree.held.hold(held)
            current = held
            return
        }
        guard row.kind == .directory, let root = try tree.object(.root) else {
            return refuse("the root is no directory")
        }
        root.row.mode = row.mode
        root.row.uid = row.uid
        root.row.gid = row.gid
        root.row.accessed = row.accessed
        root.row.modified = row.modified
        root.row.changed = row.changed
        current = root
    }

    private mutating func take(_ name: [UInt8], _ value: [UInt8]?, _ stamp: Stamp)
        throws(StorageError)
    {
        guard let current else { return refuse("an attribute of nothing") }
        let id = current.row.id
        guard try tree.storage.xattr(name, of: id) == nil else {
            return refuse("an attribute twice")
        }
        if let value { current.row.details += tree.hasher.xattr(name, value: value, of: id) }
        try tree.storage.put(XattrRow(object: id, name: name, value: value, stamp: stamp))
    }

    /// All that belongs to the object is here.
    private mutating func finishObject() throws(StorageError) {
        guard let object = current else { return }
        current = nil
        for row in versions.values.sorted(by: { $0.id.rawValue < $1.id.rawValue }) {
            guard row.parents.allSatisfy({ versions[$0] != nil }) else {
                return refuse("a version without its parents")
            }
            try tree.storage.put(row)
            if row.isHead { object.row.heads += 1 }
        }
        if !versions.isEmpty {
            guard object.row.heads > 0 else { return refuse("a file without a head") }
            try tree.showHeads(of: object, instead: [])
        }
        versions.removeAll()
        try flushIfMany()
    }

    private func flushIfMany() throws(StorageError) {
        if tree.held.count > tree.heldRowsMax { try tree.settleCheckpoint() }
    }

    private func directory(_ id: ObjectID) throws(StorageError) -> Held<ObjectRow>? {
        guard let object = try tree.object(id), object.row.kind == .directory else { return nil }
        return object
    }

    private mutating func take(_ row: EntryRow) throws(StorageError) {
        guard row.id != .root, row.object != .root, let object = try tree.object(row.object),
            try directory(row.placement.parent) != nil, try tree.entry(row.id) == nil
        else { return refuse("an entry of nothing, in nothing, or twice") }
        var entry = EntryRow(
            id: row.id, object: row.object, kind: object.row.kind, placement: row.placement)
        entry.lives = row.lives
        entry.removals = row.removals
        if object.row.kind == .directory {
            guard object.row.entry == nil else { return refuse("a directory with two entries") }
            object.row.entry = row.id
            directories.append(row.object)
        }
        if entry.isDead { object.row.removedEntries += 1 }
        tree.held.hold(HeldEntry(Held(new: entry)))
        try flushIfMany()
    }

    private mutating func take(_ row: MoveRow) throws(StorageError) {
        guard row.id != .root, let entry = try tree.entry(row.entry), entry.row.kind == .directory,
            try directory(row.parent) != nil
        else { return refuse("a move of nothing") }
        if let previous = row.previous, try directory(previous.parent) == nil {
            return refuse("a move from nothing")
        }
        try tree.storage.put(row)
        try flushIfMany()
    }
}

extension CheckpointCodec.Tag {
    /// Rows of an earlier section come first.
    fileprivate var section: Int {
        switch self {
        case .object, .version, .xattr: 0
        case .entry: 1
        case .move: 2
        case .end: 3
        }
    }
}
