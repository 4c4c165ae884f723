import Base
import Chunks
import FileTree
import Hypercore

/// Reading: blocks of other devices enter the view in causal order.
extension Engine {
    /// Applies stored blocks for a few milliseconds.
    ///
    /// - Returns: whether there may be more to apply.
    mutating func applyStored() throws(StorageError) -> Bool {
        try settleFork()
        if mustRebuild, !isRebuilding {
            try rebuildWithinBounds()
            return true
        }
        guard starting == nil, hasUnapplied else { return false }
        if let failure { throw failure }
        // The open block's clock must go on telling the truth.
        if open != nil { try sealEarly() }
        do throws(StorageError) {
            return try applyForAMoment()
        } catch {
            // Part of a block may be in the view.
            failure = error
            throw error
        }
    }

    private mutating func applyForAMoment() throws(StorageError) -> Bool {
        let begin = environment.now()
        let deadline = begin + applyShare
        var written: [VersionID] = []
        let known = checkpoints.last
        let unheard = unheardOwnSlots
        var isLate = false
        tree.begin()
        var progress = true
        while progress, !isLate, !mustRebuild {
            progress = false
            for slot in logs.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
                while !isLate, !mustRebuild, try applyNext(of: slot, written: &written) {
                    progress = true
                    isLate = environment.now() >= deadline
                }
            }
            if limitsRose { (limitsRose, progress) = (false, true) }
        }
        let applied = environment.now() - begin
        note(try tree.finish())
        fitRound(applied: applied, all: environment.now() - begin)
        for name in tree.takeNewHolders() { recent.changed(name) }
        try takeQuestions()
        try want(written)
        // Once: blocks that wait are looked at in each turn.
        if checkpoints.last != known { try wantNewestCheckpoint() }
        try wantRevived()
        if unheardAdmitter != nil { refreshUnheard() }
        let hasNewWords = try takeOwnWords(unheard)
        return isLate || mustRebuild || hasNewWords
    }

    /// Applying costs the lesser part: names, counters and rows are settled at the end, once for all.
    private mutating func fitRound(applied: Duration, all: Duration) {
        guard applied > .zero, all > .zero else { return }
        let fitting = Limits.applyTime * (applied / all)
        // Half way there: one round may have been unlike the others.
        applyShare = min(
            max((applyShare + fitting) / 2, Limits.applyTimeLeast), Limits.applyTime)
    }

    var hasUnapplied: Bool {
        logs.contains { slot, log in
            guard !stopped.contains(slot) else { return false }
            let next = applied[slot] ?? 0
            if next < bound(of: slot) { return log.hasBlock(at: next) }
            return isReadPastEnd(slot) && log.hasBlock(at: nextPastEnd(of: slot))
        }
    }

    /// - Returns: false if the log has no block that could be applied now.
    private mutating func applyNext(of slot: WriterSlot, written: inout [VersionID])
        throws(StorageError) -> Bool
    {
        let number = applied[slot] ?? 0
        if number >= bound(of: slot) { return try readPastEnd(of: slot) }
        guard let log = logs[slot], !stopped.contains(slot),
            slot == ownSlot || membership.isMember(log: log.key) || ownSlots.contains(slot),
            let bytes = try log.block(at: number)
        else { return false }
        var codec = codecs[slot] ?? BlockCodec(writer: slot)
        var block: Block
        do {
            block = try codec.decode(bytes.span, writers: writers)
        } catch {
            // Its log goes no further; nothing else is touched.
            stopped.insert(slot)
            refused &+= 1
            notices.append(
                "log \(log.key): block \(number) cannot be decoded (\(error)); the log stops there")
            return false
        }
        let isWhole = bounds.limit(&block)
        raiseLimits(for: block.clock, of: slot)
        if hasSeenOtherHistory(block, of: slot, number: number) { return false }
        if isWhole || hasSeenEndings(codec.clock, of: slot, blocks: number) {
            try compare(block, of: slot, number: number)
        }
        switch try tree.apply(block, from: slot, number: number) {
        case .early: return try lookAhead(in: slot, for: block.clock)
        case .duplicate: break
        case .applied(let refusedOperations):
            refused &+= UInt64(refusedOperations)
            takeIn(block, of: slot, number: number, seen: codec.clock, written: &written)
            countBlock()
            appliedBlocks &+= 1
        }
        codecs[slot] = codec
        applied[slot] = number + 1
        appliedChanged.insert(slot)
        hybrid.observe(block.time)
        markDirty()
        return true
    }

    private mutating func takeIn(
        _ block: Block, of slot: WriterSlot, number: UInt64, seen: Clock,
        written: inout [VersionID]
    ) {
        for (index, operation) in block.operations.enumerated() {
            let id = OperationID(writer: slot, block: number, index: index)
            switch operation {
            case .write:
                written.append(id)
                recent.arrived(id)
            case .checkpoint(let checkpoint):
                noteCheckpoint(checkpoint, id, block.time, seen: seen)
            case .set(let setting): take(setting, Stamp(time: block.time, operation: id))
            case .some(let operation) where operation.isMembership:
                let known = operation.endsLog ? keyed(seen) : [:]
                let isAllowed = membership.apply(
                    operation, stamp: Stamp(time: block.time, operation: id),
                    author: writers.key(of: slot), seen: known)
                refreshBounds()
                if isAllowed {
                    membershipChanged = true
                } else if membership.isMember(log: writers.key(of: slot)) {
                    refused &+= 1
                }
                membershipGrew = true
            default: break
            }
        }
    }

    /// Opens the logs of members that came to be known, and has channels opened for them: also of those that a view made
    /// again, which reads blocks that waited, tells of first.
    ///
    /// - Returns: whether there were any.
    mutating func openNewLogs() throws(StorageError) -> Bool {
        // After a failure the tree may be in the middle of a batch.
        guard membershipGrew, failure == nil else { return false }
        membershipGrew = false
        var hasOpened = false
        do throws(StorageError) {
            for key in membership.logs {
                guard let slot = writers.insert(key) else { continue }
                if try openNewLog(key, slot) { hasOpened = true }
            }
        } catch {
            // Some conflicts may have the new name.
            failure = error
            throw error
        }
        if hasOpened {
            refreshBounds()
            mustOpenLogs = true
        }
        return hasOpened
    }

    private mutating func openNewLog(_ key: Bytes32, _ slot: WriterSlot) throws(StorageError)
        -> Bool
    {
        guard let member = membership.member(log: key) else { return false }
        if !member.name.isEmpty {
            let name = String(decoding: member.name, as: UTF8.self)
            note(try tree.setDeviceName(name, of: slot))
            // Conflicts may have it now, also where the log is open already.
            markDirty()
        }
        guard logs[slot] == nil else { return false }
        logs[slot] = try openLog(key, slot)
        markDirty()
        return true
    }

    func openLog(_ key: Bytes32, _ slot: WriterSlot) throws(StorageError) -> Log {
        let log = try Log(
            storage: storage, slot: slot, key: key,
            cipher: BlockCipher(encryptionKey: keys.logEncryptionKey, logKey: key))
        log.fetchStart = starts[slot]?.number ?? 0
        log.fetchEnd = isReadPastEnd(slot) ? .max : bounds[slot]
        return log
    }

    // MARK: Chunks

    /// Notes which chunks the versions need that are heads now; those superseded within the batch
    /// are nobody's content.
    private mutating func want(_ versions: [VersionID]) throws(StorageError) {
        for id in versions {
            guard let row = try storage.version(id), row.isHead,
                let content = try? Content(decoding: row.content)
            else { continue }
            try want(content.pieces)
        }
    }

    /// Nobody wanted what nobody could see.
    mutating func wantRevived() throws(StorageError) {
        for object in tree.takeRevived() {
            try want(try storage.heads(of: object).map(\.id))
        }
    }

    /// - Parameter isOwed: see `WantedChunk`.
    mutating func want(_ pieces: [Piece], isOwed: Bool = true) throws(StorageError) {
        for piece in pieces {
            guard let reference = piece.reference else { continue }
            let isList = if case .list = piece { true } else { false }
            if chunks.contains(reference.address) {
                if isList { try wantChildren(of: reference, isOwed: isOwed) }
                // What a power cut may take is wanted until that is synced.
                if chunks.isDurable(reference.address) { continue }
            }
            let wanted = WantedChunk(reference: reference, isList: isList, isOwed: isOwed)
            try storage.putWanted(wanted)
            newlyWanted.append(wanted)
            markDirty()
        }
    }

    /// A list of pieces is here: what it lists is wanted too.
    mutating func wantChildren(of list: ChunkReference, isOwed: Bool) throws(StorageError) {
        guard let pieces = try chunks.pieces(listedIn: list) else { return }
        try want(pieces, isOwed: isOwed)
    }

    /// A list has been stored. Where its bytes have changed since `check` tells of it, and has it fetched again.
    mutating func wantChildren(ofStored list: ChunkReference, isOwed: Bool) throws(StorageError) {
        do throws(StorageError) {
            try wantChildren(of: list, isOwed: isOwed)
        } catch .corrupt {}
    }

    /// Nobody is owed a published checkpoint: whoever wrote it may have gone back to a state from before it, and there
    /// will be others.
    private mutating func wantNewestCheckpoint() throws(StorageError) {
        if let newest = checkpoints.last { try want(newest.content.pieces, isOwed: false) }
    }

    /// The chunks are here, durably: they are wanted no more.
    mutating func settle(_ addresses: [Bytes32]) throws(StorageError) {
        for address in addresses { try storage.removeWanted(address) }
        if !addresses.isEmpty { markDirty() }
    }

    /// Works out afresh what is wanted, from the versions shown: after a start, and when peers no
    /// longer have what an older version needed.
    mutating func rebuildWanted() throws(StorageError) {
        for chunk in try storage.wantedChunks() {
            try storage.removeWanted(chunk.reference.address)
        }
        newlyWanted = []
        var heads: [[UInt8]] = []
        try storage.forEachVersion { (row) throws(StorageError) in
            if try storage.isShown(row) { heads.append(row.content) }
        }
        for head in heads {
            guard let content = try? Content(decoding: head) else { continue }
            try want(content.pieces)
        }
        try wantForMerges()
        try wantNewestCheckpoint()
        if let awaited = resumption?.checkpoint { try want(awaited.content.pieces) }
        markDirty()
    }
}
