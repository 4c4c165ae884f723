/// The bytes of one version of a file, by value or by reference.
package enum Content: Hashable, Sendable {
    /// A small file's bytes: at most `ChunkLimits.inlineSizeMax`.
    case inline([UInt8])
    /// Chunks and holes, in order: at most `ChunkLimits.rootPiecesMax`.
    case pieces([Piece])
    /// Lists in order, `depth` levels of list chunks above the leaves (at least one).
    case tree(depth: UInt8, root: [Piece], size: UInt64)

    /// The empty file.
    package static let empty = Content.inline([])

    /// In bytes.
    package var size: UInt64 {
        switch self {
        case .inline(let bytes): UInt64(bytes.count)
        case .pieces(let pieces): pieces.reduce(0) { $0 &+ $1.size }
        case .tree(_, _, let size): size
        }
    }
}
