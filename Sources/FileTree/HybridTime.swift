/// A hybrid logical time (Kulkarni et al. 2014): milliseconds since 1970 in the upper 48 bits, a
/// counter in the lower 16.
///
/// Every block has one, greater than those of all blocks its author had seen.
package struct HybridTime: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(milliseconds: UInt64, counter: UInt16 = 0) {
        let clamped = min(milliseconds, UInt64.max >> 16)
        rawValue = clamped << 16 | UInt64(counter)
    }

    package static let zero = HybridTime(rawValue: 0)

    package var milliseconds: UInt64 { rawValue >> 16 }

    package static func < (left: HybridTime, right: HybridTime) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Gives a writer the times of its blocks. Pure: the wall clock comes in as an argument.
package struct HybridClock: Equatable, Sendable {
    /// The greatest time seen, of own and remote blocks.
    package private(set) var newest: HybridTime

    package init(newest: HybridTime = .zero) { self.newest = newest }

    /// Takes note of the time of a block from elsewhere.
    package mutating func observe(_ time: HybridTime) { newest = max(newest, time) }

    /// A time for the next block: the wall clock's, but always later than anything seen.
    package mutating func next(wallMilliseconds: UInt64) -> HybridTime {
        let following = newest.rawValue == .max ? .max : newest.rawValue + 1
        let time = max(HybridTime(milliseconds: wallMilliseconds).rawValue, following)
        newest = HybridTime(rawValue: time)
        return newest
    }
}
