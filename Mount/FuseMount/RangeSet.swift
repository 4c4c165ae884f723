/// Byte ranges of a file: ascending, neither empty nor touching.
///
/// Finding is logarithmic; inserting moves what lies behind, which `MountLimits.dirtyRangesMax` keeps
/// short.
struct RangeSet: Equatable, Sendable {
    private(set) var ranges: [Range<UInt64>] = []
    /// The sum of all lengths.
    private(set) var byteCount: UInt64 = 0

    init() {}

    init(_ range: Range<UInt64>) {
        insert(range)
    }

    var isEmpty: Bool { ranges.isEmpty }
    var count: Int { ranges.count }

    mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        // Appending, and writing again where one has written, are what programs mostly do.
        if let last = ranges.last, range.lowerBound >= last.lowerBound {
            if range.lowerBound <= last.upperBound {
                let upper = max(last.upperBound, range.upperBound)
                byteCount += upper - last.upperBound
                ranges[ranges.count - 1] = last.lowerBound..<upper
            } else {
                ranges.append(range)
                byteCount += range.upperBound - range.lowerBound
            }
            return
        }
        let first = firstIndex(endingAtOrAfter: range.lowerBound)
        var end = first
        var lower = range.lowerBound
        var upper = range.upperBound
        while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
            lower = min(lower, ranges[end].lowerBound)
            upper = max(upper, ranges[end].upperBound)
            byteCount -= ranges[end].upperBound - ranges[end].lowerBound
            end += 1
        }
        byteCount += upper - lower
        if end == first + 1 {
            ranges[first] = lower..<upper
        } else {
            ranges.replaceSubrange(first..<end, with: CollectionOfOne(lower..<upper))
        }
    }

    mutating func insert(_ other: RangeSet) {
        for range in other.ranges { insert(range) }
    }

    mutating func remove(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        let first = firstIndex(endingAfter: range.lowerBound)
        var end = first
        var kept: [Range<UInt64>] = []
        while end < ranges.count, ranges[end].lowerBound < range.upperBound {
            let old = ranges[end]
            byteCount -=
                min(old.upperBound, range.upperBound)
                - max(old.lowerBound, range.lowerBound)
            if old.lowerBound < range.lowerBound { kept.append(old.lowerBound..<range.lowerBound) }
            if old.upperBound > range.upperBound { kept.append(range.upperBound..<old.upperBound) }
            end += 1
        }
        guard end > first else { return }
        ranges.replaceSubrange(first..<end, with: kept)
    }

    mutating func remove(_ other: RangeSet) {
        for range in other.ranges { remove(range) }
    }

    /// The parts of `range` that are in the set, ascending.
    func intersection(_ range: Range<UInt64>) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        var index = firstIndex(endingAfter: range.lowerBound)
        while index < ranges.count, ranges[index].lowerBound < range.upperBound {
            result.append(ranges[index].clamped(to: range))
            index += 1
        }
        return result
    }

    /// The range that holds `offset`; nil outside the set.
    func range(at offset: UInt64) -> Range<UInt64>? {
        let index = firstIndex(endingAfter: offset)
        guard index < ranges.count, ranges[index].contains(offset) else { return nil }
        return ranges[index]
    }

    /// The first range that begins after `offset`.
    func range(after offset: UInt64) -> Range<UInt64>? {
        var index = firstIndex(endingAfter: offset)
        if index < ranges.count, ranges[index].contains(offset) { index += 1 }
        return index < ranges.count ? ranges[index] : nil
    }

    private func firstIndex(endingAfter offset: UInt64) -> Int {
        firstIndex { $0.upperBound > offset }
    }

    private func firstIndex(endingAtOrAfter offset: UInt64) -> Int {
        firstIndex { $0.upperBound >= offset }
    }

    private func firstIndex(where isPast: (Range<UInt64>) -> Bool) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if isPast(ranges[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
