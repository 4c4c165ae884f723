package import Base

/// Reads a file's content from the chunks on this device. Safe to use from any thread.
///
/// Lists of large files are loaded when they are needed, and the last few kept.
package final class ContentReader: Sendable {
    package enum Outcome: Equatable, Sendable {
        /// So many bytes are at the front of the buffer; fewer than it holds only at the end of file.
        case bytes(Int)
        /// Nothing usable was copied: these chunks are not here (the first few, in file order).
        case missing([ChunkReference])
    }

    package enum Position: Equatable, Sendable {
        case offset(UInt64)
        /// There is none at or after the offset (ENXIO).
        case none
        /// The list chunk that would tell is not here.
        case missing(ChunkReference)
    }

    package let content: Content
    package let size: UInt64
    let storage: any ChunkStorage
    private let root: PieceList
    private let depth: Int
    private let lists: ListCache

    package init(_ content: Content, storage: any ChunkStorage) {
        self.content = content
        self.storage = storage
        lists = ListCache(storage)
        switch content {
        case .inline(let bytes):
            (root, depth, size) = (PieceList([]), 0, UInt64(bytes.count))
        case .pieces(let pieces):
            (root, depth) = (PieceList(pieces), 0)
            size = root.size
        case .tree(let levels, let pieces, _):
            (root, depth) = (PieceList(pieces), Int(levels))
            size = root.size
        }
    }

    /// Copies bytes from `offset` on.
    ///
    /// - Throws: `corrupt` when stored chunks or lists are not what they should be.
    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> Outcome
    {
        guard offset < size else { return .bytes(0) }
        let count = Int(min(UInt64(buffer.count), size - offset))
        // At most the buffer's count, by the line above.
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        if case .inline(let bytes) = content {
            // `offset` and `offset + count` are at most the size, which is the number of bytes.
            unsafe target.copyBytes(from: bytes[Int(offset)..<Int(offset) + count])
            return .bytes(count)
        }
        var missing: [ChunkReference] = []
        let range = offset..<offset + UInt64(count)
        try walk(range) { (piece, start, isHere) throws(StorageError) in
            let from = max(start, range.lowerBound)
            let to = min(start + piece.size, range.upperBound)
            let place = Int(from - offset)..<Int(to - offset)
            // Both ends lie within the range, so the place lies within the target.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: target[place])
            if let absent = unsafe try self.copy(
                piece, from: Int(from - start), into: part, isHere: isHere,
                lookOnly: !missing.isEmpty)
            {
                missing.append(absent)
            }
            return missing.count < ChunkLimits.missingReportedMax
        }
        return missing.isEmpty ? .bytes(count) : .missing(missing)
    }

    /// - Returns: the chunk that is not here; nil when the part has been filled.
    private func copy(
        _ piece: Piece, from offset: Int, into part: UnsafeMutableRawBufferPointer, isHere: Bool,
        lookOnly: Bool
    ) throws(StorageError) -> ChunkReference? {
        switch piece {
        case .hole:
            // The part is the caller's, whole.
            unsafe part.initializeMemory(as: UInt8.self, repeating: 0)
            return nil
        case .list(let reference, _, _):
            return isHere ? nil : reference
        case .chunk(let reference):
            if lookOnly { return storage.contains(reference.address) ? nil : reference }
            // The part is the caller's and is used only during the call.
            guard let count = unsafe try storage.read(reference.address, at: offset, into: part)
            else { return reference }
            guard count == part.count else {
                throw .corrupt(what: "chunk \(reference.address) is shorter than its file says")
            }
            return nil
        }
    }

    /// SEEK_DATA: the first byte at or after `offset` that is not in a hole.
    package func seekData(from offset: UInt64) throws(StorageError) -> Position {
        guard offset < size else { return .none }
        if case .inline = content { return .offset(offset) }
        var position = Position.none
        var once = Once(offset..<size)
        try walk(offset..<size, entering: { once.enters($0, at: $1) }) { (piece, start, isHere) in
            switch piece {
            case .hole: return true
            case .chunk: position = .offset(max(start, offset))
            case .list(let reference, _, _): position = .missing(reference)
            }
            return false
        }
        return position
    }

    /// SEEK_HOLE: the first byte at or after `offset` that is in a hole, or the end of the file.
    package func seekHole(from offset: UInt64) throws(StorageError) -> Position {
        guard offset < size else { return .none }
        var position = Position.offset(size)
        try walk(offset..<size, entering: { list, _ in list.hasHoles }) { (piece, start, isHere) in
            switch piece {
            case .chunk: return true
            case .hole: position = .offset(max(start, offset))
            case .list(let reference, _, _): position = .missing(reference)
            }
            return false
        }
        return position
    }

    /// Which chunks of `range` are not here: at most `limit`, in file order, each once. A missing
    /// list chunk stands for all it would name.
    package func missing(in range: Range<UInt64>, limit: Int = ChunkLimits.missingReportedMax)
        throws(StorageError) -> [ChunkReference]
    {
        var missing: [ChunkReference] = []
        var reported: Set<Bytes32> = []
        guard limit > 0 else { return missing }
        let range = range.clamped(to: 0..<size)
        var once = Once(range)
        try walk(range, entering: { once.enters($0, at: $1) }) { (piece, _, isHere) in
            switch piece {
            case .hole: return true
            case .list(let reference, _, _), .chunk(let reference):
                let isMissing = piece.isList ? !isHere : !self.storage.contains(reference.address)
                if isMissing, reported.insert(reference.address).inserted {
                    missing.append(reference)
                }
                return missing.count < limit
            }
        }
        return missing
    }

    /// What there is of `range`, in file order: where its bytes lie, for those who read by
    /// themselves. Parts that are not here, or lie in a list that is not, are left out.
    package func forEachPart(
        of range: Range<UInt64>,
        _ body: (_ piece: Piece, _ offset: UInt64) throws(StorageError) -> Bool
    ) throws(StorageError) {
        try walk(range.clamped(to: 0..<size)) { (piece, start, _) throws(StorageError) in
            if piece.isList { return true }
            return try body(piece, start)
        }
    }

    // MARK: Walking the tree

    /// Keeps a walk from entering a list again that it has gone through from end to end: a hostile
    /// tree can name one list more often than anybody can count.
    private struct Once {
        private let range: Range<UInt64>
        private var seen: Set<Bytes32> = []

        init(_ range: Range<UInt64>) { self.range = range }

        mutating func enters(_ list: Piece, at start: UInt64) -> Bool {
            guard let address = list.reference?.address, range.lowerBound <= start,
                start + list.size <= range.upperBound
            else { return true }
            return seen.insert(address).inserted
        }
    }

    /// Called with a piece of level 0, or with a list whose chunk is not here (`isHere` false), and
    /// the offset in the file at which it begins. Returns whether to go on.
    private typealias Visit =
        (_ piece: Piece, _ start: UInt64, _ isHere: Bool) throws(StorageError) -> Bool

    /// Visits what overlaps `range`, in order, entering only the lists that `entering` accepts.
    private func walk(
        _ range: Range<UInt64>,
        entering: (_ list: Piece, _ start: UInt64) -> Bool = { _, _ in true }, _ visit: Visit
    ) throws(StorageError) {
        _ = try walk(root, level: depth, start: 0, range, entering, visit)
    }

    private func walk(
        _ list: PieceList, level: Int, start: UInt64, _ range: Range<UInt64>,
        _ entering: (Piece, UInt64) -> Bool, _ visit: Visit
    ) throws(StorageError) -> Bool {
        let from = max(range.lowerBound, start)
        var index = list.index(containing: from - start)
        while index < list.pieces.count {
            let piece = list.pieces[index]
            let pieceStart = start + list.start(of: index)
            guard pieceStart < range.upperBound else { break }
            index += 1
            if level > 0 {
                guard entering(piece, pieceStart) else { continue }
                if let below = try lists.list(piece, level: level - 1) {
                    let goesOn = try walk(
                        below, level: level - 1, start: pieceStart, range, entering, visit)
                    if !goesOn { return false }
                    continue
                }
            }
            guard try visit(piece, pieceStart, level == 0) else { return false }
        }
        return true
    }

    // MARK: For rebuilding

    /// A piece of some level that begins at an offset.
    struct Found {
        let piece: Piece
        /// Of the list it is in: 0 for chunks and holes.
        let level: Int
    }

    /// The largest piece that begins at `offset` and that `accepting` takes; else the chunk or hole
    /// that begins there; nil if none does.
    func piece(at offset: UInt64, accepting: (Piece, _ level: Int) -> Bool)
        throws(ContentError) -> Found?
    {
        guard offset < size else { return nil }
        var list = root
        var level = depth
        var start: UInt64 = 0
        while true {
            let index = list.index(containing: offset - start)
            guard index < list.pieces.count else { return nil }
            let piece = list.pieces[index]
            start += list.start(of: index)
            if level == 0 { return start == offset ? Found(piece: piece, level: 0) : nil }
            if start == offset, accepting(piece, level) { return Found(piece: piece, level: level) }
            level -= 1
            let here = level
            let below = try ContentError.wrapping { () throws(StorageError) in
                try lists.list(piece, level: here)
            }
            guard let below else { throw .missing(piece.reference.map { [$0] } ?? []) }
            list = below
        }
    }
}

extension Piece {
    var isList: Bool {
        if case .list = self { true } else { false }
    }
}
