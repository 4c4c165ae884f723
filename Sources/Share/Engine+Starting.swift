import Base
import Chunks
import FileTree
import Hypercore
import Wire

/// A new device on its way to the view that a checkpoint holds. Until it is there, no block is applied.
struct Starting {
    enum Phase {
        /// No member has said yet whether there is a checkpoint.
        case waiting
        /// The blocks that prove it are on their way.
        case proving(StartingPoint)
        /// So are its pieces.
        case fetching(PublishedCheckpoint)
        case reading(PublishedCheckpoint, CheckpointReader, offset: UInt64)
    }

    enum Limits {
        /// How long nothing may come while somebody is connected.
        static let patience = Duration.seconds(60)
        /// Bytes read in one go.
        static let step = 256 * 1024
        static let others = 8
    }

    var phase = Phase.waiting
    var deadline: Instant
    /// What other members offered meanwhile, should this one fail.
    var others: [StartingPoint] = []
}

extension Engine {
    // MARK: Finding one

    /// Whether this device has nothing of a share that it joined.
    var hasNothing: Bool {
        writers.key(of: ownSlot) != membership.foundingLog && base == nil && open == nil
            && tree.clock.elements.isEmpty && logs.values.allSatisfy { $0.contiguousLength == 0 }
    }

    /// A member has said hello: takes its starting point, or goes without.
    ///
    /// - Parameter isWhole: whether it is a member that can give all blocks from the first on.
    mutating func consider(_ point: StartingPoint?, fromWhole isWhole: Bool)
        throws(StorageError)
    {
        let start = StartingPoint.Link(log: membership.foundingLog, block: 0)
        let point = point.flatMap { $0.links.first == start ? $0 : nil }
        if starting == nil, let point {
            if hasNothing {
                // Whoever was to give it all went before anything came, and may have given blocks back since.
                starting = Starting(deadline: environment.now() + Starting.Limits.patience)
            } else {
                chances.note(point)
            }
        }
        guard case .waiting? = starting?.phase else {
            if starting != nil { mustOpenLogs = true }
            if let point, let others = starting?.others, others.count < Starting.Limits.others,
                !others.contains(point)
            {
                starting?.others.append(point)
            }
            return
        }
        guard let point else {
            if isWhole { try endStart() }
            return
        }
        try prove(point)
    }

    private mutating func prove(_ point: StartingPoint) throws(StorageError) {
        var blocks: [Bytes32: [UInt64]] = [:]
        for link in point.links { blocks[link.log, default: []].append(link.block) }
        for key in blocks.keys.sorted() {
            guard let slot = writers.insert(key) else { return try endStart() }
            if logs[slot] == nil { logs[slot] = try openLog(key, slot) }
            logs[slot]?.want(only: blocks[key] ?? [])
        }
        starting?.phase = .proving(point)
        // The blocks that prove it are not the beginning of a history: nobody may have the next ones.
        try storage.setValue([1], of: StoredValue.starting)
        noteStartProgress()
        mustOpenLogs = true
        markDirty()
    }

    /// The logs that are replicated meanwhile.
    var startingSlots: [WriterSlot] {
        guard case .proving(let point)? = starting?.phase else { return [] }
        return Set(point.links.map(\.log)).compactMap { writers.slot(of: $0) }
            .sorted { $0.rawValue < $1.rawValue }
    }

    mutating func noteStartProgress() {
        starting?.deadline = environment.now() + Starting.Limits.patience
    }

    // MARK: Going on

    /// - Returns: whether there is more to do at once.
    mutating func advanceStart(now: Instant, isConnected: Bool) throws(StorageError) -> Bool {
        guard let current = starting else { return false }
        if !isConnected {
            noteStartProgress()
        } else if case .waiting = current.phase {
            return false
        } else if current.deadline <= now {
            try refuseStart("it did not come, or could not be read")
            return true
        }
        switch current.phase {
        case .waiting: break
        case .proving(let point):
            switch try check(point) {
            case .open: break
            case .wrong(let reason): try refuseStart(reason)
            case .proven(let checkpoint):
                starting?.phase = .fetching(checkpoint)
                try want(checkpoint.content.pieces)
                noteStartProgress()
                return true
            }
        case .fetching(let checkpoint):
            if isHere(checkpoint.content) {
                try storage.setValue([1], of: StoredValue.starting)
                // A reading that storage ended may have left rows.
                try emptyView()
                starting?.phase = .reading(checkpoint, CheckpointReader(tree: tree), offset: 0)
                return true
            }
        case .reading(let checkpoint, var reader, let offset):
            starting?.phase = .waiting
            do throws(CheckpointError) {
                if let bytes = try Self.piece(of: checkpoint.content, at: offset, in: chunks) {
                    try reader.feed(bytes)
                    noteStartProgress()
                    starting?.phase = .reading(
                        checkpoint, reader, offset: offset + UInt64(bytes.count))
                } else {
                    try finishStart(checkpoint, try reader.finish(checkpoint.digest))
                }
                do throws(StorageError) { try commit() } catch { throw .storage(error) }
            } catch {
                switch error {
                case .malformed(let what): try refuseStart("it is malformed: \(what)")
                case .otherView: try refuseStart("it holds another view than it says")
                case .storage(let error):
                    // It is read anew, for as long as there is patience.
                    starting?.phase = .fetching(checkpoint)
                    throw error
                }
            }
            return true
        }
        return false
    }

    private mutating func emptyView() throws(StorageError) {
        try storage.removeView()
        tree = try FileTree(
            storage: storage, writers: writers, deviceNames: deviceNames,
            settlesAfter: checkpointPolicy.graceMilliseconds)
    }

    private mutating func finishStart(
        _ checkpoint: PublishedCheckpoint, _ contents: CheckpointContents
    ) throws(CheckpointError) {
        do throws(StorageError) {
            let known = try Membership(
                decoding: contents.values[StoredValue.membership] ?? [],
                foundingLog: membership.foundingLog)
            let settings = try SharedSettings(decoding: contents.values[StoredValue.settings])
            guard known.isMember(log: checkpoint.log) else {
                throw .corrupt(what: "its author is no member in it")
            }
            let isCut = contents.states.contains {
                $0.number > known.length(of: writers.key(of: $0.writer))
            }
            guard !isCut else { throw .corrupt(what: "it holds blocks that do not count") }
            (membership, self.settings) = (known, settings)
        } catch {
            throw .malformed("\(error)")
        }
        do throws(StorageError) {
            // The view is made again from its pieces.
            try chunks.sync()
            (membershipChanged, settingsChanged, membershipGrew) = (true, true, true)
            adopt(contents.states)
            try takeAsBase(checkpoint, contents.states)
            refreshBounds()
            try endStart()
            startRefusal = nil
            notices.append("started from a checkpoint of \(checkpoint.content.size) bytes")
        } catch {
            throw .storage(error)
        }
    }

    /// A checkpoint is what this device begins from, and the only one that it knows.
    mutating func takeAsBase(_ checkpoint: PublishedCheckpoint, _ states: [BlockCodec])
        throws(StorageError)
    {
        var first = checkpoint
        first.logBytes = logs.values.reduce(0) { $0 &+ $1.byteLength }
        first.seen = states.map { .init(log: writers.key(of: $0.writer), blocks: $0.number) }
        base = first
        checkpoints = [first]
        checkpointsChanged = true
        // By the logs' keys: slots may change places.
        try storage.setValue(PublishedCheckpoint.encode([first]), of: StoredValue.base)
        try storage.setValue(encodedStarts(states), of: StoredValue.starts)
    }

    /// The view is that of a checkpoint: logs are read from there on.
    mutating func adopt(_ states: [BlockCodec]) {
        for state in states {
            starts[state.writer] = state
            codecs[state.writer] = state
            applied[state.writer] = state.number
            appliedChanged.insert(state.writer)
        }
        hybrid.observe(tree.newestTime)
    }

    private mutating func refuseStart(_ reason: String) throws(StorageError) {
        var others = starting?.others ?? []
        let next = others.isEmpty ? nil : others.removeFirst()
        startRefusal =
            "a checkpoint was refused (\(reason)): "
            + (next == nil ? "the whole history is read instead" : "another one is read instead")
        if let startRefusal { notices.append(startRefusal) }
        try emptyView()
        for slot in logs.keys.sorted(by: { $0.rawValue < $1.rawValue })
        where slot != ownSlot && writers.key(of: slot) != membership.foundingLog {
            logsToReopen.append(slot)
            logs[slot] = nil
        }
        guard let next else { return try endStart() }
        starting = Starting(deadline: environment.now(), others: others)
        try prove(next)
    }

    /// Reads logs from now on: behind the checkpoint, or from the first block.
    private mutating func endStart() throws(StorageError) {
        starting = nil
        try storage.setValue(nil, of: StoredValue.starting)
        for slot in logs.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            guard let log = logs[slot] else { continue }
            log.wantAll()
            log.fetchStart = starts[slot]?.number ?? 0
            if slot != ownSlot { logsToReopen.append(slot) }
        }
        _ = try openNewLogs()
        try rebuildWanted()
        mustOpenLogs = true
        markDirty()
    }

    // MARK: Its bytes

    static func piece(
        of content: Content, at offset: UInt64, in chunks: any ChunkStorage
    ) throws(CheckpointError) -> [UInt8]? {
        let reader = ContentReader(content, storage: chunks)
        guard offset < reader.size else { return nil }
        var bytes = [UInt8](
            repeating: 0, count: Int(min(UInt64(Starting.Limits.step), reader.size - offset)))
        var span = bytes.mutableSpan
        do throws(StorageError) {
            // The buffer is used only during the call.
            let outcome = unsafe try span.withUnsafeMutableBytes {
                (buffer) throws(StorageError) in
                unsafe try reader.read(at: offset, into: buffer)
            }
            guard outcome == .bytes(bytes.count) else {
                throw .corrupt(
                    what:
                        "pieces of the checkpoint that this device started from are missing: leave"
                        + " the share and join it again")
            }
        } catch {
            throw .storage(error)
        }
        return bytes
    }

    /// Makes an empty tree what this device started from, if it did not start from the first blocks.
    ///
    /// - Returns: nil if it did.
    func readBase(into tree: FileTree) throws(StorageError) -> CheckpointContents? {
        try base.map { (base) throws(StorageError) in
            try Self.read(base, from: chunks, into: tree)
        }
    }

    /// Makes an empty tree what a checkpoint holds. Needs no lock.
    static func read(
        _ base: PublishedCheckpoint, from chunks: any ChunkStorage, into tree: FileTree
    ) throws(StorageError) -> CheckpointContents {
        var reader = CheckpointReader(tree: tree)
        var offset: UInt64 = 0
        do throws(CheckpointError) {
            while let bytes = try piece(of: base.content, at: offset, in: chunks) {
                try reader.feed(bytes)
                offset += UInt64(bytes.count)
            }
            return try reader.finish(base.digest)
        } catch {
            guard case .storage(let error) = error else {
                throw .corrupt(what: "the checkpoint that this device started from: \(error)")
            }
            throw error
        }
    }

    // MARK: Kept between runs

    /// Count, then each: blocks, time (8), count of logs, then key (32) and blocks each, its own first.
    func encodedStarts(_ states: [BlockCodec]) -> [UInt8] {
        var writer = WireWriter()
        writer.writeUInt(states.count)
        for state in states {
            writer.writeUInt(state.number)
            writer.writeUInt64(state.time.rawValue)
            writer.writeUInt(state.writers.count)
            for slot in state.writers {
                writer.writeBytes32(writers.key(of: slot))
                writer.writeUInt(state.clock[slot])
            }
        }
        return writer.bytes
    }

    mutating func loadStarts() throws(StorageError) {
        base = try PublishedCheckpoint.decode(try storage.value(StoredValue.base)).first
        starts = [:]
        guard let bytes = try storage.value(StoredValue.starts) else { return }
        do throws(WireError) {
            for state in try decodeStarts(bytes) { starts[state.writer] = state }
        } catch {
            throw .corrupt(
                what: "where this device started (\(error)): leave the share and join it again")
        }
    }

    func decodeStarts(_ bytes: [UInt8]) throws(WireError) -> [BlockCodec] {
        var reader = WireReader(bytes.span)
        var states: [BlockCodec] = []
        for _ in 0..<(try reader.readCount(max: 1 << 13, minimumElementSize: 42)) {
            let number = try reader.readUInt(max: FileTreeLimits.blocksPerLogMax)
            let time = HybridTime(rawValue: try reader.readUInt64())
            var slots: [WriterSlot] = []
            var clock = Clock()
            for _ in 0..<(try reader.readCount(max: 1 << 13, minimumElementSize: 33)) {
                guard let slot = writers.insert(try reader.readBytes32()) else {
                    throw .invalid("too many logs")
                }
                slots.append(slot)
                clock[slot] = try reader.readUInt(max: FileTreeLimits.blocksPerLogMax)
            }
            guard !slots.isEmpty else { throw .invalid("no log") }
            states.append(
                BlockCodec(number: number, time: time, clock: clock, writers: slots))
        }
        return states
    }
}
