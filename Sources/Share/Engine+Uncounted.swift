import Base
import Chunks
import FileTree
import Hypercore

/// Blocks that are here and do not count: kept, and shown to nobody but who asks for them.
extension Engine {
    struct Counted {
        var bounds: LogBounds
        /// Blocks of each log that are applied and count.
        var ends: [WriterSlot: UInt64]
    }

    /// What the members see, as far as this device knows: of its own log too, whose end it does not follow.
    func countedParts() -> Counted {
        var counted = Counted(bounds: bounds, ends: applied)
        for (slot, blocks) in applied { counted.ends[slot] = min(blocks, bound(of: slot)) }
        let heard = unheardAdmitter == nil ? nil : heardLogs
        for slot in Set(logs.keys).union(ownSlots) {
            let lengths = [
                ownSlots.contains(slot) ? countedOfOwn(slot) : nil, commonLength(of: slot),
                heard.flatMap { countedByOthers(slot, $0) },
            ]
            guard let length = lengths.compactMap(\.self).min() else { continue }
            if counted.bounds.isOpen {
                counted.bounds.isOpen = false
                counted.bounds.counted = Set(logs.keys)
            }
            counted.bounds.cuts[slot] = length
            counted.ends[slot] = min(counted.ends[slot] ?? 0, length)
        }
        return counted
    }

    /// Of a log with two histories, how much of the one that is here the others have for sure; nil for all.
    private func commonLength(of slot: WriterSlot) -> UInt64? {
        guard let pendingFork, writers.key(of: slot) == pendingFork.log else { return nil }
        // What this device began from the others have, too.
        return max(pendingFork.common, ownStart)
    }

    /// How much of a log counts for members that did not hear of this device in time; nil for all.
    private func countedByOthers(_ slot: WriterSlot, _ heard: Set<Bytes32>) -> UInt64? {
        let log = writers.key(of: slot)
        guard heard.contains(log) else { return 0 }
        guard membership.end(of: log)?.kind == .retired else { return nil }
        // What this device began from cannot be taken apart.
        return max(taken(of: log, by: heard), starts[slot]?.number ?? 0)
    }

    /// How much of a log of this device counts for the others; nil for all.
    private func countedOfOwn(_ slot: WriterSlot) -> UInt64? {
        let log = writers.key(of: slot)
        guard let member = membership.member(log: log) else { return 0 }
        let others = codecs.filter { $0.key != slot }
        if let end = membership.end(of: log) {
            return end.length ?? others.values.map { $0.clock[slot] }.max() ?? 0
        }
        guard slot == ownSlot, hasEnded else { return nil }
        // By whom it came has ended: it may never have been a member.
        if let toldEnd, toldEnd.device != member.device { return 0 }
        // Not known, but no less than what every owner had seen: rather too much is taken for uncounted.
        return membership.members.values.filter { $0.role == .owner && $0.log != member.log }
            .map { owner in
                writers.slot(of: owner.log).flatMap { others[$0]?.clock[slot] } ?? 0
            }.min() ?? 0
    }

    /// The logs with blocks that do not count, and where these end.
    func uncountedParts(beyond counted: Counted) throws(StorageError) -> [PastReplay.Part] {
        var parts: [PastReplay.Part] = []
        for number in 1..<writers.count {
            let slot = WriterSlot(rawValue: UInt16(number))
            guard slot != pendingFork?.branch, let log = try storedLog(slot) else { continue }
            let start = counted.ends[slot] ?? 0
            // What is known of and not here was never taken.
            guard log.length > start, log.hasBlock(at: start) else { continue }
            let end = log.firstStored(from: start, before: log.length, except: [])?.upperBound
            // What is still to be applied counts.
            guard let end, start >= min(bound(of: slot), counted.bounds[slot]) else { continue }
            parts.append(PastReplay.Part(slot: slot, log: log, end: end))
        }
        return parts
    }

    /// A log that blocks are stored of, also one whose device is no member.
    private func storedLog(_ slot: WriterSlot) throws(StorageError) -> Log? {
        if let log = logs[slot] { return log }
        let key = writers.key(of: slot)
        // Where a log's two histories changed places, the empty one left behind has the other's name.
        guard try storage.header(slot)?.key == key else { return nil }
        return try openLog(key, slot)
    }

    func parts(_ ends: [WriterSlot: UInt64], with others: [PastReplay.Part] = [])
        -> [PastReplay.Part]
    {
        let slots = Set(ends.keys).union(others.map(\.slot))
        return slots.sorted { $0.rawValue < $1.rawValue }.compactMap { slot in
            others.first { $0.slot == slot }
                ?? logs[slot].map { PastReplay.Part(slot: slot, log: $0, end: ends[slot] ?? 0) }
        }
    }

    // MARK: Whose they are

    /// The name of a log's device, though it may be no member any more.
    func nameOnceKnown(_ log: Bytes32) -> String {
        let name =
            membership.member(log: log)?.name
            ?? membership.admissions.first { $0.member.log == log }?.member.name ?? []
        if !name.isEmpty { return String(decoding: name, as: UTF8.self) }
        return log == ownLog?.key ? deviceName : String(log.hex.prefix(16))
    }

    /// Whether people mean this log by a device's name, or the first digits of its key.
    func isLog(_ log: Bytes32, of device: String) -> Bool {
        if nameOnceKnown(log) == device { return true }
        guard device.utf8.count >= 8 else { return false }
        let digits = device.lowercased()
        let key = membership.admissions.first { $0.member.log == log }?.member.device
        return log.hex.hasPrefix(digits) || key?.hex.hasPrefix(digits) ?? false
    }

    // MARK: Their chunks

    /// A version that the view does not have, because its block does not count or what it was written to does not.
    struct UncountedVersion {
        var id: VersionID
        var object: ObjectID
        var time: HybridTime
        var content: Content
    }

    /// Every such version in the blocks that are here. Reads all logs, if any has such blocks.
    func forEachUncountedVersion(_ body: (UncountedVersion) throws(StorageError) -> Void)
        throws(StorageError)
    {
        let counted = Counted(
            bounds: bounds,
            ends: applied.reduce(into: [:]) { $0[$1.key] = min($1.value, bound(of: $1.key)) })
        let beyond = try uncountedParts(beyond: counted)
        guard !beyond.isEmpty else { return }
        for part in parts(counted.ends, with: beyond) {
            var codec = starts[part.slot] ?? BlockCodec(writer: part.slot)
            let end = counted.ends[part.slot] ?? 0
            while codec.number < part.end, let bytes = try part.log.block(at: codec.number) {
                let number = codec.number
                guard var block = try? codec.decode(bytes.span, writers: writers) else { break }
                // Who had seen nothing of it wrote to nothing of it.
                guard number >= end || !bounds.limit(&block) else { continue }
                for (index, operation) in block.operations.enumerated() {
                    let id = VersionID(writer: part.slot, block: number, index: index)
                    guard case .write(let write) = operation, try storage.version(id) == nil,
                        let content = try? Content(decoding: write.content)
                    else { continue }
                    try body(
                        UncountedVersion(
                            id: id, object: write.object, time: block.time, content: content))
                }
            }
        }
    }
}
