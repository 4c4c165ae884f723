/// A set of block indexes, kept as runs: ascending, not empty, not touching.
///
/// Meant for logs that are fetched from the front: mostly one run. Operations take time
/// logarithmic in the runs to find a place, linear to shift them.
struct BlockSet: Equatable, Sendable {
    private(set) var runs: [Range<UInt64>] = []

    init() {}

    /// - Parameter runs: ascending; empty and touching ones are tidied up.
    init(_ runs: [Range<UInt64>]) {
        for run in runs { insert(run) }
    }

    var isEmpty: Bool { runs.isEmpty }

    /// How many indexes from 0 onwards are in the set without a gap.
    var contiguousLength: UInt64 {
        guard let first = runs.first, first.lowerBound == 0 else { return 0 }
        return first.upperBound
    }

    func contains(_ index: UInt64) -> Bool {
        let position = firstRun(endingAfter: index)
        return position < runs.count && runs[position].lowerBound <= index
    }

    /// Whether every index of `range` is in the set.
    func contains(_ range: Range<UInt64>) -> Bool {
        guard !range.isEmpty else { return true }
        let position = firstRun(endingAfter: range.lowerBound)
        return position < runs.count && runs[position].lowerBound <= range.lowerBound
            && runs[position].upperBound >= range.upperBound
    }

    /// The first index at or after `start` that is not in the set.
    func firstAbsent(from start: UInt64) -> UInt64 {
        let position = firstRun(endingAfter: start)
        guard position < runs.count, runs[position].lowerBound <= start else { return start }
        return runs[position].upperBound
    }

    /// The first index at or after `start` that is in the set.
    func firstPresent(from start: UInt64) -> UInt64? {
        let position = firstRun(endingAfter: start)
        guard position < runs.count else { return nil }
        return Swift.max(runs[position].lowerBound, start)
    }

    mutating func insert(_ index: UInt64) { insert(index..<index &+ 1) }

    mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        // Runs that overlap or touch the new one become part of it.
        let first = firstRun(endingAtOrAfter: range.lowerBound)
        var lower = range.lowerBound
        var upper = range.upperBound
        var last = first
        while last < runs.count, runs[last].lowerBound <= range.upperBound {
            lower = Swift.min(lower, runs[last].lowerBound)
            upper = Swift.max(upper, runs[last].upperBound)
            last &+= 1
        }
        if last == first &+ 1 {
            runs[first] = lower..<upper
        } else {
            runs.replaceSubrange(first..<last, with: CollectionOfOne(lower..<upper))
        }
    }

    mutating func remove(_ index: UInt64) { remove(index..<index &+ 1) }

    mutating func remove(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        let first = firstRun(endingAfter: range.lowerBound)
        var last = first
        var remains: [Range<UInt64>] = []
        while last < runs.count, runs[last].lowerBound < range.upperBound {
            let run = runs[last]
            if run.lowerBound < range.lowerBound {
                remains.append(run.lowerBound..<range.lowerBound)
            }
            if run.upperBound > range.upperBound {
                remains.append(range.upperBound..<run.upperBound)
            }
            last &+= 1
        }
        guard last > first else { return }
        runs.replaceSubrange(first..<last, with: remains)
    }

    /// What is in this set and not in `other`.
    func subtracting(_ other: BlockSet) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        for run in runs {
            var start = run.lowerBound
            while start < run.upperBound {
                start = other.firstAbsent(from: start)
                guard start < run.upperBound else { break }
                let end = Swift.min(other.firstPresent(from: start) ?? .max, run.upperBound)
                result.append(start..<end)
                start = end
            }
        }
        return result
    }

    private func firstRun(endingAfter index: UInt64) -> Int {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low &+ high) / 2
            if runs[middle].upperBound > index { high = middle } else { low = middle &+ 1 }
        }
        return low
    }

    private func firstRun(endingAtOrAfter index: UInt64) -> Int {
        index == 0 ? 0 : firstRun(endingAfter: index &- 1)
    }
}
