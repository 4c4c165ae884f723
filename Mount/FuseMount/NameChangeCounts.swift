internal import Share
internal import Synchronization

/// Counts, by directories, what programs here do to names: of what was read of them before, a listing or the plan of
/// a replay, not all may be so any more. Several directories share a count.
final class NameChangeCounts: Sendable {
    fileprivate struct Count: Equatable {
        var made: UInt64 = 0
        /// Names that were taken away or given to something else.
        var changed: UInt64 = 0
    }

    /// The counts of one moment.
    struct Moment: Sendable {
        fileprivate let counts: [Count]
    }

    private let counts = Mutex([Count](repeating: Count(), count: 64))

    /// Every count, to ask `isUnchanged` of later.
    var moment: Moment { Moment(counts: counts.withLock { $0 }) }

    /// How often names that were there have changed.
    func changed(_ directory: NodeID) -> UInt64 {
        counts.withLock { $0[Self.index(directory)].changed }
    }

    // To be noted after the volume changed, before the program is answered.

    func noteMade(in directory: NodeID) {
        counts.withLock { $0[Self.index(directory)].made += 1 }
    }

    func noteChanged(in directory: NodeID) {
        counts.withLock { $0[Self.index(directory)].changed += 1 }
    }

    /// Whether no program has done anything to the directory's names since.
    func isUnchanged(_ directory: NodeID, since moment: Moment) -> Bool {
        let index = Self.index(directory)
        return counts.withLock { $0[index] } == moment.counts[index]
    }

    private static func index(_ directory: NodeID) -> Int {
        Int((directory.rawValue &* 0x9e37_79b9_7f4a_7c15) >> 58)
    }
}
