internal import Base
internal import Share

/// Staging files that nobody uses, for the next that is needed.
struct StagingSpares: Sendable {
    struct Spare: Sendable {
        let file: any StagingFile
        /// In bytes.
        let size: UInt64
    }

    private struct Kept: Sendable {
        let spare: Spare
        let since: Instant
    }

    /// The oldest first.
    private var kept: [Kept] = []
    private var byteCount: UInt64 = 0

    /// The spare that serves a file of at least `bytes` best. A large one is left to large files.
    mutating func take(for bytes: UInt64) -> Spare? {
        let isLarge = bytes >= MountLimits.largeSpareBytes
        let order: (Int, Int) -> Bool = { kept[$0].spare.size < kept[$1].spare.size }
        let best = isLarge ? kept.indices.max(by: order) : kept.indices.min(by: order)
        guard let best, isLarge || kept[best].spare.size < MountLimits.largeSpareBytes else {
            return nil
        }
        return remove(at: best)
    }

    /// - Returns: those that there is no place for; it may be among them.
    mutating func keep(_ spare: Spare, bytesMax: UInt64, now: Instant) -> [Spare] {
        guard spare.size <= bytesMax else { return [spare] }
        kept.append(Kept(spare: spare, since: now))
        byteCount += spare.size
        var dropped: [Spare] = []
        while byteCount > bytesMax || kept.count > MountLimits.sparesMax {
            dropped.append(remove(at: 0))
        }
        return dropped
    }

    /// Takes those out that nobody wanted since `deadline`.
    mutating func drop(unusedSince deadline: Instant) -> [Spare] {
        var dropped: [Spare] = []
        while let first = kept.first, first.since <= deadline { dropped.append(remove(at: 0)) }
        return dropped
    }

    private mutating func remove(at index: Int) -> Spare {
        let spare = kept.remove(at: index).spare
        byteCount -= spare.size
        return spare
    }
}
