/// Which tree nodes a proof lists, in order: numbers only, so that nothing is read for a question
/// that cannot be answered.
struct ProofPlan: Equatable {
    /// A block (its leaf) or a tree node to be proved.
    struct Target: Equatable {
        /// The tree index.
        var node: UInt64
        /// Parents above it that the asker lacks.
        var steps: UInt64
        /// A block's value goes along, and its leaf is not listed.
        var isBlock: Bool
    }

    /// The path of the block or node; nil if it is not part of the proof.
    private(set) var target: [UInt64]?
    private(set) var seek: [UInt64]?
    private(set) var upgrade: [UInt64]?
    private(set) var additional: [UInt64]?

    private let seekNode: UInt64?
    private let targetNode: Target?

    /// - Parameters:
    ///   - target: checked to lie inside `head`, with at most 64 steps.
    ///   - seekNode: where the byte offset falls, as `root` was handed to the closure: the subtree
    ///     to look in, nil for the log of `to` blocks.
    ///   - start: the asker's length, when an upgrade is wanted.
    ///   - to: the length the upgrade reaches; `head` without an upgrade.
    ///   - head: the length of the log that answers.
    init(
        target: Target?, start: UInt64?, to: UInt64, head: UInt64,
        seekNode find: ((_ root: UInt64?) throws(ProofRefusal) -> UInt64)? = nil
    ) throws(ProofRefusal) {
        targetNode = target
        let from = start ?? 0
        guard from < to, to <= head else { throw .invalid("length of an upgrade") }
        let isUpgrading = start != nil
        var joins: UInt64?
        if let target, !isUpgrading || FlatTree.rightSpan(target.node) / 2 < from {
            let root = try Self.climb(target, head: to)
            seekNode = try find?(root)
            addPath(to: root)
        } else if isUpgrading, let find {
            guard target == nil else { throw .invalid("seek and block in an upgrade") }
            let node = try find(nil)
            seekNode = node
            joins = node
        } else {
            seekNode = nil
            joins = target?.node
        }
        if isUpgrading {
            upgrade = walk(from: from, to: to, joins: &joins)
            guard joins == nil else { throw .invalid("block outside of the upgrade") }
            if head > to {
                var nothing: UInt64?
                additional = walk(from: to, to: head, joins: &nothing)
            }
        }
    }

    private static func climb(_ target: Target, head: UInt64) throws(ProofRefusal) -> UInt64 {
        var node = target.node
        for _ in 0..<target.steps {
            node = FlatTree.parent(node)
            guard FlatTree.lengthSpanned(node) <= head else {
                throw .invalid("path out of the log")
            }
        }
        return node
    }

    /// Lists what leads from the target, or else from where the seek ends, up to `root`.
    private mutating func addPath(to root: UInt64) {
        guard let targetNode else {
            if let seekNode { seek = Self.path(from: seekNode, to: root) }
            return
        }
        var nodes: [UInt64] = targetNode.isBlock ? [] : [targetNode.node]
        var node = targetNode.node
        while node != root {
            let sibling = FlatTree.sibling(node)
            if seek == nil, let seekNode, seekNode != sibling,
                FlatTree.contains(sibling, seekNode)
            {
                seek = Self.path(from: seekNode, to: sibling)
            } else {
                nodes.append(sibling)
            }
            node = FlatTree.parent(node)
        }
        target = nodes
    }

    private static func path(from node: UInt64, to root: UInt64) -> [UInt64] {
        var nodes = [node]
        var node = node
        while node != root {
            nodes.append(FlatTree.sibling(node))
            node = FlatTree.parent(node)
        }
        return nodes
    }

    /// What leads from a log of `from` blocks to one of `to`.
    ///
    /// - Parameter joins: a node inside the new part. The one that would be listed above it gives
    ///   way to its path, and it becomes nil.
    private mutating func walk(from: UInt64, to: UInt64, joins: inout UInt64?) -> [UInt64] {
        var nodes: [UInt64] = []
        for root in FlatTree.fullRoots(length: to) {
            guard FlatTree.lengthSpanned(root) > from else { continue }
            if FlatTree.leftSpan(root) < 2 &* from {
                // The asker's last blocks lie under this root: complete it from there.
                let last = 2 &* from &- 2
                var node = last
                while node != root {
                    let sibling = FlatTree.sibling(node)
                    if sibling > last { list(sibling, in: &nodes, joins: &joins) }
                    node = FlatTree.parent(node)
                }
            } else {
                list(root, in: &nodes, joins: &joins)
            }
        }
        return nodes
    }

    private mutating func list(
        _ node: UInt64, in nodes: inout [UInt64], joins: inout UInt64?
    ) {
        if let inner = joins, FlatTree.contains(node, inner) {
            joins = nil
            addPath(to: node)
        } else {
            nodes.append(node)
        }
    }
}
