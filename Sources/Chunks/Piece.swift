/// One stretch of a file: a chunk's bytes, zeros, or what a list chunk describes.
package enum Piece: Hashable, Sendable {
    /// The chunk's plaintext, all of it.
    case chunk(ChunkReference)
    /// So many zero bytes that nobody stores.
    case hole(UInt64)
    /// A chunk that holds a list of pieces which together make `size` bytes of the file; whether
    /// there are holes among them, at any depth.
    case list(ChunkReference, size: UInt64, hasHoles: Bool)

    /// How many bytes of the file this is.
    package var size: UInt64 {
        switch self {
        case .chunk(let reference): UInt64(reference.length)
        case .hole(let size), .list(_, let size, _): size
        }
    }

    /// The chunk named here, whatever it holds; nil for a hole.
    package var reference: ChunkReference? {
        switch self {
        case .chunk(let reference), .list(let reference, _, _): reference
        case .hole: nil
        }
    }

    package var hasHoles: Bool {
        switch self {
        case .chunk: false
        case .hole: true
        case .list(_, _, let hasHoles): hasHoles
        }
    }
}
