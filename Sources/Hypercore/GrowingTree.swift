internal import Base

/// The roots of a log while nodes are added at its end.
struct GrowingTree: Equatable {
    /// The full roots of `length`, left to right.
    private(set) var roots: [TreeNode]
    private(set) var length: UInt64
    private(set) var byteLength: UInt64
    /// Every node added or computed since the start.
    private(set) var added: [TreeNode] = []

    /// The tree of no blocks.
    init() { self.init(roots: [], length: 0, byteLength: 0) }

    /// - Parameter roots: the full roots of `length`, whose sizes add up to `byteLength`.
    init(roots: [TreeNode], length: UInt64, byteLength: UInt64) {
        self.roots = roots
        self.length = length
        self.byteLength = byteLength
    }

    var hash: Bytes32 { TreeHash.tree(roots) }

    /// Adds the subtree below `node` at the end; complete subtrees merge.
    ///
    /// - Returns: false, leaving the tree as it was, when the subtree does not begin where the log
    ///   ends, would make a tree that no log has, or is too large.
    mutating func append(_ node: TreeNode) -> Bool {
        guard FlatTree.leftSpan(node.index) == 2 &* length else { return false }
        if let last = roots.last {
            guard FlatTree.depth(node.index) <= FlatTree.depth(last.index) else { return false }
        }
        let newLength = length &+ FlatTree.leafCount(node.index)
        let (size, overflow) = byteLength.addingReportingOverflow(node.size)
        guard newLength <= Limits.lengthMax, !overflow, size <= Limits.byteLengthMax else {
            return false
        }
        length = newLength
        byteLength = size
        roots.append(node)
        added.append(node)
        mergeRoots()
        return true
    }

    private mutating func mergeRoots() {
        while roots.count > 1 {
            let right = roots[roots.count - 1]
            let left = roots[roots.count - 2]
            // No sum can be too large: `append` bounds the sum of all roots.
            guard FlatTree.sibling(right.index) == left.index,
                let parent = TreeHash.parent(left, right)
            else { return }
            roots.removeLast(2)
            roots.append(parent)
            added.append(parent)
        }
    }

    /// Grows to `target` blocks with nodes handed out by `next` in the order of an upgrade proof.
    ///
    /// The full roots of `target` are visited left to right. Those that are here already are passed
    /// over, one that lies over the present end is climbed to, the rest are added.
    ///
    /// - Parameter next: the node with that index, or nil if the proof does not go on with it.
    /// - Returns: the index that was missing or did not fit, nil when all went well.
    mutating func grow(to target: UInt64, next: (UInt64) -> TreeNode?) -> UInt64? {
        guard target > length else { return target == length ? nil : 2 &* target }
        var position = 0
        var climbed = false
        for root in FlatTree.fullRoots(length: target) {
            if !climbed, position < roots.count, roots[position].index == root {
                position += 1
                continue
            }
            if !climbed, position < roots.count {
                // What is left of our roots lies under this one: complete it from the end.
                while let last = roots.last, last.index != root {
                    let wanted = FlatTree.sibling(last.index)
                    guard let node = next(wanted), append(node) else { return wanted }
                }
            } else {
                guard let node = next(root), append(node) else { return root }
            }
            climbed = true
        }
        return nil
    }
}
