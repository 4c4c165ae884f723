internal import Base
internal import Chunks
internal import Share

/// Which staging file holds the overlay's bytes, and when another takes its place.
extension Overlay {
    /// The staging file, made if need be; content held in memory goes there.
    ///
    /// - Parameter range: must not be frozen in it.
    mutating func stage(in depot: StagingDepot, toChange range: Range<UInt64>? = nil)
        throws(StorageError) -> StagedData
    {
        if let staged {
            guard let range, staged.isFrozen(range) else { return staged }
            return try outgrow(staged, in: depot)
        }
        let made = depot.make(expecting: max(size, baseSize))
        if let memory, !memory.isEmpty {
            let written = Result { () throws(StorageError) in
                try unsafe memory.span.withUnsafeBytes { (bytes) throws(StorageError) in
                    try unsafe made.write(bytes, at: 0)
                }
            }
            if case .failure(let error) = written {
                made.remove()
                throw error
            }
            mark(0..<UInt64(memory.count), made)
        }
        memory = nil
        staged = made
        return made
    }

    /// Another file takes the place of one that a chunk storage has adopted parts of.
    mutating func outgrow(_ staged: StagedData, in depot: StagingDepot)
        throws(StorageError) -> StagedData
    {
        // Whoever changes a file waits for the end of the cut: see `isHeld`.
        guard cut?.staged !== staged else {
            throw .io(code: ErrorCode.busy, action: "writing over what becomes chunks")
        }
        let made = try copied(staged, in: depot)
        made.count(staged.byteCount)
        staged.count(0)
        outgrown.append(staged)
        self.staged = made
        return made
    }

    /// What is dirty, once more.
    func copied(_ staged: StagedData, in depot: StagingDepot) throws(StorageError) -> StagedData {
        let made = depot.make(expecting: max(size, baseSize))
        do throws(StorageError) {
            var held = dirty
            held.remove(zeroed)
            for range in held.ranges { try copy(range, from: staged, to: made) }
            // It may have bytes of whose it was before.
            for range in zeroed.ranges { try made.punchHole(range) }
        } catch {
            made.remove()
            throw error
        }
        return made
    }

    /// A durable record names the staging file there is, or none needs to: what it took the place of is
    /// given back.
    mutating func retireOutgrown() {
        for file in outgrown { file.retire(now: Clock.now()) }
        outgrown = []
    }

    func copy(_ range: Range<UInt64>, from: StagedData, to: StagedData)
        throws(StorageError)
    {
        let step: UInt64 = 128 << 10
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Int(min(step, range.upperBound - range.lowerBound)), alignment: 4096)
        // Freed on every way out, and not kept by the calls.
        defer { unsafe buffer.deallocate() }
        var position = range.lowerBound
        while position < range.upperBound {
            let count = Int(min(step, range.upperBound - position))
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try unsafe from.read(at: position, into: part)
            try unsafe to.write(UnsafeRawBufferPointer(part), at: position)
            position += UInt64(count)
        }
    }
}
