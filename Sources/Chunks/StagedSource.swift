package import Base

/// Bytes of a file that are not chunks yet, at their own offsets.
package protocol StagedBytes {
    /// Copies staged bytes from `offset` on to the front of `buffer`.
    ///
    /// - Returns: how many were copied: at least one inside a dirty range.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> Int

    /// The first byte at or after `offset` that may not be zero; nil when there is none.
    func nextData(from offset: UInt64) -> UInt64?
}

extension StagedBytes {
    package func nextData(from offset: UInt64) -> UInt64? { offset }
}

/// A file as its writer sees it: dirty ranges over a base, and zeros beyond both.
package struct StagedSource<Staged: StagedBytes>: ContentSource {
    package let size: UInt64
    private let base: ContentReader
    private let staged: Staged
    private let dirty: [Range<UInt64>]

    /// - Parameter dirty: ascending, apart from each other: where `staged` is asked, and not the base.
    package init(base: ContentReader, size: UInt64, dirty: [Range<UInt64>], staged: Staged) {
        self.base = base
        self.size = size
        self.dirty = dirty
        self.staged = staged
    }

    /// Where the bytes from an offset on come from, and up to where.
    private enum Layer {
        case staged(end: UInt64)
        case base(end: UInt64)
        case nothing(end: UInt64)
    }

    private func layer(at offset: UInt64) -> Layer {
        var low = 0
        var high = dirty.count
        while low < high {
            let middle = (low + high) / 2
            if dirty[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
        }
        var end = size
        if low < dirty.count {
            if dirty[low].lowerBound <= offset {
                return .staged(end: min(dirty[low].upperBound, size))
            }
            end = min(end, dirty[low].lowerBound)
        }
        return offset < base.size ? .base(end: min(end, base.size)) : .nothing(end: end)
    }

    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int
    {
        guard offset < size else { return 0 }
        let layer = layer(at: offset)
        switch layer {
        case .staged(let end), .base(let end), .nothing(let end):
            let count = Int(min(end - offset, UInt64(buffer.count)))
            // At most the buffer's count, by the line above.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            return unsafe try read(layer, at: offset, into: part)
        }
    }

    private func read(
        _ layer: Layer, at offset: UInt64, into part: UnsafeMutableRawBufferPointer
    ) throws(ContentError) -> Int {
        switch layer {
        case .nothing:
            // The part is the caller's, whole.
            unsafe part.initializeMemory(as: UInt8.self, repeating: 0)
            return part.count
        case .staged:
            do {
                // The part is the caller's and is used only during the call.
                return unsafe try staged.read(at: offset, into: part)
            } catch {
                throw .storage(error)
            }
        case .base:
            let outcome: ContentReader.Outcome
            do {
                // As above.
                outcome = unsafe try base.read(at: offset, into: part)
            } catch {
                throw .storage(error)
            }
            switch outcome {
            case .bytes(let count): return count
            case .missing(let references): throw .missing(references)
            }
        }
    }

    package func zeros(from offset: UInt64) -> UInt64 {
        guard offset < size else { return offset }
        switch layer(at: offset) {
        case .nothing(let end):
            return end
        case .staged(let end):
            return min(staged.nextData(from: offset).map { max($0, offset) } ?? end, end)
        case .base(let end):
            // An error shows up again when the bytes are read.
            guard let position = try? base.seekData(from: offset) else { return offset }
            switch position {
            case .offset(let data): return min(data, end)
            case .none: return end
            case .missing: return offset
            }
        }
    }
}
