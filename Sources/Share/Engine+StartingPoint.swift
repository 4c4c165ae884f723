import Base
import Chunks
import FileTree
import Hypercore

/// Proving a checkpoint to a device that knows nothing but the founding log's key.
extension Engine {
    /// Who this is. A member that can give neither a starting point nor the first blocks does not say that it is
    /// one, for new devices to go on waiting for another.
    mutating func hello() throws(StorageError) -> ControlMessage {
        let start = try startingPoint()
        let isOfUse =
            isAdmitted && !hasEnded && cutBase == nil && (start != nil || starts.isEmpty)
        return .hello(device: deviceName, log: isOfUse ? ownLog?.key : nil, start: start)
    }

    /// A checkpoint whose pieces are all here, with all blocks after it, and its proof: the newest that this device
    /// wrote itself, since it can vouch for that, or else the newest; nil if there is none.
    mutating func startingPoint() throws(StorageError) -> StartingPoint? {
        guard starting == nil, !hasEnded, cutBase == nil else { return nil }
        let own = ownLog?.key
        let newest = checkpoints.reversed().filter(isFollowed)
        for checkpoint in newest.filter({ $0.log == own }) + newest.filter({ $0.log != own }) {
            if let known = offered, known.checkpoint == checkpoint { return known.point }
            guard isHere(checkpoint.content), let point = try proof(of: checkpoint) else {
                continue
            }
            offered = (checkpoint, point)
            return point
        }
        return nil
    }

    /// Whether no block is missing here that comes after a checkpoint.
    func isFollowed(_ checkpoint: PublishedCheckpoint) -> Bool {
        starts.values.allSatisfy {
            checkpoint.hasSeen($0.number, of: writers.key(of: $0.writer))
        }
    }

    /// Every member keeps the blocks that prove who is one, so that it can show them; and gets them, where what is around
    /// them is not fetched any more: without them it could be no new device's way into the share, nor that of a device
    /// whose state is older than what is kept.
    ///
    /// - Returns: whether some are to be asked for.
    mutating func seekProvingBlocks() -> Bool {
        var proving = provingBlocks()
        for link in resumption?.point.links ?? [] {
            if let slot = writers.slot(of: link.log) {
                proving[slot, default: []].append(link.block)
            }
        }
        var isNews = false
        for (slot, log) in logs {
            // While the own log has another history, it is that one's blocks that peers point to.
            if slot == ownSlot, pendingFork != nil { continue }
            let named = slot == pendingFork?.branch ? ownSlot : slot
            if log.seek(proving[named] ?? []) { isNews = true }
        }
        return isNews
    }

    func isHere(_ content: Content) -> Bool {
        let reader = ContentReader(content, storage: chunks)
        return (try? reader.missing(in: 0..<reader.size, limit: 1).isEmpty) ?? false
    }

    func proof(of checkpoint: PublishedCheckpoint) throws(StorageError) -> StartingPoint? {
        guard let admissions = membership.showing(checkpoint.log) else { return nil }
        var links = [StartingPoint.Link(log: membership.foundingLog, block: 0)]
        for admission in admissions {
            let link = StartingPoint.Link(
                log: admission.order.writer, block: admission.order.block)
            if !links.contains(link) { links.append(link) }
        }
        let last = StartingPoint.Link(log: checkpoint.log, block: checkpoint.block)
        if links.last != last { links.append(last) }
        let point = StartingPoint(links: links)
        guard links.count <= StartingPoint.Limits.links, case .proven = try check(point) else {
            return nil
        }
        return point
    }

    /// While the own log has another history, it is that one's blocks that peers point to.
    private func provingBlock(_ block: UInt64, of slot: WriterSlot) throws(StorageError) -> [UInt8]?
    {
        guard let pendingFork, slot == ownSlot else { return try logs[slot]?.block(at: block) }
        if let bytes = try logs[pendingFork.branch]?.block(at: block) { return bytes }
        let common = max(pendingFork.common, ownStart)
        return block < common ? try ownLog?.block(at: block) : nil
    }

    enum Proof {
        /// Blocks are missing.
        case open
        case proven(PublishedCheckpoint)
        case wrong(String)
    }

    /// Follows the links from the founding log on, with nothing but what they say themselves.
    func check(_ point: StartingPoint) throws(StorageError) -> Proof {
        var proven = Membership(foundingLog: membership.foundingLog)
        var found: PublishedCheckpoint?
        for link in point.links {
            // Not only peers name blocks: of the own proofs they are where members were said to be admitted.
            guard link.block < FileTreeLimits.blocksPerLogMax else {
                return .wrong("a block of its proof is none that a log can have")
            }
            guard let slot = writers.slot(of: link.log),
                let bytes = try provingBlock(link.block, of: slot)
            else { return .open }
            guard proven.isMember(log: link.log) else {
                return .wrong("a log in its proof is no member's")
            }
            let block: (time: HybridTime, operations: [(index: Int, operation: Operation)])
            do {
                block = try BlockCodec.standaloneOperations(in: bytes.span)
            } catch {
                return .wrong("a block of its proof cannot be decoded (\(error))")
            }
            found = nil
            for (index, operation) in block.operations {
                let id = OperationID(writer: slot, block: link.block, index: index)
                _ = proven.apply(
                    operation, stamp: Stamp(time: block.time, operation: id), author: link.log)
                if case .checkpoint(let checkpoint) = operation, !checkpoint.content.isEmpty {
                    guard let content = try? Content(decoding: checkpoint.content) else {
                        return .wrong("its content cannot be decoded")
                    }
                    found = PublishedCheckpoint(
                        log: link.log, block: link.block, time: block.time.rawValue,
                        digest: checkpoint.digest, content: content, logBytes: 0)
                }
            }
        }
        guard let found, let author = proven.member(log: found.log),
            author.role == .owner || author.role == .writer
        else { return .wrong("there is no checkpoint at the end of its proof") }
        return .proven(found)
    }
}
