package import Base
import Wire

/// What a checkpoint holds besides the view.
package struct CheckpointContents {
    /// The logs' codecs after the last block that the view has, in the order of the logs' keys.
    package var states: [BlockCodec] = []
    /// As they were given to `beginCheckpoint`.
    package var values: [String: [UInt8]] = [:]
    /// When blocks of the log that was asked about were written, by number: those that something in the view is of.
    package var times: [UInt64: HybridTime] = [:]
}

/// Makes an empty tree the view that a checkpoint holds, some bytes at a time: the blocks after its clock
/// may be applied then.
///
/// Nothing is trusted that would be refused in a block. After an error storage holds part of a view: remove
/// it.
package struct CheckpointReader {
    private enum Frame {
        case header
        case object(ObjectRow)
        case version(VersionRow)
        case xattr(name: [UInt8], value: [UInt8]?, Stamp)
        case entry(EntryRow)
        case move(MoveRow)
        case log(BlockCodec)
        case value(String, [UInt8])
        case end
    }

    private let tree: FileTree
    /// Whether the view is passed over.
    private let skipsRows: Bool
    /// The log whose blocks' times are noted then.
    private let timed: WriterSlot?
    private var contents = CheckpointContents()
    private var clock = Clock()
    private var newestTime = HybridTime.zero
    /// Whatever is wrong with the bytes ends up here.
    private var problem: String?
    /// Those that have a place.
    private var directories: [ObjectID] = []
    private var codec = CheckpointCodec(slots: [])
    private var hasHeader = false
    private var hasEnded = false
    private var lastTag = CheckpointCodec.Tag.object
    private var lastObject: ObjectID?
    /// The object whose versions and attributes follow. Not its row: the tree may be saved between two calls, and
    /// lets go of rows then.
    private var current: (id: ObjectID, kind: ObjectKind)?
    private var versions: [VersionID: VersionRow] = [:]
    private var waiting: [UInt8] = []

    /// - Parameters:
    ///   - skipsRows: whether only what it holds besides the view is asked for, with `finishSkipping`.
    ///   - timed: where rows are skipped, the log of whose blocks `CheckpointContents.times` tells.
    /// - Precondition: the tree is empty.
    package init(tree: FileTree, skipsRows: Bool = false, timesOf timed: WriterSlot? = nil) {
        precondition(tree.clock.elements.isEmpty && tree.totals == TreeTotals())
        self.tree = tree
        self.skipsRows = skipsRows
        self.timed = timed
    }

    /// Takes the next bytes.
    package mutating func feed(_ bytes: [UInt8]) throws(CheckpointError) {
        var waiting = self.waiting
        self.waiting = []
        waiting += bytes
        var used = 0
        do throws(StorageError) {
            while problem == nil, !hasEnded, used < waiting.count {
                let rest = waiting.span.extracting(used..<waiting.count)
                guard let (frame, count) = parse(rest) else { break }
                used += count
                try take(frame)
            }
        } catch {
            throw .storage(error)
        }
        if hasEnded, used < waiting.count { refuse("bytes after the end") }
        waiting.removeFirst(used)
        if waiting.count >= frameSizeMax { refuse("a frame that is too long") }
        self.waiting = waiting
        if let problem { throw .malformed(problem) }
    }

    /// Ends the reading: the tree has the view, if it is the one that was promised.
    ///
    /// - Parameter digest: of the view, as whoever published the checkpoint signed it.
    package mutating func finish(_ digest: Bytes32) throws(CheckpointError) -> CheckpointContents {
        try expectStates()
        do throws(StorageError) {
            try settle()
            tree.state.clock = clock
            tree.state.newestTime = newestTime
            try tree.save()
            var moves = CheckpointMoves(tree)
            if try !everyDirectoryReachesTheRoot() {
                refuse("directories in a ring")
            } else if try !moves.areSound() {
                refuse("moves that cannot have been")
            }
        } catch {
            throw .storage(error)
        }
        if let problem { throw .malformed(problem) }
        guard tree.digest == digest else { throw .otherView }
        return contents
    }

    /// Ends the reading where rows were passed over: nothing says that the view is what was promised.
    package func finishSkipping() throws(CheckpointError) -> CheckpointContents {
        try expectStates()
        return contents
    }

    private func expectStates() throws(CheckpointError) {
        guard hasEnded else { throw .malformed("it ends early") }
        let known = Set(contents.states.map(\.writer))
        guard known == Set(clock.elements.map(\.writer)) else {
            throw .malformed("logs without their state")
        }
    }

    private func settle() throws(StorageError) {
        try tree.flush()
        tree.changes.removeAll()
        tree.shownBefore.removeAll()
        tree.contestedDirectories.removeAll()
        tree.revived.removeAll()
    }

    /// What walks towards the root must end there.
    private func everyDirectoryReachesTheRoot() throws(StorageError) -> Bool {
        var good: Set<ObjectID> = [.root]
        for directory in directories {
            var path: Set<ObjectID> = []
            var current = directory
            while !good.contains(current) {
                guard path.insert(current).inserted, let row = try tree.storage.object(current),
                    let id = row.entry, let entry = try tree.storage.entry(id)
                else { return false }
                current = entry.placement.parent
            }
            good.formUnion(path)
        }
        return true
    }

    /// A header names every log; a frame holds one row.
    private var frameSizeMax: Int {
        hasHeader ? CheckpointCodec.Limits.valueSizeMax + 128 : 64 * (Int(WriterSlot.max) + 1)
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
            let limit =
                tag == .value
                ? CheckpointCodec.Limits.valueSizeMax : CheckpointCodec.Limits.frameSizeMax
            let body = try reader.readBuffer(max: limit)
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
        var keys: [(key: Bytes32, blocks: UInt64, forgotten: UInt64)] = []
        for _ in 0..<count {
            let key = try reader.readBytes32()
            let blocks = try reader.readUInt(max: FileTree.OperationLimits.blocksPerLogMax)
            let forgotten = try reader.readUInt(max: blocks)
            guard key > keys.last?.key ?? .zero else { throw .invalid("logs") }
            keys.append((key, blocks, forgotten))
        }
        var slots: [WriterSlot] = []
        for (key, blocks, forgotten) in keys {
            guard let slot = tree.writers.insert(key) else { throw .invalid("too many logs") }
            slots.append(slot)
            clock[slot] = blocks
            tree.state.forgotten[slot] = forgotten
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
            case .log: frame = .log(try log(&reader))
            case .value:
                let name = try reader.readString(max: CheckpointCodec.Limits.valueNameSizeMax)
                frame = .value(name, reader.readRest())
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
        guard let lineage = VersionRow.Lineage(rawValue: marks >> 2),
            size <= FileTree.OperationLimits.fileSizeMax
        else { throw .invalid("version") }
        row.lineage = lineage
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
        row.lives = OperationList(try codec.readIDs(&reader, within: clock))
        row.removals = OperationList(try codec.readIDs(&reader, within: clock))
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

    private func log(_ reader: inout WireReader) throws(WireError) -> BlockCodec {
        let time = HybridTime(rawValue: try reader.readUInt64())
        let count = try reader.readCount(max: codec.slots.count, minimumElementSize: 2)
        var slots: [WriterSlot] = []
        var seen = Clock()
        for index in 0..<count {
            let number = try reader.readUInt(max: UInt64(codec.slots.count))
            guard number > 0 else { throw .invalid("a log that is not in the clock") }
            let slot = codec.slots[Int(number) - 1]
            guard !slots.contains(slot) else { throw .invalid("a log named twice") }
            slots.append(slot)
            // It may have seen more than counts.
            seen[slot] = try reader.readUInt(
                max: index == 0 ? 0 : FileTree.OperationLimits.blocksPerLogMax)
        }
        guard let writer = slots.first, clock[writer] > 0, time <= newestTime else {
            throw .invalid("state of a log")
        }
        return BlockCodec(number: clock[writer], time: time, clock: seen, writers: slots)
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
        case .object, .version, .xattr, .entry, .move:
            if skipsRows { noteTimes(frame) } else { try takeRow(frame) }
        case .log(let state):
            try finishObject()
            noteTime(
                Stamp(
                    time: state.time,
                    operation: OperationID(
                        writer: state.writer, block: state.number - 1, index: 0)))
            contents.states.append(state)
        case .value(let name, let value):
            try finishObject()
            guard contents.values.count < CheckpointCodec.Limits.valuesMax else {
                return refuse("too many values")
            }
            contents.values[name] = value
        case .end:
            try finishObject()
            hasEnded = true
        }
    }

    private mutating func noteTimes(_ frame: Frame) {
        switch frame {
        case .header, .log, .value, .end: break
        case .object(let row):
            for stamp in [
                row.made, row.mode.stamp, row.uid.stamp, row.gid.stamp, row.accessed.stamp,
                row.modified.stamp, row.changed,
            ] { noteTime(stamp) }
        case .version(let row): noteTime(row.stamp)
        case .xattr(_, _, let stamp): noteTime(stamp)
        case .entry(let row): noteTime(row.placement.stamp)
        case .move(let row):
            noteTime(row.stamp)
            if let previous = row.previous { noteTime(previous.stamp) }
        }
    }

    private mutating func noteTime(_ stamp: Stamp) {
        guard stamp.operation.writer == timed, stamp.operation != .root else { return }
        contents.times[stamp.operation.block] = stamp.time
    }

    private mutating func takeRow(_ frame: Frame) throws(StorageError) {
        switch frame {
        case .header, .log, .value, .end: break
        case .object(let row): try take(row)
        case .version(let row):
            guard row.id != .root, current?.kind == .file,
                versions.updateValue(row, forKey: row.id) == nil
            else { return refuse("a version of what is no file") }
        case .xattr(let name, let value, let stamp): try take(name, value, stamp)
        case .entry(let row):
            try finishObject()
            try take(row)
        case .move(let row):
            try finishObject()
            try take(row)
        }
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
            tree.held.hold(Held(new: row))
            current = (row.id, row.kind)
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
        current = (.root, .directory)
    }

    private mutating func take(_ name: [UInt8], _ value: [UInt8]?, _ stamp: Stamp)
        throws(StorageError)
    {
        guard let id = current?.id, let object = try tree.object(id) else {
            return refuse("an attribute of nothing")
        }
        guard try tree.storage.xattr(name, of: id) == nil else {
            return refuse("an attribute twice")
        }
        if let value { object.row.details += tree.hasher.xattr(name, value: value, of: id) }
        try tree.storage.put(XattrRow(object: id, name: name, value: value, stamp: stamp))
    }

    /// All that belongs to the object is here.
    private mutating func finishObject() throws(StorageError) {
        guard let id = current?.id, let object = try tree.object(id) else { return }
        current = nil
        for row in versions.values.sorted(by: { $0.id.rawValue < $1.id.rawValue }) {
            // Parents that are not here were succeeded long ago.
            for id in row.parents {
                guard let parent = versions[id] else { continue }
                guard parent.time <= row.time, parent.id != row.id else {
                    return refuse("a version before its parents")
                }
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
        if tree.held.count > tree.heldRowsMax { try settle() }
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
        tree.held.hold(HeldEntry(new: entry))
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
        case .log, .value: 3
        case .end: 4
        }
    }
}
