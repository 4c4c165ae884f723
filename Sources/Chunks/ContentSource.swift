package import Base

/// Why content cannot be read or built just now.
package enum ContentError: Error, Equatable, Sendable {
    case storage(StorageError)
    /// Chunks that are needed and not on this device: fetch them, then try again.
    case missing([ChunkReference])
}

/// The bytes of a file about to be cut into chunks.
package protocol ContentSource {
    /// The file's size in bytes; constant while content is built.
    var size: UInt64 { get }

    /// Copies bytes from `offset` on to the front of `buffer`.
    ///
    /// - Returns: how many bytes were copied: at least one, unless `offset` is the file's end.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int

    /// The end of a run of zeros known to begin at `offset`; `offset` itself when nothing is known.
    func zeros(from offset: UInt64) -> UInt64
}

extension ContentSource {
    package func zeros(from offset: UInt64) -> UInt64 { offset }
}

/// A source made of a size and a function that reads.
@safe package struct FunctionSource: ContentSource {
    package let size: UInt64
    private let readBytes: (UInt64, UnsafeMutableRawBufferPointer) throws(StorageError) -> Int

    package init(
        size: UInt64,
        read:
            @escaping (_ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer)
            throws(StorageError) -> Int
    ) {
        self.size = size
        unsafe readBytes = unsafe read
    }

    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int
    {
        do {
            // The buffer is the caller's and is used only during the call.
            return try unsafe readBytes(offset, buffer)
        } catch {
            throw .storage(error)
        }
    }
}
