package import Base

/// One node of a log's Merkle tree, leaf or parent.
///
/// Numbered as in a flat tree: block `i` is leaf `2 * i`, odd indexes are parents.
package struct TreeNode: Hashable, Sendable {
    package var index: UInt64
    /// The stored bytes of all blocks below the node.
    package var size: UInt64
    package var hash: Bytes32

    package init(index: UInt64, size: UInt64, hash: Bytes32) {
        self.index = index
        self.size = size
        self.hash = hash
    }
}
