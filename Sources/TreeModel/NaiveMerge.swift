/// The rules of merging as they are written down, with strings and tables; slow on purpose, and sharing
/// nothing with the merge it is compared with.
package struct NaiveMerge {
    /// - Returns: nil if there is no merge.
    package static func merge(_ base: String, _ first: String, _ second: String, isLineLike: Bool)
        -> String?
    {
        if first == second { return first }
        if base == first { return second }
        if base == second { return first }
        let sides = [base, first, second].map { terminated(lines($0)) }
        guard
            var output = merge(
                sides[0], sides[1], sides[2], limit: 1 << 24, separates: { _ in true },
                both: { o, a, b in
                    if o.isEmpty { return isLineLike ? a + b : nil }
                    return merge(
                        words(o), words(a), words(b), limit: 1 << 20,
                        separates: { !$0.allSatisfy(\.isWhitespace) }, both: { _, _, _ in nil })
                })?.joined()
        else { return nil }
        if !endsTerminated(base, first, second) {
            if output.unicodeScalars.last == "\n" { output.unicodeScalars.removeLast() }
            if output.unicodeScalars.last == "\r" { output.unicodeScalars.removeLast() }
        }
        return output
    }

    // MARK: Pieces

    static func lines(_ text: String) -> [String] {
        var result: [String] = []
        var line = ""
        let scalars = Array(text.unicodeScalars)
        for (index, scalar) in scalars.enumerated() {
            line.unicodeScalars.append(scalar)
            let isInside = scalar == "\r" && index + 1 < scalars.count && scalars[index + 1] == "\n"
            if (scalar == "\n" || scalar == "\r") && !isInside {
                result.append(line)
                line = ""
            }
        }
        return line.isEmpty ? result : result + [line]
    }

    private static func isTerminated(_ text: String) -> Bool {
        text.unicodeScalars.last.map { $0 == "\n" || $0 == "\r" } ?? true
    }

    private static func terminated(_ lines: [String]) -> [String] {
        guard let last = lines.last, !isTerminated(last) else { return lines }
        let before = lines.dropLast().last ?? "\n"
        let end = before.unicodeScalars.suffix(2).filter { $0 == "\n" || $0 == "\r" }
        return lines.dropLast() + [last + String(String.UnicodeScalarView(end))]
    }

    private static func endsTerminated(_ base: String, _ first: String, _ second: String) -> Bool {
        if base.isEmpty { return isTerminated(second.isEmpty ? first : second) }
        let changed = [first, second].contains {
            !$0.isEmpty && isTerminated($0) != isTerminated(base)
        }
        return isTerminated(base) != changed
    }

    /// The words of lines, as merging splits them.
    package static func words(_ lines: [String]) -> [String] {
        func kind(_ scalar: Unicode.Scalar) -> Int {
            switch scalar.value {
            case 0x20, 0x09: return 1
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: return 2
            case 0..<0x80, 0x2000...0x206f, 0x2e80...0x9fff, 0xf900...0xfaff, 0xff00...0xffef,
                0x20000...0x3ffff:
                return 0
            default: return 2
            }
        }
        var result: [String] = []
        var last: Unicode.Scalar?
        for scalar in lines.joined().unicodeScalars {
            let goesOn =
                last.map {
                    kind($0) != 0 && kind($0) == kind(scalar) || $0 == "\r" && scalar == "\n"
                }
            if goesOn == true {
                result[result.count - 1].unicodeScalars.append(scalar)
            } else {
                result.append(String(scalar))
            }
            last = scalar
        }
        return result
    }

    // MARK: Hunks

    private static func merge(
        _ base: [String], _ first: [String], _ second: [String], limit: Int,
        separates: (String) -> Bool, both: ([String], [String], [String]) -> [String]?
    ) -> [String]? {
        let left = pairs(base, first, limit: limit)
        let right = pairs(base, second, limit: limit)
        let stable = base.indices.filter {
            left[$0] != nil && right[$0] != nil && separates(base[$0])
        }
        var output: [String] = []
        var (o, a, b) = (0, 0, 0)
        for index in stable + [base.count] {
            let (nextA, nextB) =
                index < base.count ? (left[index]!, right[index]!) : (first.count, second.count)
            let (x, y, z) = (
                Array(base[o..<index]), Array(first[a..<nextA]), Array(second[b..<nextB])
            )
            if x == y || y == z {
                output += z
            } else if x == z {
                output += y
            } else {
                guard let merged = both(x, y, z) else { return nil }
                output += merged
            }
            if index < base.count { output.append(base[index]) }
            (o, a, b) = (index + 1, nextA + 1, nextB + 1)
        }
        return output
    }

    // MARK: The diff

    /// For each index of `left` its match in `right`.
    static func pairs(_ left: [String], _ right: [String], limit: Int) -> [Int: Int] {
        // Strings compare by canonical equivalence; bytes must.
        let (x, y) = (left.map { Array($0.utf8) }, right.map { Array($0.utf8) })
        var result: [Int: Int] = [:]
        compare(x, y, 0..<x.count, 0..<y.count, 0, limit, &result)
        return slid(result, x, y)
    }

    /// Moves what was only inserted or only removed down, the last first, for as long as the element that
    /// follows is the one it begins with.
    private static func slid(_ matches: [Int: Int], _ x: [[UInt8]], _ y: [[UInt8]]) -> [Int: Int] {
        var pairs = matches.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        // Between pair k - 1 and pair k; the last gap has nothing that could follow.
        for start in stride(from: pairs.count - 1, through: 0, by: -1) {
            var k = start
            while k < pairs.count {
                let (i, j) = k > 0 ? (pairs[k - 1].0 + 1, pairs[k - 1].1 + 1) : (0, 0)
                let removed = x[i..<pairs[k].0]
                let inserted = y[j..<pairs[k].1]
                if removed.isEmpty, inserted.first == y[pairs[k].1] {
                    pairs[k].1 = j
                } else if inserted.isEmpty, removed.first == x[pairs[k].0] {
                    pairs[k].0 = i
                } else {
                    break
                }
                k += 1
            }
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    private static func compare(
        _ x: [[UInt8]], _ y: [[UInt8]], _ left: Range<Int>, _ right: Range<Int>, _ depth: Int,
        _ limit: Int, _ result: inout [Int: Int]
    ) {
        let prefix = zip(left, right).prefix { x[$0] == y[$1] }.count
        for step in 0..<prefix { result[left.lowerBound + step] = right.lowerBound + step }
        var (l, r) = (left.dropFirst(prefix), right.dropFirst(prefix))
        while let i = l.last, let j = r.last, x[i] == y[j] {
            result[i] = j
            (l, r) = (l.dropLast(), r.dropLast())
        }
        guard !l.isEmpty, !r.isEmpty else { return }
        let counts = (
            Dictionary(grouping: l) { x[$0] }.mapValues(\.count),
            Dictionary(grouping: r) { y[$0] }.mapValues(\.count)
        )
        var unique: [(Int, Int)] = []
        for i in l where counts.0[x[i]] == 1 && counts.1[x[i]] == 1 {
            unique.append((i, r.first { y[$0] == x[i] }!))
        }
        guard !unique.isEmpty, depth < 32 else {
            if l.count * r.count <= limit { longest(x, y, l, r, &result) }
            return
        }
        // The longest ascending run: the last of the greatest length, and before each the last one that is
        // one shorter.
        var lengths: [Int] = []
        for (index, anchor) in unique.enumerated() {
            let before = (0..<index).filter { unique[$0].1 < anchor.1 }.map { lengths[$0] }
            lengths.append((before.max() ?? 0) + 1)
        }
        var run: [(Int, Int)] = []
        var end = unique.count
        for length in stride(from: lengths.max()!, through: 1, by: -1) {
            end = (0..<end).last { lengths[$0] == length }!
            run.insert(unique[end], at: 0)
        }
        for anchor in run {
            result[anchor.0] = anchor.1
            compare(
                x, y, l.lowerBound..<anchor.0, r.lowerBound..<anchor.1, depth + 1, limit, &result)
            (l, r) = (anchor.0 + 1..<l.upperBound, anchor.1 + 1..<r.upperBound)
        }
        compare(x, y, l, r, depth + 1, limit, &result)
    }

    private static func longest(
        _ x: [[UInt8]], _ y: [[UInt8]], _ l: Range<Int>, _ r: Range<Int>, _ result: inout [Int: Int]
    ) {
        var table = [[Int]](
            repeating: [Int](repeating: 0, count: r.count + 1), count: l.count + 1)
        for i in 0..<l.count {
            for j in 0..<r.count {
                table[i + 1][j + 1] =
                    x[l.lowerBound + i] == y[r.lowerBound + j]
                    ? table[i][j] + 1 : max(table[i][j + 1], table[i + 1][j])
            }
        }
        var (i, j) = (l.count, r.count)
        while i > 0, j > 0 {
            if x[l.lowerBound + i - 1] == y[r.lowerBound + j - 1] {
                result[l.lowerBound + i - 1] = r.lowerBound + j - 1
                (i, j) = (i - 1, j - 1)
            } else if table[i][j - 1] >= table[i - 1][j] {
                j -= 1
            } else {
                i -= 1
            }
        }
    }
}
