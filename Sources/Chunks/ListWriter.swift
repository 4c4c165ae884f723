import Base

/// Turns a sequence of pieces into a content, cutting what is too long for a root into list chunks.
///
/// A list ends behind a piece whose address ends in a zero byte (one in 256), once it has
/// `ChunkLimits.listPiecesMin` pieces, and at `listPiecesMax`. The lists' own references are cut the
/// same way, level by level, until a list fits in a root. So equal files have equal trees, and an edit
/// changes one list of each level.
struct ListWriter {
    /// For each level, the pieces since the last cut.
    private var pending: [[Piece]] = [[]]
    /// Bytes of the file so far.
    private var size: UInt64 = 0

    /// Whether a piece of `level` may be appended: nothing waits to be cut below.
    func isBetweenLists(below level: Int) -> Bool {
        for lower in 0..<min(level, pending.count) where !pending[lower].isEmpty { return false }
        return true
    }

    /// - Parameter level: 0 for chunks and holes; else the piece is a list of a base that had the
    ///   same boundary here, and `isBetweenLists(below: level)` holds.
    mutating func append(_ piece: Piece, level: Int = 0, into sink: inout ChunkSink)
        throws(ContentError)
    {
        size += piece.size
        try add(piece, level: level, into: &sink)
    }

    mutating func finish(into sink: inout ChunkSink) throws(ContentError) -> Content {
        var level = 0
        while level < pending.count - 1 || pending[level].count > ChunkLimits.rootPiecesMax {
            if !pending[level].isEmpty { try cut(level, into: &sink) }
            level += 1
        }
        guard level > 0 else { return .pieces(pending[0]) }
        guard level <= ChunkLimits.treeDepthMax else {
            throw .storage(.corrupt(what: "a file's lists are deeper than \(level) levels"))
        }
        return .tree(depth: UInt8(level), root: pending[level], size: size)
    }

    private mutating func add(_ piece: Piece, level: Int, into sink: inout ChunkSink)
        throws(ContentError)
    {
        while pending.count <= level { pending.append([]) }
        pending[level].append(piece)
        let count = pending[level].count
        let mayEnd = count >= ChunkLimits.listPiecesMin && piece.reference?.address[31] == 0
        if mayEnd || count == ChunkLimits.listPiecesMax { try cut(level, into: &sink) }
    }

    /// Stores the pieces that wait at `level` as a list chunk and hands its reference up.
    private mutating func cut(_ level: Int, into sink: inout ChunkSink) throws(ContentError) {
        let pieces = pending[level]
        pending[level].removeAll(keepingCapacity: true)
        let bytes = ListChunk.encode(pieces, level: level)
        let reference: ChunkReference
        do {
            reference = try sink.put(bytes.span)
        } catch {
            throw .storage(error)
        }
        let list = Piece.list(
            reference, size: pieces.reduce(0) { $0 + $1.size },
            hasHoles: pieces.contains(where: \.hasHoles))
        try add(list, level: level + 1, into: &sink)
    }
}
