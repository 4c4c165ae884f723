import Base
import FileTree
import Hypercore
import Wire

/// Logs that have ended: what of them counts here. See <doc:Endings>.
extension Engine {
    // MARK: Which blocks count

    /// How many blocks of a log may be applied.
    func bound(of slot: WriterSlot) -> UInt64 { min(bounds[slot], limits[slot] ?? .max) }

    /// The own log, and those that this device had before.
    var ownSlots: Set<WriterSlot> {
        let own = writers.key(of: ownSlot)
        let former =
            forks.filter { $0.state == .settled }.map(\.log)
            + (succession.map { [$0.succession.predecessor] } ?? [])
        let keys = [own] + former + ([own] + former).flatMap { membership.predecessors(of: $0) }
        return Set(keys.compactMap { writers.slot(of: $0) })
    }

    /// Follows what members have said about logs that ended. What was applied and does not count any more goes
    /// when the view is next made anew.
    mutating func refreshBounds() {
        guard membership.hasKnownEndings else { return }
        var new = LogBounds()
        new.isOpen = false
        let own = ownSlots
        new.counted = own.union(membership.logs.compactMap { writers.insert($0) })
        for number in 1..<writers.count {
            let slot = WriterSlot(rawValue: UInt16(number))
            guard !own.contains(slot) else { continue }
            let length = membership.length(of: writers.key(of: slot))
            // What this device began from cannot be taken apart.
            if length < .max { new.cuts[slot] = max(length, starts[slot]?.number ?? 0) }
        }
        let old = bounds
        bounds = new
        for number in 1..<writers.count {
            let slot = WriterSlot(rawValue: UInt16(number))
            if applied[slot] ?? 0 > new[slot] { mustRebuild = true }
            if new[slot] > old[slot] {
                if codecs.values.contains(where: { $0.clock[slot] > old[slot] }) {
                    mustRebuild = true
                }
                logsToReopen.append(slot)
            }
            logs[slot]?.fetchEnd = isReadPastEnd(slot) ? .max : new[slot]
        }
        refreshLimits()
        dropCutCheckpoints()
        noteOwnEnd()
        refreshUnheard()
    }

    /// Of a retired log no more is taken than is here already, or than other members build on.
    private mutating func refreshLimits() {
        let own = ownSlots
        let retired = Set(
            membership.logs.filter { membership.end(of: $0)?.kind == .retired }
                .compactMap { writers.slot(of: $0) }
        ).subtracting(own)
        for slot in limits.keys.sorted(by: { $0.rawValue < $1.rawValue })
        where !retired.contains(slot) {
            limits[slot] = nil
            limitsChanged = true
        }
        for slot in retired.sorted(by: { $0.rawValue < $1.rawValue }) where limits[slot] == nil {
            // Who is no member yet has built on nothing.
            var limit = max(starts[slot]?.number ?? 0, isAdmitted ? applied[slot] ?? 0 : 0)
            for (other, codec) in codecs where other != slot {
                limit = max(limit, codec.clock[slot])
            }
            limits[slot] = limit
            limitsChanged = true
            if applied[slot] ?? 0 > limit { mustRebuild = true }
        }
    }

    /// Another member builds on blocks of logs that are retired: they count.
    mutating func raiseLimits(for clock: Clock, of slot: WriterSlot) {
        for (retired, limit) in limits where retired != slot && clock[retired] > limit {
            limits[retired] = clock[retired]
            limitsChanged = true
            limitsRose = true
        }
    }

    // MARK: Beyond the end

    /// Whether an ended log may hold what takes its end back: an owner's word against who ended it.
    func isReadPastEnd(_ slot: WriterSlot) -> Bool {
        bound(of: slot) < .max
            && membership.member(log: writers.key(of: slot))?.role == .owner
    }

    func nextPastEnd(of slot: WriterSlot) -> UInt64 {
        max(readPast[slot]?.number ?? 0, applied[slot] ?? 0)
    }

    /// Looks in the next block that does not count for what ends logs: nothing else of it is taken.
    ///
    /// - Returns: whether there was one.
    mutating func readPastEnd(of slot: WriterSlot) throws(StorageError) -> Bool {
        let number = nextPastEnd(of: slot)
        guard isReadPastEnd(slot), !stopped.contains(slot),
            let bytes = try logs[slot]?.block(at: number)
        else { return false }
        var codec = readPast[slot] ?? BlockCodec(writer: slot)
        if codec.number != number { codec = codecs[slot] ?? BlockCodec(writer: slot) }
        guard codec.number == number,
            let block = try? codec.decode(bytes.span, writers: writers)
        else {
            stopped.insert(slot)
            return false
        }
        readPast[slot] = codec
        let author = writers.key(of: slot)
        let isRetired = membership.end(of: author)?.kind == .retired
        for (index, operation) in block.operations.enumerated() {
            guard let operation, let device = operation.endedDevice else { continue }
            let opponents = membership.end(of: author)?.operations.map(\.writer) ?? []
            let isAnswer = opponents.contains { membership.member(log: $0)?.device == device }
            guard isAnswer || !isRetired else { continue }
            let id = OperationID(writer: slot, block: number, index: index)
            let isAllowed = membership.apply(
                operation, stamp: Stamp(time: block.time, operation: id), author: author,
                seen: keyed(codec.clock))
            (membershipChanged, membershipGrew) = (true, true)
            markDirty()
            refreshBounds()
            if !isAllowed { refused &+= 1 }
        }
        return true
    }

    /// By key, as membership goes by it.
    func keyed(_ clock: Clock) -> [Bytes32: UInt64] {
        var result: [Bytes32: UInt64] = [:]
        for element in clock.elements { result[writers.key(of: element.writer)] = element.count }
        return result
    }

    /// Makes the view again without what does not count any more.
    mutating func rebuildWithinBounds() throws(StorageError) {
        if let failure { throw failure }
        try commit()
        let shown = try shownNames()
        let removed = try removedStaged()
        nextBase = nil
        try storeNextBase()
        isRebuilding = true
        defer { isRebuilding = false }
        var rounds = 0
        repeat {
            mustRebuild = false
            rounds += 1
            do throws(StorageError) {
                try rebuildView(telling: true)
            } catch {
                failure = error
                throw error
            }
            // Whoever is learned of on the way was not known before: their number is bounded.
        } while mustRebuild && rounds < Membership.Limits.members
        for name in shown {
            let now = try tree.lookup(name.name, in: name.directory)
            guard now?.id != name.node else { continue }
            changes.append(
                .entry(
                    directory: NodeID(name.directory), name: name.name,
                    before: ViewChange.Shown(node: NodeID(name.node), kind: name.kind)))
        }
        var gone: [ShownName] = []
        for file in removed where try tree.attributes(of: file.node) == nil { gone.append(file) }
        try noteVanished(shown + gone)
        try commit()
        notices.append("blocks that do not count any more were taken out of the view")
    }

    // MARK: Who has heard

    /// Whether a block that has seen so much has seen all that ends logs.
    func hasSeenEndings(_ clock: Clock, of slot: WriterSlot, blocks: UInt64) -> Bool {
        membership.endingBlocks.allSatisfy { position in
            guard let author = writers.slot(of: position.log) else { return false }
            return (author == slot ? blocks : clock[author]) >= position.blocks
        }
    }

    /// The logs whose writers history is kept for: all, and without those that ended as soon as everybody else's
    /// last block has seen that they did.
    var activeSlots: [WriterSlot] {
        let all = membership.logs
        let active = all.filter { membership.end(of: $0) == nil }.compactMap {
            writers.slot(of: $0)
        }
        guard membership.hasEndings, !active.isEmpty else {
            return all.compactMap { writers.slot(of: $0) }
        }
        let haveAllSeen = active.allSatisfy { slot in
            codecs[slot].map { hasSeenEndings($0.clock, of: slot, blocks: $0.number) } ?? false
        }
        return haveAllSeen ? active : all.compactMap { writers.slot(of: $0) }
    }

    /// Whether this device has not said yet that it has seen how a log ended, or how much it has of a retired one: where
    /// it was cloned, or restored from a backup, another copy of it may have said so, and had less.
    var owesWordOfEnding: Bool {
        guard membership.hasEndings, ownEnd == nil else { return false }
        guard let codec = codecs[ownSlot] else { return true }
        guard hasSeenEndings(codec.clock, of: ownSlot, blocks: codec.number) else { return true }
        return limits.keys.contains { retired in
            let taken = min(applied[retired] ?? 0, bound(of: retired))
            return taken > codec.clock[retired]
                && !codecs.contains { $0.key != retired && $0.value.clock[retired] >= taken }
        }
    }

    // MARK: This device

    /// How the own log ended, if it did. One that goes on from a log that has ended, and that nobody let in before, is
    /// no member's and will be none: nothing of it counts.
    var ownEnd: LogEnd? {
        guard membership.hasEndings, let log = ownLog else { return nil }
        if let end = membership.end(of: log.key) { return end }
        guard let predecessor = succession?.succession.predecessor,
            !membership.isMember(log: log.key)
        else { return nil }
        let former = [predecessor] + membership.predecessors(of: predecessor)
        guard var end = former.lazy.compactMap({ membership.end(of: $0) }).first else { return nil }
        end.length = 0
        return end
    }

    /// Whether this device is no member any more, as far as it knows.
    var hasEnded: Bool {
        if ownEnd != nil || unheardAdmitter != nil { return true }
        // It may know better than whoever told it.
        guard let toldEnd else { return false }
        return !membership.endings.contains { $0.device == toldEnd.device }
    }

    /// Blocks of the own log that nobody counts.
    var ownUncounted: UInt64 {
        guard let end = ownEnd, let log = ownLog else { return 0 }
        let counted =
            end.length
            ?? codecs.filter { $0.key != ownSlot }.values.map { $0.clock[ownSlot] }.max() ?? 0
        return log.length > counted ? log.length - counted : 0
    }

    // MARK: Checkpoints

    /// Whether a checkpoint holds nothing but what counts.
    func isWithinBounds(_ checkpoint: PublishedCheckpoint) -> Bool {
        guard membership.hasKnownEndings else { return true }
        guard membership.counts(checkpoint.block, of: checkpoint.log),
            checkpoint.block < takenLength(of: checkpoint.log)
        else { return false }
        let isWithin = checkpoint.seen.allSatisfy { position in
            position.blocks
                <= min(membership.length(of: position.log), takenLength(of: position.log))
        }
        // Who knew of the endings had left out what does not count.
        return isWithin
            || membership.endingBlocks.allSatisfy { checkpoint.hasSeen($0.blocks, of: $0.log) }
    }

    /// How much of a log is taken here if it is retired: what a checkpoint of its own device holds beyond that counts for
    /// nobody.
    private func takenLength(of log: Bytes32) -> UInt64 {
        writers.slot(of: log).flatMap { limits[$0] } ?? .max
    }

    private mutating func dropCutCheckpoints() {
        let kept = checkpoints.filter(isWithinBounds)
        guard kept.count != checkpoints.count else { return }
        checkpoints = kept
        checkpointsChanged = true
        offered = nil
    }

    /// The log of another device of which what this one began from holds more than counts.
    var cutBase: Bytes32? {
        guard membership.hasEndings else { return nil }
        let own = ownSlots
        return starts.values.filter { !own.contains($0.writer) }
            .map { (log: writers.key(of: $0.writer), number: $0.number) }
            .sorted { $0.log < $1.log }
            .first { $0.number > membership.length(of: $0.log) }?.log
    }

    // MARK: Kept between runs

    /// Count, then each: log (32), blocks.
    var encodedLimits: [UInt8] {
        var writer = WireWriter()
        writer.writeUInt(limits.count)
        for slot in limits.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            writer.writeBytes32(writers.key(of: slot))
            writer.writeUInt(limits[slot] ?? 0)
        }
        return writer.bytes
    }

    mutating func loadLimits() throws(StorageError) {
        guard let bytes = try storage.value(StoredValue.limits) else { return }
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            for _ in 0..<(try reader.readCount(max: Int(WriterSlot.max), minimumElementSize: 33)) {
                guard let slot = writers.insert(try reader.readBytes32()) else {
                    throw .invalid("too many logs")
                }
                limits[slot] = try reader.readUInt()
            }
        } catch {
            throw .corrupt(
                what: "what counts of retired logs (\(error)): leave the share and join it again")
        }
    }
}
