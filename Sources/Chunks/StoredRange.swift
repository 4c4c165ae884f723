package import Base

/// Bytes of chunks where they stand in a file of the storage.
package struct StoredRange: Sendable {
    /// Valid as long as `owner` lives.
    package let descriptor: Int32
    package let offset: UInt64
    package private(set) var count: Int
    private let owner: any AnyObject & Sendable

    package init(
        descriptor: Int32, offset: UInt64, count: Int, owner: any AnyObject & Sendable
    ) {
        self.descriptor = descriptor
        self.offset = offset
        self.count = count
        self.owner = owner
    }

    /// Goes on with what follows in the file.
    ///
    /// - Returns: false if `next` does not.
    mutating func join(_ next: StoredRange) -> Bool {
        guard next.descriptor == descriptor, next.offset == offset + UInt64(count) else {
            return false
        }
        count += next.count
        return true
    }
}

extension ContentReader {
    /// Where the bytes of a range stand, in order.
    ///
    /// - Precondition: the range lies within the content.
    /// - Returns: nil if they must be read: some are not stored as they are, or not here, or in more
    ///   than `limit` places.
    package func stored(_ range: Range<UInt64>, limit: Int) throws(StorageError) -> [StoredRange]? {
        var parts: [StoredRange] = []
        var end = range.lowerBound
        try forEachPart(of: range) { (piece, start) throws(StorageError) in
            let from = max(start, range.lowerBound)
            let to = min(start + piece.size, range.upperBound)
            guard from == end, case .chunk(let reference) = piece,
                let part = try storage.stored(
                    reference.address, at: Int(from - start), count: Int(to - from))
            else { return false }
            end = to
            if parts.isEmpty || !parts[parts.count - 1].join(part) { parts.append(part) }
            return parts.count <= limit
        }
        return end == range.upperBound && parts.count <= limit ? parts : nil
    }
}
