package import Base
import TextMerge
import Wire

// What storage keeps of a row beside the columns it searches by: one opaque value, read and written
// here alone. These bytes never leave the device.

extension ObjectRow {
    private enum Mark {
        static let mode: UInt64 = 1
        static let uid: UInt64 = 2
        static let gid: UInt64 = 4
        static let accessed: UInt64 = 8
        static let modified: UInt64 = 16
        static let changed: UInt64 = 32
        static let contested: UInt64 = 64
        static let details: UInt64 = 128
        static let directory: UInt64 = 256
        static let winner: UInt64 = 512
        static let special: UInt64 = 1024
        static let number: UInt64 = 2048
        static let bearer: UInt64 = 4096
        static let merge: UInt64 = 8192
    }

    /// Everything but `id`.
    package var payload: [UInt8] {
        let special = device != 0 || !target.isEmpty
        let directory =
            entry != nil || canonical != id
            || visibleChildren | subdirectories | contestedNames != 0
        var marks: UInt64 = 0
        if mode.stamp != made { marks |= Mark.mode }
        if uid.stamp != made { marks |= Mark.uid }
        if gid.stamp != made { marks |= Mark.gid }
        if accessed != Register(created, at: made) { marks |= Mark.accessed }
        if modified != Register(created, at: made) { marks |= Mark.modified }
        if changed != made { marks |= Mark.changed }
        if isContested { marks |= Mark.contested }
        if details != .zero { marks |= Mark.details }
        if directory { marks |= Mark.directory }
        if winner != nil { marks |= Mark.winner }
        if special { marks |= Mark.special }
        if number != nil { marks |= Mark.number }
        if bearer != nil { marks |= Mark.bearer }
        if merge != nil { marks |= Mark.merge }

        var writer = WireWriter(reserving: 160)
        writer.writeUInt8(kind.rawValue)
        writer.writeUInt16(UInt16(truncatingIfNeeded: marks))
        writer.write(made)
        writer.write(created)
        writer.writeUInt16(mode.value)
        writer.writeUInt32(uid.value)
        writer.writeUInt32(gid.value)
        if marks & Mark.mode != 0 { writer.write(mode.stamp) }
        if marks & Mark.uid != 0 { writer.write(uid.stamp) }
        if marks & Mark.gid != 0 { writer.write(gid.stamp) }
        if marks & Mark.accessed != 0 {
            writer.write(accessed.value)
            writer.write(accessed.stamp)
        }
        if marks & Mark.modified != 0 {
            writer.write(modified.value)
            writer.write(modified.stamp)
        }
        if marks & Mark.changed != 0 { writer.write(changed) }
        writer.writeUInt(links)
        writer.writeUInt(removedEntries)
        if marks & Mark.details != 0 { writer.writeBytes32(details.bytes) }
        if special {
            writer.writeUInt64(device)
            writer.writeBuffer(target)
        }
        if directory {
            writer.write(entry)
            writer.write(canonical)
            writer.writeUInt(visibleChildren)
            writer.writeUInt(subdirectories)
            writer.writeUInt(contestedNames)
        }
        writer.writeUInt(heads)
        writer.writeUInt(shownHeads)
        if let winner {
            writer.write(winner.stamp)
            writer.writeUInt64(winner.size)
            writer.write(winner.modified)
        }
        if let number { writer.write(number) }
        if let bearer { writer.write(bearer) }
        if let merge { writer.write(merge) }
        return writer.bytes
    }

    /// - Throws: `StorageError.corrupt` if `payload` is not what `payload` gave.
    package init(id: ObjectID, payload: [UInt8]) throws(StorageError) {
        do {
            try self.init(id: id, reading: payload.span)
        } catch {
            throw .corrupt(what: "object \(id): \(error); rebuild the view")
        }
    }

    private init(id: ObjectID, reading bytes: Span<UInt8>) throws(WireError) {
        var reader = WireReader(bytes)
        guard let kind = ObjectKind(rawValue: try reader.readUInt8()) else {
            throw .invalid("object kind")
        }
        let marks = UInt64(try reader.readUInt16())
        let made = try reader.readStamp()
        let created = try reader.readTimestamp()
        self.init(
            id: id, kind: kind, made: made, created: created, device: 0, target: [],
            mode: try reader.readUInt16(), uid: try reader.readUInt32(),
            gid: try reader.readUInt32())
        if marks & Mark.mode != 0 { mode.stamp = try reader.readStamp() }
        if marks & Mark.uid != 0 { uid.stamp = try reader.readStamp() }
        if marks & Mark.gid != 0 { gid.stamp = try reader.readStamp() }
        if marks & Mark.accessed != 0 {
            accessed = Register(try reader.readTimestamp(), at: try reader.readStamp())
        }
        if marks & Mark.modified != 0 {
            modified = Register(try reader.readTimestamp(), at: try reader.readStamp())
        }
        if marks & Mark.changed != 0 { changed = try reader.readStamp() }
        isContested = marks & Mark.contested != 0
        links = try reader.readUInt()
        removedEntries = try reader.readUInt()
        if marks & Mark.details != 0 { details = Digest(try reader.readBytes32()) }
        if marks & Mark.special != 0 {
            device = try reader.readUInt64()
            target = try reader.readBuffer(max: Limits.targetSizeMax)
        }
        if marks & Mark.directory != 0 {
            entry = try reader.readOptionalOperationID()
            canonical = try reader.readOperationID()
            visibleChildren = try reader.readUInt()
            subdirectories = try reader.readUInt()
            contestedNames = try reader.readUInt()
        }
        heads = try reader.readUInt()
        shownHeads = try reader.readUInt()
        if marks & Mark.winner != 0 {
            winner = Winner(
                stamp: try reader.readStamp(), size: try reader.readUInt64(),
                modified: try reader.readTimestamp())
        }
        if marks & Mark.number != 0 { number = try reader.readOperationID() }
        if marks & Mark.bearer != 0 { bearer = try reader.readOperationID() }
        if marks & Mark.merge != 0 { merge = try reader.readMerge(of: id) }
    }
}

extension EntryRow {
    private enum Mark {
        static let isMoved: UInt8 = 1
        static let number: UInt8 = 2
    }

    /// Everything but `id`, `object`, `shownParent`, `placement.name` and `holdsName`.
    package var payload: [UInt8] {
        var writer = WireWriter(reserving: 48)
        writer.writeUInt8(kind.rawValue)
        writer.write(placement.parent)
        writer.write(placement.stamp)
        // Nearly always the one placement that counts.
        let isPlain = lives == [placement.stamp.operation] && removals.isEmpty
        writer.writeUInt8((isPlain ? 0 : Mark.isMoved) | (number == nil ? 0 : Mark.number))
        if !isPlain {
            writer.write(Array(lives))
            writer.write(Array(removals))
        }
        if let number { writer.write(number) }
        return writer.bytes
    }

    /// - Throws: `StorageError.corrupt` if `payload` is not what `payload` gave.
    package init(
        id: EntryID, object: ObjectID, shownParent: ObjectID?, name: [UInt8], holdsName: Bool,
        payload: [UInt8]
    ) throws(StorageError) {
        do {
            var reader = WireReader(payload.span)
            guard let kind = ObjectKind(rawValue: try reader.readUInt8()) else {
                throw WireError.invalid("entry kind")
            }
            let placement = Placement(
                parent: try reader.readOperationID(), name: name, stamp: try reader.readStamp())
            self.init(id: id, object: object, kind: kind, placement: placement)
            let marks = try reader.readUInt8()
            if marks & Mark.isMoved != 0 {
                lives = OperationList(try reader.readOperationIDs())
                removals = OperationList(try reader.readOperationIDs())
            }
            if marks & Mark.number != 0 { number = try reader.readOperationID() }
        } catch {
            throw .corrupt(what: "entry \(id): \(error); rebuild the view")
        }
        self.shownParent = shownParent
        self.holdsName = holdsName
    }
}

extension VersionRow {
    /// Everything but `id`, `object` and `isHead`.
    package var payload: [UInt8] {
        var writer = WireWriter(reserving: content.count + 64)
        writer.writeUInt64(time.rawValue)
        writer.write(parents)
        writer.writeUInt64(size)
        writer.write(modified)
        writer.writeUInt8((isClosed ? 1 : 0) | lineage.rawValue << 1)
        writer.writeRaw(content)
        return writer.bytes
    }

    /// - Throws: `StorageError.corrupt` if `payload` is not what `payload` gave.
    package init(id: VersionID, object: ObjectID, isHead: Bool, payload: [UInt8])
        throws(StorageError)
    {
        do {
            var reader = WireReader(payload.span)
            let time = HybridTime(rawValue: try reader.readUInt64())
            let parents = try reader.readOperationIDs()
            let size = try reader.readUInt64()
            let modified = try reader.readTimestamp()
            let marks = try reader.readUInt8()
            self.init(
                id: id, object: object, time: time, parents: parents, size: size,
                modified: modified, content: reader.readRest())
            isClosed = marks & 1 != 0
            guard let lineage = Lineage(rawValue: marks >> 1) else {
                throw WireError.invalid("marks")
            }
            self.lineage = lineage
        } catch {
            throw .corrupt(what: "version \(id): \(error); rebuild the view")
        }
        self.isHead = isHead
    }
}

extension XattrRow {
    /// Everything but `object` and `name`.
    package var payload: [UInt8] {
        var writer = WireWriter(reserving: (value?.count ?? 0) + 17)
        writer.write(stamp)
        writer.writeBool(value != nil)
        writer.writeRaw(value ?? [])
        return writer.bytes
    }

    /// - Throws: `StorageError.corrupt` if `payload` is not what `payload` gave.
    package init(object: ObjectID, name: [UInt8], payload: [UInt8]) throws(StorageError) {
        do {
            var reader = WireReader(payload.span)
            let stamp = try reader.readStamp()
            let value = try reader.readBool() ? reader.readRest() : nil
            self.init(object: object, name: name, value: value, stamp: stamp)
        } catch {
            throw .corrupt(what: "attribute of \(object): \(error); rebuild the view")
        }
    }
}

extension MoveRow {
    /// Everything but `id` and `time`.
    package var payload: [UInt8] {
        var writer = WireWriter(reserving: name.count + 64)
        writer.write(entry)
        writer.write(parent)
        writer.writeBuffer(name)
        writer.writeBool(previous != nil)
        if let previous {
            writer.write(previous.parent)
            writer.writeBuffer(previous.name)
            writer.write(previous.stamp)
        }
        return writer.bytes
    }

    /// - Throws: `StorageError.corrupt` if `payload` is not what `payload` gave.
    package init(id: OperationID, time: HybridTime, payload: [UInt8]) throws(StorageError) {
        do {
            var reader = WireReader(payload.span)
            let entry = try reader.readOperationID()
            let parent = try reader.readOperationID()
            let name = try reader.readBuffer(max: Limits.nameSizeMax)
            var previous: Placement?
            if try reader.readBool() {
                previous = Placement(
                    parent: try reader.readOperationID(),
                    name: try reader.readBuffer(max: Limits.nameSizeMax),
                    stamp: try reader.readStamp())
            }
            self.init(
                id: id, time: time, entry: entry, parent: parent, name: name, previous: previous)
        } catch {
            throw .corrupt(what: "move \(id): \(error); rebuild the view")
        }
    }
}

// MARK: - Parts of rows

extension WireWriter {
    mutating func write(_ merge: HeadsMerge) {
        writeBool(merge.question.isLineLike)
        write(merge.question.heads)
        switch merge.verdict {
        case .pending(let shown):
            writeUInt8(0)
            write(shown)
        case .merged(let size, let content):
            writeUInt8(1)
            writeUInt64(size)
            writeBuffer(content)
        case .conflict(let reason):
            writeUInt8(2)
            writeUInt8(reason.rawValue)
        }
    }

    mutating func write(_ id: OperationID) { writeUInt64(id.rawValue) }
    /// Nil is written as an identity that nothing has.
    mutating func write(_ id: OperationID?) { writeUInt64(id?.rawValue ?? .max) }

    mutating func write(_ stamp: Stamp) {
        writeUInt64(stamp.time.rawValue)
        write(stamp.operation)
    }

    mutating func write(_ timestamp: Timestamp) {
        writeUInt64(UInt64(bitPattern: timestamp.seconds))
        writeUInt32(timestamp.nanoseconds)
    }

    mutating func write(_ ids: [OperationID]) {
        writeUInt(ids.count)
        for id in ids { write(id) }
    }
}

extension WireReader {
    mutating func readMerge(of object: ObjectID) throws(WireError) -> HeadsMerge {
        let isLineLike = try readBool()
        let question = MergeQuestion(
            object: object, heads: try readOperationIDs(), isLineLike: isLineLike)
        let verdict: MergeVerdict
        switch try readUInt8() {
        case 0: verdict = .pending(shown: try readOptionalOperationID())
        case 1:
            verdict = .merged(
                size: try readUInt64(), content: try readBuffer(max: Limits.contentSizeMax))
        case 2:
            guard let reason = MergeConflict(rawValue: try readUInt8()) else {
                throw .invalid("conflict")
            }
            verdict = .conflict(reason)
        default: throw .invalid("merge")
        }
        return HeadsMerge(question: question, verdict: verdict)
    }

    mutating func readOperationID() throws(WireError) -> OperationID {
        guard let id = OperationID(rawValue: try readUInt64()) else {
            throw .invalid("operation identity")
        }
        return id
    }

    mutating func readOptionalOperationID() throws(WireError) -> OperationID? {
        let value = try readUInt64()
        if value == .max { return nil }
        guard let id = OperationID(rawValue: value) else { throw .invalid("operation identity") }
        return id
    }

    mutating func readStamp() throws(WireError) -> Stamp {
        Stamp(time: HybridTime(rawValue: try readUInt64()), operation: try readOperationID())
    }

    mutating func readTimestamp() throws(WireError) -> Timestamp {
        Timestamp(
            seconds: Int64(bitPattern: try readUInt64()), nanoseconds: try readUInt32())
    }

    mutating func readOperationIDs() throws(WireError) -> [OperationID] {
        let count = try readCount(max: Int(UInt16.max), minimumElementSize: 8)
        var ids: [OperationID] = []
        ids.reserveCapacity(count)
        for _ in 0..<count { ids.append(try readOperationID()) }
        return ids
    }
}
