/// Which elements of two sequences are the same: the diff. Its choices are part of the rules.
///
/// Of two ranges: what they begin with in common is matched, then what they end with. In what is left,
/// elements that occur once in each range are anchors, as many as stand in one order (patience diff, Cohen);
/// the ranges between anchors are compared in the same way. Ranges without anchors are matched by their
/// longest common subsequence if they are small, and not at all if they are large. At last whatever was only
/// inserted or only removed slides towards the end, so that two sides that did the same did it at one place.
struct Comparison {
    private let left: [UInt32]
    private let right: [UInt32]
    private let cellsMax: Int
    /// For each element of `left` the index of its match in `right`, ascending; -1 without one.
    private(set) var matches: [Int32]

    // By symbol, all zero between uses.
    private var leftCounts: [UInt32]
    private var rightCounts: [UInt32]
    private var rightPlaces: [Int32]

    private struct Task {
        var left: Range<Int>
        var right: Range<Int>
        var depth: Int
    }

    /// - Parameter symbols: one more than the greatest element.
    init(_ left: [UInt32], _ right: [UInt32], symbols: Int, cellsMax: Int) {
        self.left = left
        self.right = right
        self.cellsMax = cellsMax
        matches = [Int32](repeating: -1, count: left.count)
        leftCounts = [UInt32](repeating: 0, count: symbols)
        rightCounts = [UInt32](repeating: 0, count: symbols)
        rightPlaces = [Int32](repeating: 0, count: symbols)
        var tasks = [Task(left: 0..<left.count, right: 0..<right.count, depth: 0)]
        while let task = tasks.popLast() { run(task, &tasks) }
        slide()
    }

    private mutating func run(_ task: Task, _ tasks: inout [Task]) {
        var (start, rightStart) = (task.left.lowerBound, task.right.lowerBound)
        var (end, rightEnd) = (task.left.upperBound, task.right.upperBound)
        while start < end, rightStart < rightEnd, left[start] == right[rightStart] {
            matches[start] = Int32(rightStart)
            start += 1
            rightStart += 1
        }
        while start < end, rightStart < rightEnd, left[end - 1] == right[rightEnd - 1] {
            end -= 1
            rightEnd -= 1
            matches[end] = Int32(rightEnd)
        }
        guard start < end, rightStart < rightEnd else { return }
        let rest = Task(
            left: start..<end, right: rightStart..<rightEnd, depth: task.depth + 1)
        let (hasCommon, anchors) = anchors(of: rest)
        guard hasCommon else { return }
        guard !anchors.isEmpty, task.depth < MergeRules.depthMax else {
            return matchLongest(rest)
        }
        for anchor in anchors {
            matches[anchor.left] = Int32(anchor.right)
            tasks.append(
                Task(
                    left: start..<anchor.left, right: rightStart..<anchor.right,
                    depth: rest.depth))
            start = anchor.left + 1
            rightStart = anchor.right + 1
        }
        tasks.append(Task(left: start..<end, right: rightStart..<rightEnd, depth: rest.depth))
    }

    // MARK: Anchors

    private struct Anchor {
        var left: Int
        var right: Int
    }

    /// - Returns: whether the ranges have anything in common, and the longest run of anchors.
    private mutating func anchors(of task: Task) -> (hasCommon: Bool, anchors: [Anchor]) {
        for index in task.right {
            rightCounts[Int(right[index])] += 1
            rightPlaces[Int(right[index])] = Int32(index)
        }
        for index in task.left { leftCounts[Int(left[index])] += 1 }
        var hasCommon = false
        var unique: [Anchor] = []
        for index in task.left {
            let symbol = Int(left[index])
            guard rightCounts[symbol] > 0 else { continue }
            hasCommon = true
            if leftCounts[symbol] == 1, rightCounts[symbol] == 1 {
                unique.append(Anchor(left: index, right: Int(rightPlaces[symbol])))
            }
        }
        for index in task.right { rightCounts[Int(right[index])] = 0 }
        for index in task.left { leftCounts[Int(left[index])] = 0 }
        return (hasCommon, Self.longestAscending(unique))
    }

    /// The longest ascending run, by patience sorting: the last pile's top, and from each card the card that
    /// was on top of the pile before when it was laid.
    private static func longestAscending(_ anchors: [Anchor]) -> [Anchor] {
        var tops: [Int] = []
        var previous = [Int](repeating: -1, count: anchors.count)
        for (index, anchor) in anchors.enumerated() {
            var low = 0
            var high = tops.count
            // Nearly always it goes to the end.
            if let last = tops.last, anchors[last].right < anchor.right { low = high }
            while low < high {
                let middle = (low + high) / 2
                if anchors[tops[middle]].right < anchor.right {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            if low > 0 { previous[index] = tops[low - 1] }
            if low == tops.count { tops.append(index) } else { tops[low] = index }
        }
        var result: [Anchor] = []
        result.reserveCapacity(tops.count)
        var next = tops.last ?? -1
        while next >= 0 {
            result.append(anchors[next])
            next = previous[next]
        }
        return result.reversed()
    }

    // MARK: Longest common subsequence

    /// Matches a longest common subsequence. Which one: from the ends of both ranges backwards, equal
    /// elements match; of unequal ones the right is left out if that loses nothing, else the left.
    private mutating func matchLongest(_ task: Task) {
        let (rows, columns) = (task.left.count, task.right.count)
        guard rows.multipliedReportingOverflow(by: columns).partialValue <= cellsMax else { return }
        let words = (columns + 63) / 64
        let table = growthTable(task, words: words)
        var row = rows
        var column = columns
        while row > 0, column > 0 {
            let (i, j) = (task.left.lowerBound + row - 1, task.right.lowerBound + column - 1)
            if left[i] == right[j] {
                matches[i] = Int32(j)
                row -= 1
                column -= 1
                continue
            }
            let bit = UInt64(1) << UInt64((column - 1) & 63)
            if table[(row - 1) * words + (column - 1) / 64] & bit != 0 {
                column -= 1
            } else {
                row -= 1
            }
        }
    }

    /// For each row, which columns do not make the common subsequence longer: the bit vectors of Hyyrö
    /// (2004), all rows of them.
    private mutating func growthTable(_ task: Task, words: Int) -> [UInt64] {
        // Where the columns have each symbol; `rightPlaces` lends itself to say which mask is whose.
        var masks: [UInt64] = []
        for index in task.left { leftCounts[Int(left[index])] = 1 }
        for (column, index) in task.right.enumerated() where leftCounts[Int(right[index])] > 0 {
            let symbol = Int(right[index])
            if rightCounts[symbol] == 0 {
                rightCounts[symbol] = 1
                rightPlaces[symbol] = Int32(masks.count / words)
                masks.append(contentsOf: repeatElement(0, count: words))
            }
            masks[Int(rightPlaces[symbol]) * words + column / 64] |= 1 << UInt64(column & 63)
        }
        var table: [UInt64] = []
        table.reserveCapacity(task.left.count * words)
        var row = [UInt64](repeating: .max, count: words)
        for index in task.left {
            let symbol = Int(left[index])
            if rightCounts[symbol] > 0 {
                let mask = Int(rightPlaces[symbol]) * words
                var carry: UInt64 = 0
                for word in 0..<words {
                    let value = row[word]
                    let common = value & masks[mask + word]
                    let (partial, first) = value.addingReportingOverflow(common)
                    let (sum, second) = partial.addingReportingOverflow(carry)
                    carry = first || second ? 1 : 0
                    row[word] = sum | (value & ~masks[mask + word])
                }
            }
            table.append(contentsOf: row)
        }
        for index in task.right { rightCounts[Int(right[index])] = 0 }
        for index in task.left { leftCounts[Int(left[index])] = 0 }
        return table
    }

    // MARK: Sliding

    /// A stretch without matches.
    private struct Gap {
        var left: Range<Int>
        var right: Range<Int>
    }

    /// Moves insertions and removals down as far as they go, from the last to the first.
    private mutating func slide() {
        var steps = MergeRules.slidesMax
        var next = Gap(left: left.count..<left.count, right: right.count..<right.count)
        while let gap = gap(before: next) {
            next = slid(gap, &steps)
        }
    }

    /// The last gap that ends before another one does, with at least one match between.
    private func gap(before next: Gap) -> Gap? {
        // Matches in a row up to the start of the other.
        var (i, j) = (next.left.lowerBound, next.right.lowerBound)
        while i > 0, j > 0, matches[i - 1] == Int32(j - 1) {
            i -= 1
            j -= 1
        }
        guard i > 0 || j > 0 else { return nil }
        let (end, rightEnd) = (i, j)
        while i > 0, matches[i - 1] < 0 { i -= 1 }
        j = i > 0 ? Int(matches[i - 1]) + 1 : 0
        return Gap(left: i..<end, right: j..<rightEnd)
    }

    private mutating func slid(_ gap: Gap, _ steps: inout Int) -> Gap {
        var gap = gap
        while steps > 0 {
            let (i, j) = (gap.left.upperBound, gap.right.upperBound)
            guard i < left.count, j < right.count, matches[i] == Int32(j) else { break }
            if gap.left.isEmpty, right[gap.right.lowerBound] == right[j] {
                matches[i] = Int32(gap.right.lowerBound)
            } else if gap.right.isEmpty, left[gap.left.lowerBound] == left[i] {
                matches[gap.left.lowerBound] = Int32(j)
                matches[i] = -1
            } else {
                break
            }
            steps -= 1
            gap = Gap(
                left: gap.left.lowerBound + 1..<i + 1, right: gap.right.lowerBound + 1..<j + 1)
            grow(&gap)
        }
        return gap
    }

    /// Takes in what has no match after the gap.
    private func grow(_ gap: inout Gap) {
        var i = gap.left.upperBound
        while i < left.count, matches[i] < 0 { i += 1 }
        let j = i < left.count ? Int(matches[i]) : right.count
        gap = Gap(left: gap.left.lowerBound..<i, right: gap.right.lowerBound..<j)
    }
}
