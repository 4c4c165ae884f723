internal import Base
internal import Chunks

/// The bytes of a file at the moment a job took it up.
struct CutSource: ContentSource {
    let file: FileState
    let reader: ContentReader
    let size: UInt64

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int
    {
        guard offset < size else { return 0 }
        let count = Int(min(UInt64(buffer.count), size - offset))
        var gaps: [Range<UInt64>] = []
        let missing: [ChunkReference]?
        do {
            // `count` is at most the buffer's size.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try unsafe file.readCut(offset..<offset + UInt64(count), into: part, gaps: &gaps)
            missing = try unsafe reader.fill(gaps, of: part, from: offset)
        } catch {
            throw .storage(error)
        }
        if let missing { throw .missing(missing) }
        return count
    }

    func zeros(from offset: UInt64) -> UInt64 {
        guard offset < size, let stretch = file.cutStretch(at: offset) else { return offset }
        switch stretch {
        case .data: return offset
        case .zeros(let until): return until
        case .base(let until):
            guard offset < reader.size else { return until }
            // A guess that fails costs reading the bytes, nothing else.
            guard let position = try? reader.seekData(from: offset) else { return offset }
            switch position {
            case .offset(let data): return min(data, until)
            case .none: return until
            case .missing: return offset
            }
        }
    }
}
