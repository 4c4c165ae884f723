import Base
import FileTree
import Hypercore

/// What every active member has seen: no later operation can be concurrent with it.
extension Engine {
    /// Per log, the least block that every active member's last block here has referenced. Closed: what
    /// each of the members has seen is.
    func stableClock() -> Clock {
        let active = membership.logs.compactMap { writers.slot(of: $0) }
        var stable = tree.clock
        for slot in active {
            guard let state = codecs[slot], state.number > 0 else { return Clock() }
            for element in stable.elements where element.writer != slot {
                stable[element.writer] = min(element.count, state.clock[element.writer])
            }
        }
        return stable
    }

    private enum StabilityLimits {
        /// After so long a program has put back what it removed first to save it, or never will.
        static let afterthought: UInt64 = 2 * 60 * 1000
    }

    /// What is stable and older than the grace period.
    func settledHistory() throws(StorageError) -> SettledHistory {
        let grace = UInt64(checkpointPolicy.grace.nanosecondsClamped / 1_000_000)
        let newest = tree.newestTime.milliseconds
        let end = HybridTime(milliseconds: newest > grace ? newest - grace : 0)
        var settled = stableClock()
        var finalRemovals = Clock()
        var last = HybridTime.zero
        for element in settled.elements {
            let slot = element.writer
            let count = try blocks(of: slot, before: end, limit: element.count)
            settled[slot] = count
            guard count > 0, let time = try time(of: slot, block: count - 1) else { continue }
            last = max(last, time)
            let final = HybridTime(
                milliseconds: time.milliseconds
                    - min(StabilityLimits.afterthought, time.milliseconds))
            finalRemovals[slot] = try blocks(of: slot, before: final, limit: count)
        }
        return SettledHistory(clock: settled, newestTime: last, finalRemovals: finalRemovals)
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
