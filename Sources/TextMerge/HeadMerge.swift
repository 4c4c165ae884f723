/// Merges any number of heads of one file, one after the other.
package enum HeadMerge {
    /// One more head.
    package struct Step {
        /// The last versions that the head and those before it have in common, at least one.
        package var bases: [[UInt8]]
        package var head: [UInt8]

        package init(bases: [[UInt8]], head: [UInt8]) {
            self.bases = bases
            self.head = head
        }
    }

    /// - Parameters:
    ///   - first: the earliest head in the order of operations.
    ///   - steps: the others, the earlier before the later.
    /// - Returns: a conflict if any step is one, or gives other bytes from another of its bases.
    package static func merge(first: [UInt8], steps: [Step], isLineLike: Bool) -> MergeResult {
        guard TextScan.lines(of: first) != nil,
            steps.allSatisfy({ TextScan.lines(of: $0.head) != nil })
        else { return .conflict(.notText) }
        var merged = first
        for step in steps {
            var result: MergeResult?
            for base in step.bases {
                let next = ThreeWayMerge.merge(
                    base: base, first: merged, second: step.head, isLineLike: isLineLike)
                guard let known = result else {
                    result = next
                    continue
                }
                guard known == next else { return .conflict(.ambiguousBase) }
            }
            switch result {
            case .clean(let bytes): merged = bytes
            case .conflict(let conflict): return .conflict(conflict)
            case nil: return .conflict(.ambiguousBase)
            }
        }
        return .clean(merged)
    }
}
