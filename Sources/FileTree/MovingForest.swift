/// Trees whose nodes move: whether one node is below another takes time logarithmic in their number, however deep
/// they lie, on average over the calls.
///
/// The link-cut trees of Sleator and Tarjan (1983) on their splay trees (1985). Each path that was last
/// walked is a splay tree ordered by depth; `above` of its topmost node leads to the path that it hangs from.
struct MovingForest {
    private struct Node {
        var above: Int32 = -1
        /// In the splay tree: what is nearer to the root, and what is farther.
        var lower: Int32 = -1
        var upper: Int32 = -1
    }

    private var nodes: [Node] = []

    var count: Int { nodes.count }

    /// - Returns: the number of a new node, the root of a tree of its own. At most 2^31 - 1 are meant.
    mutating func add() -> Int {
        nodes.append(Node())
        return nodes.count - 1
    }

    /// Hangs the root of one tree below a node of another.
    mutating func link(_ root: Int, below parent: Int) {
        expose(root)
        nodes[root].above = Int32(parent)
    }

    /// Takes a node away from what it hangs from, with all that is below it.
    mutating func cut(_ node: Int) {
        expose(node)
        let lower = nodes[node].lower
        guard lower >= 0 else { return }
        nodes[Int(lower)].above = -1
        nodes[node].lower = -1
    }

    /// Whether `node` is `ancestor` or somewhere below it.
    mutating func isInside(_ node: Int, _ ancestor: Int) -> Bool {
        guard node != ancestor else { return true }
        expose(node)
        return expose(ancestor) == ancestor && isLinked(node)
    }

    /// After its path was exposed, and then another one: whether they are of one tree.
    private func isLinked(_ node: Int) -> Bool { nodes[node].above >= 0 }

    /// Makes the path from the root to a node one splay tree, with the node at its top.
    ///
    /// - Returns: where it left the path exposed before, if that is of the same tree.
    @discardableResult
    private mutating func expose(_ node: Int) -> Int {
        var last = -1
        var current = node
        while current >= 0 {
            splay(current)
            nodes[current].upper = Int32(last)
            last = current
            current = Int(nodes[current].above)
        }
        splay(node)
        return last
    }

    private func isTop(_ node: Int) -> Bool {
        let above = Int(nodes[node].above)
        return above < 0 || nodes[above].lower != node && nodes[above].upper != node
    }

    private mutating func splay(_ node: Int) {
        while !isTop(node) {
            let above = Int(nodes[node].above)
            if !isTop(above) {
                let isStraight =
                    (nodes[above].lower == node)
                    == (nodes[Int(nodes[above].above)].lower == above)
                rotate(isStraight ? above : node)
            }
            rotate(node)
        }
    }

    private mutating func rotate(_ node: Int) {
        let above = Int(nodes[node].above)
        let top = nodes[above].above
        if top >= 0 {
            if nodes[Int(top)].lower == above {
                nodes[Int(top)].lower = Int32(node)
            } else if nodes[Int(top)].upper == above {
                nodes[Int(top)].upper = Int32(node)
            }
        }
        let middle: Int32
        if nodes[above].lower == node {
            middle = nodes[node].upper
            nodes[node].upper = Int32(above)
            nodes[above].lower = middle
        } else {
            middle = nodes[node].lower
            nodes[node].lower = Int32(above)
            nodes[above].upper = middle
        }
        if middle >= 0 { nodes[Int(middle)].above = Int32(above) }
        nodes[above].above = Int32(node)
        nodes[node].above = top
    }
}
