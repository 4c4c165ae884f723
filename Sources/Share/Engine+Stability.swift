import Base
import FileTree
import Hypercore

/// What every active member has seen: no later operation can be concurrent with it.
extension Engine {
    /// Per log, the least block that every active member's last block here has referenced. Closed: what
    /// each of the members has seen is.
    func stableClock() -> Clock {
        var stable = tree.clock
        for slot in activeSlots {
            guard let state = codecs[slot], state.number > 0 else { return Clock() }
            for element in stable.elements where element.writer != slot {
                stable[element.writer] = min(element.count, state.clock[element.writer])
            }
        }
        return stable
    }

    /// What is stable, and older by more than the grace period than the last block of every active member.
    /// Whatever a member writes from then on is as much later: see `SettledHistory`.
    func settledHistory() throws(StorageError) -> SettledHistory {
        let grace = HybridTime(milliseconds: checkpointPolicy.graceMilliseconds).rawValue
        let lasts = activeSlots.map { codecs[$0]?.time.rawValue ?? 0 }
        let oldest = lasts.min() ?? 0
        let end = HybridTime(rawValue: oldest > grace ? oldest - grace : 0)
        var settled = stableClock()
        var last = HybridTime.zero
        for element in settled.elements {
            let count = try blocks(of: element.writer, before: end, limit: element.count)
            settled[element.writer] = count
            if count > 0, let time = try time(of: element.writer, block: count - 1) {
                last = max(last, time)
            }
        }
        return SettledHistory(clock: settled, newestTime: last)
    }

    /// Whether anybody may have settled what blocks of the own log have not seen, which no member knows yet. Nobody
    /// settles what the log before this one has not seen at its end, or what is not older than that by the grace
    /// period: it is a member's.
    func mayHaveSettledUnseen() throws(StorageError) -> Bool {
        guard let succession, !isAdmitted, pendingFork == nil,
            let former = writers.slot(of: succession.succession.predecessor),
            let last = codecs[former], let bytes = try ownLog?.block(at: 0)
        else { return false }
        var codec = BlockCodec(writer: ownSlot)
        guard let first = try? codec.decode(bytes.span, writers: writers) else { return false }
        let grace = HybridTime(milliseconds: checkpointPolicy.graceMilliseconds).rawValue
        let end = last.time.rawValue - min(last.time.rawValue, grace)
        var clock = last.clock
        clock[former] = last.number
        for element in clock.elements where element.writer != ownSlot {
            let seen = first.clock[element.writer]
            guard seen < min(element.count, tree.clock[element.writer]) else { continue }
            // What is not here any more is old.
            let time = try time(of: element.writer, block: seen)
            guard let time, time.rawValue >= end else { return true }
        }
        return false
    }

    /// How many of the first blocks of a log are older than `end`: times of a log only grow.
    private func blocks(of slot: WriterSlot, before end: HybridTime, limit: UInt64)
        throws(StorageError) -> UInt64
    {
        var (low, high): (UInt64, UInt64) = (0, limit)
        while low < high {
            let middle = (low + high) / 2
            // What is not here any more is old.
            let isOlder = try time(of: slot, block: middle).map { $0 < end } ?? true
            if isOlder { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func time(of slot: WriterSlot, block: UInt64) throws(StorageError) -> HybridTime? {
        if let start = starts[slot], start.number == block + 1 { return start.time }
        guard let bytes = try logs[slot]?.block(at: block) else { return nil }
        return BlockCodec.time(of: bytes.span)
    }
}
