package import Base
import Wire

/// The view as bytes that are the same on every device with the same clock.
extension FileTree {
    /// Writes the view, to be read by `read(checkpoint:)`.
    ///
    /// - Parameter body: takes the bytes, some kilobytes at a time.
    package func writeCheckpoint(_ body: ([UInt8]) throws(StorageError) -> Void)
        throws(StorageError)
    {
        try save()
        let slots = clock.elements.map(\.writer).sorted {
            writers.key(of: $0) < writers.key(of: $1)
        }
        var output = CheckpointOutput(CheckpointCodec(slots: slots))
        output.writeHeader(state, writers: writers)
        try forEachObject(slots) { (row) throws(StorageError) in
            output.write(row)
            for version in try storage.versions(of: row.id).sorted(by: output.precedes) {
                output.write(version)
            }
            for xattr in try storage.xattrs(of: row.id) { output.write(xattr) }
            try output.hand(to: body)
        }
        try forEachObject(slots) { (row) throws(StorageError) in
            for entry in try storage.entries(of: row.id).sorted(by: output.precedes) {
                output.write(entry)
            }
            try output.hand(to: body)
        }
        let moves = try storage.moves(from: .zero)
        for move in moves.sorted(by: { writers.precedes($0.stamp, $1.stamp) }) {
            output.write(move)
            try output.hand(to: body)
        }
        output.writeEnd()
        try output.hand(to: body, all: true)
    }

    /// The root, then every object ever made, in the order of the keys of their logs.
    private func forEachObject(
        _ slots: [WriterSlot], _ body: (ObjectRow) throws(StorageError) -> Void
    ) throws(StorageError) {
        try body(try required(try storage.object(.root), "the root"))
        for slot in slots {
            var last: ObjectID?
            while true {
                let page = try storage.objects(of: slot, after: last, limit: 256)
                for id in page {
                    try body(try required(try storage.object(id), "object \(id)"))
                }
                guard let end = page.last else { break }
                last = end
            }
        }
    }
}

/// Frames on their way out.
private struct CheckpointOutput {
    private let codec: CheckpointCodec
    private var output = WireWriter(reserving: 96 * 1024)
    private var frame = WireWriter(reserving: 1024)

    private enum Limits {
        static let handAt = 64 * 1024
    }

    init(_ codec: CheckpointCodec) { self.codec = codec }

    func precedes(_ left: VersionRow, _ right: VersionRow) -> Bool {
        codec.order(left.id, right.id)
    }

    func precedes(_ left: EntryRow, _ right: EntryRow) -> Bool {
        codec.order(left.id, right.id)
    }

    mutating func hand(
        to body: ([UInt8]) throws(StorageError) -> Void, all: Bool = false
    ) throws(StorageError) {
        guard all || output.bytes.count >= Limits.handAt else { return }
        try body(output.bytes)
        output.bytes.removeAll(keepingCapacity: true)
    }

    mutating func writeHeader(_ state: TreeState, writers: WriterTable) {
        output.writeUInt8(CheckpointCodec.format)
        output.writeUInt64(state.newestTime.rawValue)
        output.writeUInt(codec.slots.count)
        for slot in codec.slots {
            output.writeBytes32(writers.key(of: slot))
            output.writeUInt(state.clock[slot])
        }
        output.writeUInt64(state.mergeRules.value)
        codec.write(state.mergeRules.stamp, into: &output)
    }

    mutating func writeEnd() { output.writeUInt8(CheckpointCodec.Tag.end.rawValue) }

    private mutating func end(_ tag: CheckpointCodec.Tag) {
        output.writeUInt8(tag.rawValue)
        output.writeBuffer(frame.bytes)
        frame.bytes.removeAll(keepingCapacity: true)
    }

    mutating func write(_ row: ObjectRow) {
        codec.write(row.id, into: &frame)
        frame.writeUInt8(row.kind.rawValue)
        frame.writeUInt64(row.made.time.rawValue)
        frame.write(row.created)
        frame.writeUInt64(row.device)
        frame.writeBuffer(row.target)
        frame.writeUInt16(row.mode.value)
        codec.write(row.mode.stamp, into: &frame)
        frame.writeUInt32(row.uid.value)
        codec.write(row.uid.stamp, into: &frame)
        frame.writeUInt32(row.gid.value)
        codec.write(row.gid.stamp, into: &frame)
        frame.write(row.accessed.value)
        codec.write(row.accessed.stamp, into: &frame)
        frame.write(row.modified.value)
        codec.write(row.modified.stamp, into: &frame)
        codec.write(row.changed, into: &frame)
        end(.object)
    }

    mutating func write(_ row: VersionRow) {
        codec.write(row.id, into: &frame)
        frame.writeUInt64(row.time.rawValue)
        codec.write(row.parents, into: &frame)
        frame.writeUInt(row.size)
        frame.write(row.modified)
        frame.writeUInt8((row.isHead ? 1 : 0) | (row.isClosed ? 2 : 0))
        frame.writeBuffer(row.content)
        end(.version)
    }

    mutating func write(_ row: XattrRow) {
        frame.writeBuffer(row.name)
        codec.write(row.stamp, into: &frame)
        frame.writeBool(row.value != nil)
        frame.writeBuffer(row.value ?? [])
        end(.xattr)
    }

    mutating func write(_ row: EntryRow) {
        codec.write(row.id, into: &frame)
        codec.write(row.object, into: &frame)
        codec.write(row.placement.parent, into: &frame)
        frame.writeBuffer(row.placement.name)
        codec.write(row.placement.stamp, into: &frame)
        codec.write(row.lives.sorted(by: codec.order), into: &frame)
        codec.write(row.removals.sorted(by: codec.order), into: &frame)
        end(.entry)
    }

    mutating func write(_ row: MoveRow) {
        codec.write(row.stamp, into: &frame)
        codec.write(row.entry, into: &frame)
        codec.write(row.parent, into: &frame)
        frame.writeBuffer(row.name)
        frame.writeBool(row.previous != nil)
        if let previous = row.previous {
            codec.write(previous.parent, into: &frame)
            frame.writeBuffer(previous.name)
            codec.write(previous.stamp, into: &frame)
        }
        end(.move)
    }
}
