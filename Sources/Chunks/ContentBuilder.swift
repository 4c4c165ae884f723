import Base

/// Cuts files into chunks and appends those that are new to a chunk storage.
///
/// The result is a function of the bytes and the keys alone: `rebuild` gives what `build` would. A
/// builder keeps about 3 MiB of buffers from file to file; a file is never held whole.
package struct ContentBuilder {
    private let storage: any ChunkStorage
    private let table: GearTable
    private var sink: ChunkSink
    private var window: [UInt8] = []

    package init(keys: ContentKeys, storage: any ChunkStorage) {
        self.storage = storage
        table = GearTable(key: keys.boundaryKey)
        sink = ChunkSink(keys, storage)
    }

    /// What the last content cost.
    package var statistics: BuildStatistics { sink.statistics }

    /// Of what the next content takes from these ranges of its source, chunks that are new to the storage
    /// are not appended but told by `takeInPlace`: whoever calls has a file with those bytes, at their own
    /// offsets, and lets the storage adopt it.
    ///
    /// - Parameter ranges: ascending, apart.
    package mutating func leaveInPlace(_ ranges: [Range<UInt64>]) {
        sink.inPlace = InPlaceChunks(ranges)
    }

    /// The chunks that the last content needs and the storage has not.
    package mutating func takeInPlace() -> [InPlaceChunk] {
        defer { sink.inPlace = InPlaceChunks() }
        return sink.inPlace.chunks
    }

    /// Reads all of `source`.
    ///
    /// - Throws: `storage(.corrupt)` for a source above `ChunkLimits.fileSizeMax`, and what source and
    ///   storage throw.
    package mutating func build(from source: some ContentSource) throws(ContentError) -> Content {
        try make(from: source, base: nil)
    }

    /// Reads only around what changed since `base`.
    ///
    /// - Parameter dirty: every range in which `source` may differ from `base`; in any order. A
    ///   difference in size need not be named.
    package mutating func rebuild(
        base: Content, dirty: [Range<UInt64>], from source: some ContentSource
    ) throws(ContentError) -> Content {
        if case .inline = base { return try make(from: source, base: nil) }
        let reader = ContentReader(base, storage: storage)
        var changes = dirty
        if reader.size != source.size {
            changes.append(min(reader.size, source.size)..<UInt64.max)
        }
        return try make(
            from: source, base: BaseContent(reader: reader, changes: Self.merged(changes)))
    }

    /// What a rebuild knows of the past.
    private struct BaseContent {
        let reader: ContentReader
        /// Ascending, apart from each other, none empty.
        let changes: [Range<UInt64>]
        /// The first change that does not lie wholly before the current offset.
        var next = 0
        var copied = 0

        mutating func pass(_ offset: UInt64) {
            while next < changes.count, changes[next].upperBound <= offset { next += 1 }
        }

        /// Where the next change begins: at or before the current offset if that lies in it.
        var nextChange: UInt64? { next < changes.count ? changes[next].lowerBound : nil }

        func isUnchanged(to end: UInt64, lookahead: UInt64) -> Bool {
            guard let nextChange else { return true }
            return end + lookahead <= nextChange
        }
    }

    private static func merged(_ ranges: [Range<UInt64>]) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let last = result.last, range.lowerBound <= last.upperBound {
                result[result.count - 1] =
                    last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }

    private mutating func make<Source: ContentSource>(
        from source: Source, base earlier: BaseContent?
    )
        throws(ContentError) -> Content
    {
        sink.resetStatistics()
        let size = source.size
        guard size <= ChunkLimits.fileSizeMax else {
            throw .storage(.corrupt(what: "a file of \(size) bytes is too large to share"))
        }
        if size <= UInt64(ChunkLimits.inlineSizeMax) {
            return try .inline(readAll(source, count: Int(size)))
        }
        var base = earlier
        var writer = ListWriter()
        var cutter = Cutter(source, table: table, window: window)
        window = []
        while cutter.offset < size {
            if try keep(&base, &cutter, &writer) { continue }
            try cut(&cutter, base, &writer)
        }
        window = cutter.window
        return try writer.finish(into: &sink)
    }

    /// Takes over the largest piece of the base that begins here and that no change can affect.
    ///
    /// - Returns: false if there is none.
    private mutating func keep<Source: ContentSource>(
        _ base: inout BaseContent?, _ cutter: inout Cutter<Source>, _ writer: inout ListWriter
    ) throws(ContentError) -> Bool {
        let offset = cutter.offset
        base?.pass(offset)
        guard let known = base, known.isUnchanged(to: offset + 1, lookahead: 0) else {
            return false
        }
        let lookahead = Cutter<Source>.lookahead
        let found = try known.reader.piece(at: offset) { [writer] piece, level in
            known.isUnchanged(to: offset + piece.size, lookahead: lookahead)
                && writer.isBetweenLists(below: level)
        }
        guard let found,
            known.isUnchanged(to: offset + found.piece.size, lookahead: lookahead)
        else { return false }
        base?.copied += 1
        guard known.copied < ChunkLimits.copiedPiecesMax else {
            throw .storage(.corrupt(what: "a file is cut into too many pieces: copy it anew"))
        }
        try writer.append(found.piece, level: found.level, into: &sink)
        cutter.seek(to: offset + found.piece.size)
        return true
    }

    /// Cuts the next piece off the source.
    private mutating func cut<Source: ContentSource>(
        _ cutter: inout Cutter<Source>, _ base: BaseContent?, _ writer: inout ListWriter
    ) throws(ContentError) {
        let offset = cutter.offset
        switch try cutter.next() {
        case .none: return
        case .hole(let size): try writer.append(.hole(size), into: &sink)
        case .data(let length):
            if let old = try base.flatMap({ (base) throws(ContentError) in
                try Self.sameChunk(offset, length, base)
            }) {
                try writer.append(old, into: &sink)
            } else {
                let reference = try cutter.put(length, into: &sink)
                try writer.append(.chunk(reference), into: &sink)
            }
            cutter.advance(length)
        }
    }

    /// The base's chunk of the same unchanged bytes: no need to hash them again.
    private static func sameChunk(_ offset: UInt64, _ length: Int, _ base: BaseContent)
        throws(ContentError) -> Piece?
    {
        guard base.isUnchanged(to: offset + UInt64(length), lookahead: 0),
            let found = try base.reader.piece(at: offset, accepting: { _, _ in false }),
            case .chunk(let reference) = found.piece, Int(reference.length) == length
        else { return nil }
        return found.piece
    }

    private func readAll(_ source: some ContentSource, count size: Int) throws(ContentError)
        -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0, count: size)
        var filled = 0
        while filled < bytes.count {
            let from = filled
            var span = bytes.mutableSpan
            // The part lies in bounds and is used only during the call.
            let count = unsafe try span.withUnsafeMutableBytes {
                (buffer) throws(ContentError) -> Int in
                try unsafe source.read(
                    at: UInt64(from), into: UnsafeMutableRawBufferPointer(rebasing: buffer[from...])
                )
            }
            guard count > 0, count <= size - from else {
                throw .storage(.corrupt(what: "a file that was being cut ended before its size"))
            }
            filled += count
        }
        return bytes
    }
}
