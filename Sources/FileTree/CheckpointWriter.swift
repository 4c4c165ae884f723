package import Base
import Wire

/// The view at one moment as bytes, written a few rows at a time while the view goes on. The layout is in
/// <doc:Checkpoints>.
package struct CheckpointWriter {
    package enum Progress: Equatable, Sendable {
        case more
        case done
        /// Too much changed meanwhile: begin again.
        case lost
    }

    private enum Section {
        case needed, objects, entries, rest
    }

    private enum Limits {
        static let page = 64
    }

    /// Of the view that it holds.
    package let digest: Bytes32
    package let clock: Clock

    private let tree: FileTree
    private let snapshot: TreeSnapshot
    private let settled: SettledHistory
    private let slots: [WriterSlot]
    private let states: [BlockCodec]
    private let values: [(name: String, value: [UInt8])]
    private var output: CheckpointOutput

    private var section: Section
    /// Where the section goes on: the root, then every object ever made, in the order of their logs' keys.
    private var isRootDone = false
    private var slotIndex = 0
    private var last: ObjectID?
    private var needed = NeededDirectories()

    fileprivate init(
        _ tree: FileTree, settled: SettledHistory, states: [BlockCodec],
        values: [(name: String, value: [UInt8])]
    ) throws(StorageError) {
        self.tree = tree
        self.settled = settled
        self.values = values
        digest = tree.digest
        clock = tree.clock
        let writers = tree.writers
        // Logs of which nothing counts may be named by others all the same.
        var all = Set(clock.elements.map(\.writer))
        for state in states where clock[state.writer] > 0 { all.formUnion(state.writers) }
        slots = all.sorted { writers.key(of: $0) < writers.key(of: $1) }
        let order = Dictionary(uniqueKeysWithValues: slots.enumerated().map { ($1, $0) })
        self.states = states.filter { order[$0.writer] != nil }
            .sorted { (order[$0.writer] ?? 0) < (order[$1.writer] ?? 0) }
        let firstMove =
            settled.isEmpty ? .zero : HybridTime(rawValue: settled.newestTime.rawValue &+ 1)
        snapshot = try TreeSnapshot(clock: clock, storage: tree.storage, movesFrom: firstMove)
        output = CheckpointOutput(CheckpointCodec(slots: slots), writers)
        section = settled.isEmpty ? .objects : .needed
        var state = tree.state
        state.forgotten.merge(settled.clock)
        output.writeHeader(state)
        tree.snapshot = snapshot
    }

    /// Ends the writing, done or not: nothing is held for it any more.
    package func end() {
        if tree.snapshot === snapshot { tree.snapshot = nil }
    }

    /// Goes on for about so many objects.
    ///
    /// - Parameter body: takes the bytes; where they are cut depends on what is in them, so that two
    ///   checkpoints have most pieces in common.
    package mutating func write(
        objects count: Int, _ body: ([UInt8]) throws(StorageError) -> Void
    ) throws(StorageError) -> Progress {
        guard !snapshot.isLost else { return .lost }
        var left = count
        while left > 0 {
            guard section != .rest else {
                try writeRest(body)
                return .done
            }
            left -= try writePage(body)
        }
        return .more
    }

    private mutating func writePage(_ body: ([UInt8]) throws(StorageError) -> Void)
        throws(StorageError) -> Int
    {
        guard isRootDone else {
            isRootDone = true
            if section == .needed {
                try needed.needPlaces(
                    of: snapshot.moves, entry: snapshot.entry(_:), entries: snapshot.entries(of:))
            } else {
                try write(.root, body)
            }
            return 1
        }
        guard slotIndex < slots.count else {
            next()
            return 0
        }
        let page = try snapshot.objects(
            of: slots[slotIndex], after: last, limit: Limits.page)
        for id in page.ids { try write(id, body) }
        last = page.last
        if last == nil { slotIndex += 1 }
        return max(page.ids.count, 1)
    }

    private mutating func next() {
        (isRootDone, slotIndex, last) = (false, 0, nil)
        section =
            switch section {
            case .needed: .objects
            case .objects: .entries
            case .entries, .rest: .rest
            }
    }

    private mutating func write(
        _ id: ObjectID, _ body: ([UInt8]) throws(StorageError) -> Void
    ) throws(StorageError) {
        guard let row = try snapshot.object(id) else {
            throw .corrupt(what: "object \(id) is missing; rebuild the view")
        }
        // Of most logs and views nothing is forgotten.
        let entries = settled.isEmpty && section == .objects ? [] : try snapshot.entries(of: id)
        let judgement = settled.judge(row, entries, isNeeded: needed.contains(id))
        switch section {
        case .needed:
            try needed.needPlaces(of: entries, judgement, entries: snapshot.entries(of:))
            return
        case .objects:
            guard !judgement.isForgotten else { return }
            output.write(row)
            let versions = settled.kept(try snapshot.versions(of: id))
            for version in versions.sorted(by: output.precedes) { output.write(version) }
            for xattr in try snapshot.xattrs(of: id) where !settled.forgets(xattr) {
                output.write(xattr)
            }
        case .entries:
            for entry in entries.sorted(by: output.precedes) where !judgement.forgets(entry) {
                output.write(entry)
            }
        case .rest: return
        }
        try output.hand(to: body, behind: id)
    }

    // MARK: The rest

    private mutating func writeRest(_ body: ([UInt8]) throws(StorageError) -> Void)
        throws(StorageError)
    {
        let writers = tree.writers
        for move in snapshot.moves.sorted(by: { writers.precedes($0.stamp, $1.stamp) })
        where !settled.covers(move) {
            output.write(move)
        }
        for state in states { output.write(state) }
        for (name, value) in values { output.write(name, value) }
        output.writeEnd()
        try output.hand(to: body, all: true)
    }
}

extension FileTree {
    /// Begins a checkpoint of the view as it is now; one at a time. Between two batches, and when no block is
    /// open.
    ///
    /// - Parameters:
    ///   - settled: nothing is written of it but what shows or may still come to matter.
    ///   - states: of every log in the clock, after the last block applied.
    ///   - values: what else to carry.
    package func beginCheckpoint(
        settled: SettledHistory, states: [BlockCodec],
        values: [(name: String, value: [UInt8])]
    ) throws(StorageError) -> CheckpointWriter {
        try save()
        return try CheckpointWriter(self, settled: settled, states: states, values: values)
    }
}

/// Frames on their way out.
private struct CheckpointOutput {
    private let codec: CheckpointCodec
    private let writers: WriterTable
    private var output = WireWriter(reserving: 96 * 1024)
    private var frame = WireWriter(reserving: 1024)

    private enum Limits {
        /// Pieces have at least this many bytes, but the last.
        static let pieceMin = 32 * 1024
        /// And end behind one object in so many.
        static let objectsPerPiece: UInt64 = 64
        static let pieceMax = 384 * 1024
    }

    init(_ codec: CheckpointCodec, _ writers: WriterTable) {
        self.codec = codec
        self.writers = writers
    }

    func precedes(_ left: VersionRow, _ right: VersionRow) -> Bool {
        codec.order(left.id, right.id)
    }

    func precedes(_ left: EntryRow, _ right: EntryRow) -> Bool {
        codec.order(left.id, right.id)
    }

    /// Hands over what is due behind an object.
    mutating func hand(
        to body: ([UInt8]) throws(StorageError) -> Void, behind id: ObjectID = .root,
        all: Bool = false
    ) throws(StorageError) {
        while output.bytes.count > Limits.pieceMax {
            try body(Array(output.bytes.prefix(Limits.pieceMax)))
            output.bytes.removeFirst(Limits.pieceMax)
        }
        let isDue = output.bytes.count >= Limits.pieceMin && isBoundary(id)
        guard isDue || all, !output.bytes.isEmpty else { return }
        try body(output.bytes)
        output.bytes.removeAll(keepingCapacity: true)
    }

    /// The same for an object on every device and in every checkpoint.
    private func isBoundary(_ id: ObjectID) -> Bool {
        let key = writers.key(of: id.writer).words.0
        let mixed =
            (key ^ id.block &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(id.index)) &* 0xff51_afd7_ed55_8ccd
        return (mixed >> 40) % Limits.objectsPerPiece == 0
    }

    mutating func writeHeader(_ state: TreeState) {
        output.writeUInt8(CheckpointCodec.format)
        output.writeUInt64(state.newestTime.rawValue)
        output.writeUInt(codec.slots.count)
        for slot in codec.slots {
            output.writeBytes32(writers.key(of: slot))
            output.writeUInt(state.clock[slot])
            output.writeUInt(state.forgotten[slot])
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
        frame.writeUInt8(
            (row.isHead ? 1 : 0) | (row.isClosed ? 2 : 0) | row.lineage.rawValue << 2)
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

    mutating func write(_ state: BlockCodec) {
        frame.writeUInt64(state.time.rawValue)
        frame.writeUInt(state.writers.count)
        for slot in state.writers {
            frame.writeUInt(codec.number(of: slot))
            frame.writeUInt(state.clock[slot])
        }
        end(.log)
    }

    mutating func write(_ name: String, _ value: [UInt8]) {
        frame.writeString(name)
        frame.writeRaw(value)
        end(.value)
    }
}
