internal import Base

/// A file whose bytes a chunk storage of the same device can make its own where they lie. Only its own
/// kind of file means anything to a storage.
package protocol AdoptableFile: AnyObject, Sendable {}

/// A chunk whose bytes stand in a file already.
package struct InPlaceChunk: Equatable, Sendable {
    package let reference: ChunkReference
    /// `PackFormat.checksum` of the bytes.
    package let checksum: UInt64
    /// Of the first byte, from the start of the file.
    package let offset: UInt64

    package init(reference: ChunkReference, checksum: UInt64, offset: UInt64) {
        self.reference = reference
        self.checksum = checksum
        self.offset = offset
    }

    package var range: Range<UInt64> { offset..<offset + UInt64(reference.length) }
}

/// Picks, while a file is cut, the new chunks that need not be copied because a file has their bytes.
struct InPlaceChunks {
    private let ranges: [Range<UInt64>]
    private var next = 0
    private var addresses: Set<Bytes32> = []
    private(set) var chunks: [InPlaceChunk] = []

    /// - Parameter ranges: where the file has the bytes, at their own offsets; ascending, apart.
    init(_ ranges: [Range<UInt64>] = []) { self.ranges = ranges }

    /// - Parameter offset: not below that of an earlier call.
    /// - Returns: false if the chunk must be copied.
    mutating func keep(_ reference: ChunkReference, _ bytes: Span<UInt8>, at offset: UInt64) -> Bool
    {
        let end = offset + UInt64(bytes.count)
        while next < ranges.count, ranges[next].upperBound < end { next += 1 }
        if addresses.contains(reference.address) { return true }
        guard next < ranges.count, ranges[next].lowerBound <= offset else { return false }
        addresses.insert(reference.address)
        chunks.append(
            InPlaceChunk(
                reference: reference, checksum: PackFormat.checksum(bytes), offset: offset))
        return true
    }
}
