internal import Base
internal import Chunks
internal import Share

/// One open of a virtual file: what it shows stays the same until it is closed.
final class VirtualHandle: Sendable {
    private enum Source: Sendable {
        case text([UInt8])
        case content(ContentReader)
    }

    private let source: Source

    /// - Throws: what making the text or finding the content throws.
    init(_ node: VirtualNode, chunks: any ChunkStorage) throws(VolumeError) {
        switch node.body {
        case .text(let make): source = .text(try make())
        case .content(_, let open):
            source = .content(ContentReader(try open().content, storage: chunks))
        case .directory: throw .isDirectory
        case .link: throw .tooManyLinks
        }
    }

    /// A text's size is not known before it is read: the kernel must not keep its pages.
    var isText: Bool { if case .text = source { true } else { false } }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> FileState.ReadOutcome
    {
        switch source {
        case .text(let bytes):
            guard offset < UInt64(bytes.count) else { return .bytes(0) }
            let part = bytes[Int(offset)...].prefix(buffer.count)
            // The part is no longer than the buffer.
            unsafe buffer.copyBytes(from: part)
            return .bytes(part.count)
        case .content(let reader):
            switch try unsafe reader.read(at: offset, into: buffer) {
            case .bytes(let count): return .bytes(count)
            case .missing(let chunks): return .missing(chunks)
            }
        }
    }

    /// As SEEK_DATA and SEEK_HOLE want it.
    func seek(data: Bool, from offset: UInt64) throws(StorageError) -> ContentReader.Position {
        switch source {
        case .text(let bytes):
            guard offset < UInt64(bytes.count) else { return .none }
            return .offset(data ? offset : UInt64(bytes.count))
        case .content(let reader):
            return data ? try reader.seekData(from: offset) : try reader.seekHole(from: offset)
        }
    }
}
