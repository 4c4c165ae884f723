/// The numbering of a binary tree laid out flat: leaves are even, parents odd.
///
/// Node `n` has as many trailing 1 bits as it is high. Pure arithmetic on indexes below 2^54;
/// beyond that the results mean nothing, but nothing traps.
enum FlatTree {
    /// The height above the leaves.
    static func depth(_ node: UInt64) -> UInt64 {
        UInt64(truncatingIfNeeded: (~node).trailingZeroBitCount)
    }

    /// How many nodes of the same depth stand to the left.
    static func offset(_ node: UInt64) -> UInt64 { node &>> (depth(node) &+ 1) }

    static func index(depth: UInt64, offset: UInt64) -> UInt64 {
        ((offset &<< 1 | 1) &<< depth) &- 1
    }

    static func sibling(_ node: UInt64) -> UInt64 { node ^ (2 &<< depth(node)) }

    static func parent(_ node: UInt64) -> UInt64 {
        index(depth: depth(node) &+ 1, offset: offset(node) &>> 1)
    }

    /// - Precondition: `node` is odd.
    static func leftChild(_ node: UInt64) -> UInt64 { node &- (1 &<< (depth(node) &- 1)) }

    /// - Precondition: `node` is odd.
    static func rightChild(_ node: UInt64) -> UInt64 { node &+ (1 &<< (depth(node) &- 1)) }

    /// The leftmost leaf below `node`.
    static func leftSpan(_ node: UInt64) -> UInt64 { offset(node) &<< (depth(node) &+ 1) }

    /// The rightmost leaf below `node`.
    static func rightSpan(_ node: UInt64) -> UInt64 {
        ((offset(node) &+ 1) &<< (depth(node) &+ 1)) &- 2
    }

    /// The length of the shortest log in which all of `node` lies.
    static func lengthSpanned(_ node: UInt64) -> UInt64 { rightSpan(node) / 2 &+ 1 }

    static func contains(_ node: UInt64, _ other: UInt64) -> Bool {
        leftSpan(node) <= other && other <= rightSpan(node)
    }

    static func leafCount(_ node: UInt64) -> UInt64 { 1 &<< depth(node) }

    /// The maximal complete subtrees of a log of `length` blocks, left to right.
    static func fullRoots(length: UInt64) -> [UInt64] {
        var roots: [UInt64] = []
        roots.reserveCapacity(length.nonzeroBitCount)
        var first: UInt64 = 0
        var rest = length
        while rest > 0 {
            let size: UInt64 = 1 &<< UInt64(63 &- rest.leadingZeroBitCount)
            roots.append(first &+ size &- 1)
            first &+= 2 &* size
            rest &-= size
        }
        return roots
    }
}
