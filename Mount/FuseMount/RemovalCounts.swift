internal import Share
internal import Synchronization

/// Counts, by directories, the names that programs here took away: a listing that is being read may have them
/// still. Several directories share a count.
final class RemovalCounts: Sendable {
    private let counts = Mutex([UInt64](repeating: 0, count: 64))

    func now(_ directory: NodeID) -> UInt64 {
        counts.withLock { $0[Self.index(directory)] }
    }

    /// To be called after the volume changed, before the program is answered.
    func note(_ directory: NodeID) { counts.withLock { $0[Self.index(directory)] += 1 } }

    private static func index(_ directory: NodeID) -> Int {
        Int((directory.rawValue &* 0x9e37_79b9_7f4a_7c15) >> 58)
    }
}
