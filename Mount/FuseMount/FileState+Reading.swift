internal import Base
internal import Chunks
internal import Share

/// The bytes shown: what was written, and the version below.
extension FileState {
    enum ReadOutcome {
        case bytes(Int)
        case missing([ChunkReference])
    }

    var size: UInt64 { access { $0.overlay.size } }

    /// What the kernel thinks the size is; no size at all if that is not known.
    var kernelSize: UInt64 { access { $0.isKernelSizeWrong ? .max : $0.overlay.size } }

    /// Bytes that a program wrote could not be taken: the kernel has counted them in.
    func noteLoss() { access { $0.isKernelSizeWrong = true } }

    /// Reads what is shown; short only at the end of the file.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> ReadOutcome
    {
        var gaps: [Range<UInt64>] = []
        let (count, reader) = try access {
            (state) throws(StorageError) -> (Int, ContentReader?) in
            let size = state.overlay.size
            guard offset < size else { return (0, nil) }
            let count = Int(min(UInt64(buffer.count), size - offset))
            // `count` is at most the buffer's size.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try unsafe state.overlay.read(
                offset..<offset + UInt64(count), into: part, gaps: &gaps)
            return (count, state.reader)
        }
        guard let reader else { return .bytes(count) }
        if let missing = try unsafe reader.fill(gaps, of: buffer, from: offset) {
            return .missing(missing)
        }
        return .bytes(count)
    }

    /// Where the bytes of a read stand in packs.
    ///
    /// - Returns: nil if they must be read: some are staged, or elsewhere, or there are few.
    func stored(at offset: UInt64, count: Int) throws(StorageError) -> [StoredRange]? {
        guard count >= MountLimits.splicedBytesMin else { return nil }
        let found: (Range<UInt64>, ContentReader)? = access { state in
            guard let reader = state.reader, offset < state.overlay.size else { return nil }
            let end = min(offset + UInt64(count), state.overlay.size)
            guard end <= reader.size, state.overlay.isBase(offset..<end) else { return nil }
            return (offset..<end, reader)
        }
        guard let (range, reader) = found, range.count >= MountLimits.splicedBytesMin else {
            return nil
        }
        return try reader.stored(range, limit: MountLimits.spliceRangesMax)
    }

    /// Where data (or a hole) begins at or after `offset`, as SEEK_DATA and SEEK_HOLE want it.
    func seek(data wanted: Bool, from offset: UInt64) throws(StorageError)
        -> ContentReader.Position
    {
        var position = offset
        while true {
            let (stretch, size, reader) = access { state in
                let size = state.overlay.size
                return (
                    position < size ? state.overlay.stretch(at: position) : nil, size, state.reader
                )
            }
            guard let stretch, let reader else {
                // The end of the file is a hole, but only if the search began before it.
                return wanted || offset >= size ? .none : .offset(size)
            }
            switch stretch {
            case .data: if wanted { return .offset(position) }
            case .zeros: if !wanted { return .offset(position) }
            case .base(let until):
                let found: UInt64
                if position >= reader.size {
                    if !wanted { return .offset(position) }
                    found = until
                } else {
                    let answer =
                        try wanted
                        ? reader.seekData(from: position) : reader.seekHole(from: position)
                    switch answer {
                    case .offset(let offset): found = offset
                    case .none: found = until
                    case .missing: return answer
                    }
                }
                // At the base's end it says "hole"; what lies there is asked again.
                if found < until { return .offset(found) }
            }
            position = stretch.end
        }
    }
}

extension ContentReader {
    /// Fills `gaps`, ranges of the file, of a buffer whose first byte is that at `start`; past the
    /// content's end with zeros.
    ///
    /// - Returns: the chunks that are missing; nil when all is filled.
    func fill(
        _ gaps: [Range<UInt64>], of buffer: UnsafeMutableRawBufferPointer, from start: UInt64
    ) throws(StorageError) -> [ChunkReference]? {
        for gap in gaps {
            let middle = min(max(size, gap.lowerBound), gap.upperBound)
            let first = Int(gap.lowerBound - start)
            let split = Int(middle - start)
            let end = Int(gap.upperBound - start)
            if split < end {
                // Gaps are parts of what the buffer stands for.
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[split..<end])
                    .initializeMemory(as: UInt8.self, repeating: 0)
            }
            guard first < split else { continue }
            // As above.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[first..<split])
            switch try unsafe read(at: gap.lowerBound, into: part) {
            case .missing(let chunks): return chunks
            case .bytes(let count):
                guard count == part.count else {
                    throw .corrupt(what: "content is shorter than its size: run holdfast check")
                }
            }
        }
        return nil
    }
}
