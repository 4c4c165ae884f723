package import Base
internal import Wire

extension Content {
    /// The top of what the content consists of; what lists among them stand for is one level down.
    package var pieces: [Piece] {
        switch self {
        case .inline: []
        case .pieces(let pieces): pieces
        case .tree(_, let root, _): root
        }
    }
}

extension ChunkStorage {
    /// What a list chunk lists, one level down; for fetching a tree from its top as it arrives.
    ///
    /// - Returns: nil if the chunk is not here, or is not a list: then nobody can read what it
    ///   stands for, and there is nothing to fetch.
    package func pieces(listedIn list: ChunkReference) throws(StorageError) -> [Piece]? {
        var bytes: [UInt8] = []
        guard try readAll(list, into: &bytes) else { return nil }
        return try? ListChunk.listedPieces(bytes.span)
    }
}
