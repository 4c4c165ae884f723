internal import Base
internal import Crypto

/// The hashes of the Merkle tree: BLAKE2b-256 with a byte in front that says what is hashed.
enum TreeHash {
    private enum Kind: UInt8 { case leaf, parent, tree }

    /// The leaf of a block: `00 || size || stored bytes`.
    static func leaf(block index: UInt64, bytes: [UInt8]) -> TreeNode {
        var hasher = hasher(.leaf, size: UInt64(bytes.count))
        hasher.update(bytes)
        return TreeNode(
            index: 2 &* index, size: UInt64(bytes.count), hash: hasher.finalize())
    }

    /// The parent of two siblings in either order: `01 || sum of sizes || left || right`.
    ///
    /// - Returns: nil when the sizes add up to more than `Limits.byteLengthMax`.
    static func parent(_ node: TreeNode, _ sibling: TreeNode) -> TreeNode? {
        let (size, overflow) = node.size.addingReportingOverflow(sibling.size)
        guard !overflow, size <= Limits.byteLengthMax else { return nil }
        let nodeIsLeft = node.index < sibling.index
        var hasher = hasher(.parent, size: size)
        hasher.update(nodeIsLeft ? node.hash : sibling.hash)
        hasher.update(nodeIsLeft ? sibling.hash : node.hash)
        return TreeNode(
            index: FlatTree.parent(node.index), size: size, hash: hasher.finalize())
    }

    /// What gets signed: `02`, then hash, index and size of each full root, left to right.
    static func tree(_ roots: [TreeNode]) -> Bytes32 {
        var hasher = Blake2bHasher()
        hasher.update(InlineArray<1, UInt8>(repeating: Kind.tree.rawValue).span)
        for root in roots {
            hasher.update(root.hash)
            hasher.update(littleEndian(root.index).span)
            hasher.update(littleEndian(root.size).span)
        }
        return hasher.finalize()
    }

    private static func hasher(_ kind: Kind, size: UInt64) -> Blake2bHasher {
        var prefix = InlineArray<9, UInt8>(repeating: kind.rawValue)
        for index in 0..<8 {
            prefix[index &+ 1] = UInt8(truncatingIfNeeded: size &>> UInt64(8 &* index))
        }
        var hasher = Blake2bHasher()
        hasher.update(prefix.span)
        return hasher
    }

    private static func littleEndian(_ value: UInt64) -> InlineArray<8, UInt8> {
        var bytes = InlineArray<8, UInt8>(repeating: 0)
        for index in 0..<8 {
            bytes[index] = UInt8(truncatingIfNeeded: value &>> UInt64(8 &* index))
        }
        return bytes
    }
}

/// Hypercore's constants that keep the uses of one hash apart.
enum LogNamespace {
    static let tree = namespace("hypercore", 0)
    static let replicateInitiator = namespace("hypercore", 1)
    static let replicateResponder = namespace("hypercore", 2)
    static let manifest = namespace("hypercore", 3)
    static let defaultSigner = namespace("hypercore", 4)
    static let defaultEncryption = namespace("hypercore", 5)
}
