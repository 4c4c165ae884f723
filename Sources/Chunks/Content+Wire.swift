package import Wire

/// The encoded forms; varints are those of `Wire`.
///
///     content   tag 1 = 0 inline | length varint | bytes
///               tag 1 = 1 pieces | list
///               tag 1 = 2 tree   | depth 1 | size varint | list
///
///     list      count varint | piece...
///
///     piece     tag 1 = 0 chunk            | length varint | address 32 | key 32
///               tag 1 = 1 hole             | size varint
///               tag 1 = 2 list             | size varint | length varint | address 32 | key 32
///               tag 1 = 3 list with holes  | as tag 2
///
///     list chunk (its plaintext)   version 1 = 1 | level 1 | list
///
/// A list of level 0 has chunks and holes, one of a higher level has lists of the level below. The
/// list in a tree's root has the level `depth`.
extension Content {
    package func encode() -> [UInt8] {
        var writer = WireWriter()
        switch self {
        case .inline(let bytes):
            writer.writeUInt8(0)
            writer.writeBuffer(bytes)
        case .pieces(let pieces):
            writer.writeUInt8(1)
            writer.writePieces(pieces)
        case .tree(let depth, let root, let size):
            writer.writeUInt8(2)
            writer.writeUInt8(depth)
            writer.writeUInt(size)
            writer.writePieces(root)
        }
        return writer.bytes
    }

    /// - Throws: for anything but one whole content that keeps the limits.
    package init(decoding bytes: [UInt8]) throws(WireError) { try self.init(decoding: bytes.span) }

    package init(decoding bytes: Span<UInt8>) throws(WireError) {
        var reader = WireReader(bytes)
        switch try reader.readUInt8() {
        case 0:
            self = try .inline(reader.readBuffer(max: ChunkLimits.inlineSizeMax))
        case 1:
            self = try .pieces(
                reader.readPieces(level: 0, countMax: ChunkLimits.rootPiecesMax).pieces)
        case 2:
            let depth = try reader.readUInt8()
            guard depth >= 1, depth <= ChunkLimits.treeDepthMax else {
                throw .invalid("depth of a content tree")
            }
            let size = try reader.readUInt(max: ChunkLimits.fileSizeMax)
            let root = try reader.readPieces(
                level: Int(depth), countMax: ChunkLimits.rootPiecesMax)
            guard root.size == size else { throw .invalid("size of a content tree") }
            self = .tree(depth: depth, root: root.pieces, size: size)
        default:
            throw .invalid("kind of content")
        }
        guard reader.isAtEnd else { throw .invalid("bytes after a content") }
    }
}

/// The plaintext of list chunks.
enum ListChunk {
    private static let version: UInt8 = 1

    static func encode(_ pieces: [Piece], level: Int) -> [UInt8] {
        var writer = WireWriter(reserving: 16 + pieces.count * 72)
        writer.writeUInt8(version)
        writer.writeUInt8(UInt8(level))
        writer.writePieces(pieces)
        return writer.bytes
    }

    /// The pieces, without what the list above says of them.
    static func listedPieces(_ bytes: Span<UInt8>) throws(WireError) -> [Piece] {
        var reader = WireReader(bytes)
        guard try reader.readUInt8() == version else { throw .invalid("version of a list chunk") }
        let level = try Int(reader.readUInt8())
        guard level < ChunkLimits.treeDepthMax else { throw .invalid("level of a list chunk") }
        return try reader.readPieces(level: level, countMax: ChunkLimits.listPiecesMax).pieces
    }

    /// - Parameter piece: what the list above says of this one.
    static func decode(_ bytes: Span<UInt8>, level: Int, piece: Piece) throws(WireError) -> [Piece]
    {
        var reader = WireReader(bytes)
        guard try reader.readUInt8() == version else { throw .invalid("version of a list chunk") }
        guard try Int(reader.readUInt8()) == level else { throw .invalid("level of a list chunk") }
        let list = try reader.readPieces(level: level, countMax: ChunkLimits.listPiecesMax)
        guard reader.isAtEnd, list.size == piece.size,
            list.pieces.contains(where: \.hasHoles) == piece.hasHoles
        else { throw .invalid("list chunk") }
        return list.pieces
    }
}

extension WireWriter {
    fileprivate mutating func writePieces(_ pieces: [Piece]) {
        writeUInt(pieces.count)
        for piece in pieces { writePiece(piece) }
    }

    private mutating func writePiece(_ piece: Piece) {
        switch piece {
        case .chunk(let reference):
            writeUInt8(0)
            writeReference(reference)
        case .hole(let size):
            writeUInt8(1)
            writeUInt(size)
        case .list(let reference, let size, let hasHoles):
            writeUInt8(hasHoles ? 3 : 2)
            writeUInt(size)
            writeReference(reference)
        }
    }

    private mutating func writeReference(_ reference: ChunkReference) {
        writeUInt(UInt64(reference.length))
        writeBytes32(reference.address)
        writeBytes32(reference.key)
    }
}

extension WireReader {
    /// Reads a list and checks that its pieces are of the right kind and of believable sizes.
    fileprivate mutating func readPieces(level: Int, countMax: Int) throws(WireError)
        -> (pieces: [Piece], size: UInt64)
    {
        let count = try readCount(max: countMax, minimumElementSize: 2)
        var pieces: [Piece] = []
        pieces.reserveCapacity(count)
        var size: UInt64 = 0
        for _ in 0..<count {
            let piece = try readPiece(level: level)
            // Both are at most 2^53 - 1.
            size &+= piece.size
            guard size <= ChunkLimits.fileSizeMax else {
                throw .tooLarge(size, limit: ChunkLimits.fileSizeMax)
            }
            pieces.append(piece)
        }
        guard size >= UInt64(max(count, 1) - 1) * ChunkLimits.pieceSizeMeanMin else {
            throw .invalid("list of very small pieces")
        }
        return (pieces, size)
    }

    private mutating func readPiece(level: Int) throws(WireError) -> Piece {
        let tag = try readUInt8()
        switch tag {
        case 0 where level == 0:
            return try .chunk(readReference())
        case 1 where level == 0:
            let size = try readUInt(max: ChunkLimits.fileSizeMax)
            guard size > 0 else { throw .invalid("empty hole") }
            return .hole(size)
        case 2 where level > 0, 3 where level > 0:
            let size = try readUInt(max: ChunkLimits.fileSizeMax)
            guard size > 0 else { throw .invalid("empty list") }
            return try .list(readReference(), size: size, hasHoles: tag == 3)
        default:
            throw .invalid("kind of piece")
        }
    }

    private mutating func readReference() throws(WireError) -> ChunkReference {
        let length = try readUInt(max: UInt64(ChunkLimits.chunkSizeMax))
        guard length > 0 else { throw .invalid("empty chunk") }
        return try ChunkReference(
            address: readBytes32(), key: readBytes32(), length: UInt32(truncatingIfNeeded: length))
    }
}
