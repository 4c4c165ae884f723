internal import Base
internal import Chunks
internal import Share

/// The bytes of one file that no version holds yet, over the content of the version below.
///
/// Small files are held in memory, whole. Others have staged data that holds the dirty ranges at
/// their own offsets. Every byte outside the dirty ranges and below the size is the base's, or zero
/// past the base's end. What was cut off and is part of the file again is dirty, and zero in staging.
///
/// A background job works on a *cut*: the bytes as they were at one moment. Writing goes on in the same
/// staging file, so that one file always holds everything a crash must leave; what a write would
/// destroy of the cut is copied aside first. A small file goes on in another staging file instead.
struct Overlay {
    /// In bytes, as shown.
    var size: UInt64
    /// The content below, in bytes.
    var baseSize: UInt64
    /// The content below if it is small.
    var baseBytes: [UInt8]?
    /// The whole file while it is small and dirty.
    var memory: [UInt8]?
    var staged: StagedData?
    var dirty = RangeSet()
    /// Parts of `dirty` that are zeros and take no space.
    var zeroed = RangeSet()
    var cut: Cut?
    var dirtySinceCut = RangeSet()
    /// Staging files that others took the place of: a record may name them until the next.
    var outgrown: [StagedData] = []

    init(base: Content) {
        size = base.size
        baseSize = size
        if case .inline(let bytes) = base { baseBytes = bytes } else { baseBytes = nil }
    }

    /// Takes up what an earlier run left.
    init(base: Content, size: UInt64, dirty: [Range<UInt64>], staged: StagedData) {
        self.init(base: base)
        self.size = size
        self.staged = staged
        for range in dirty { self.dirty.insert(range.clamped(to: 0..<size)) }
        staged.count(self.dirty.byteCount)
    }

    // MARK: Changing

    /// - Precondition: `offset` and the end of `bytes` are at most `ChunkLimits.fileSizeMax`.
    /// - Returns: what must be finished with the same bytes; nil if all is done.
    mutating func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, in depot: StagingDepot
    ) throws(StorageError) -> WriteInFlight? {
        guard bytes.count > 0 else { return nil }
        let range = offset..<offset &+ UInt64(bytes.count)
        if range.upperBound <= UInt64(ChunkLimits.inlineSizeMax), holdInMemory() {
            resizeMemory(to: max(size, range.upperBound))
            unsafe memory?.withUnsafeMutableBytes { memory in
                // Resized above, so the range is inside.
                let target = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: memory[Int(range.lowerBound)..<Int(range.upperBound)])
                unsafe target.copyMemory(from: bytes)
            }
            return nil
        }
        var staged = try stage(in: depot, toChange: min(size, range.lowerBound)..<range.upperBound)
        staged = try leaveToCut(staged, changing: range, in: depot)
        try fillGap(to: range.lowerBound, in: depot)
        try preserve(range, in: depot)
        var flight = try unsafe staged.begin(bytes, at: offset)
        if flight != nil {
            var fresh = RangeSet(range)
            for part in dirty.intersection(range) { fresh.remove(part) }
            flight?.before = .init(size: size, clean: fresh, zeroed: zeroed.intersection(range))
        }
        zeroed.remove(range)
        mark(range, staged)
        size = max(size, range.upperBound)
        return flight
    }

    /// A write did not get to the disk: what was not dirty before is not, and what was zeros is.
    mutating func lose(_ flight: WriteInFlight) {
        defer { flight.staged.flights.forget(flight.number) }
        if let cut, cut.staged === flight.staged, !cut.dirty.intersection(flight.range).isEmpty {
            self.cut?.isAbandoned = true
        }
        guard staged === flight.staged else { return }
        if size == flight.range.upperBound { size = flight.before.size }
        dirty.remove(flight.before.clean)
        dirtySinceCut.remove(flight.before.clean)
        for part in flight.before.zeroed where part.upperBound <= size { zeroed.insert(part) }
    }

    /// - Precondition: `newSize` is at most `ChunkLimits.fileSizeMax`.
    mutating func truncate(to newSize: UInt64, in depot: StagingDepot, now: Instant)
        throws(StorageError)
    {
        if newSize == 0 {
            makeEmpty(in: depot, now: now)
        } else if newSize <= UInt64(ChunkLimits.inlineSizeMax), holdInMemory() {
            resizeMemory(to: newSize)
        } else if newSize < size {
            // The staging file keeps its length: a record that was made before names what is past the
            // size now, and after a crash it is that record that counts. Nobody else looks there.
            dirty.remove(newSize..<UInt64.max)
            zeroed.remove(newSize..<UInt64.max)
            dirtySinceCut.remove(newSize..<UInt64.max)
            size = newSize
        } else if newSize > size {
            if memory != nil || size < min(newSize, zerosFrom) {
                _ = try stage(in: depot, toChange: size..<newSize)
            }
            try fillGap(to: newSize, in: depot)
            size = newSize
        }
    }

    /// Makes bytes within the size read as zeros.
    mutating func zero(_ range: Range<UInt64>, in depot: StagingDepot) throws(StorageError) {
        let range = range.clamped(to: 0..<size)
        guard !range.isEmpty else { return }
        if holdInMemory() {
            unsafe memory?.withUnsafeMutableBytes { memory in
                // Clamped to the size above.
                for index in range { unsafe memory[Int(index)] = 0 }
            }
            return
        }
        let staged = try stage(in: depot, toChange: range)
        try preserve(range, in: depot)
        try staged.punchHole(range)
        zeroed.insert(range)
        mark(range, staged)
    }

    /// Puts other content below and drops what lay over it.
    ///
    /// - Precondition: no cut is being worked on.
    /// - Returns: the staging file that is needed no more.
    mutating func replaceBase(with base: Content) -> StagedData? {
        precondition(cut == nil)
        let file = staged
        self = Overlay(base: base)
        return file
    }

    /// Writes what is in memory to a staging file, so that it can be recorded.
    mutating func spill(in depot: StagingDepot) throws(StorageError) -> any StagingFile {
        try stage(in: depot).spill()
    }

    /// The overlay's bytes count no more: they will never be published.
    func uncount() {
        staged?.count(0)
    }

    /// Gives what is staged back; the overlay must not be used again.
    mutating func discard() {
        // Until the removal of the file is durable, a crash brings it back, with its record.
        staged?.retire(now: Clock.now())
        if let cut, cut.isLeft { cut.staged?.retire(now: Clock.now()) }
        cut?.isLeft = false
        retireOutgrown()
        staged = nil
        memory = nil
        dirty = RangeSet()
        zeroed = RangeSet()
    }

    // MARK: Details

    /// Below this offset, bytes past the size would show something other than zeros if the file grew.
    var zerosFrom: UInt64 { max(baseSize, cut?.size ?? 0) }

    /// Whether the whole file is in memory, or could be and is now.
    mutating func holdInMemory() -> Bool {
        if memory != nil { return size <= UInt64(ChunkLimits.inlineSizeMax) }
        guard staged == nil, cut == nil, let baseBytes, size == baseSize else { return false }
        memory = baseBytes
        return true
    }

    mutating func resizeMemory(to newSize: UInt64) {
        let count = memory?.count ?? 0
        if newSize > UInt64(count) {
            memory?.append(contentsOf: repeatElement(0, count: Int(newSize) - count))
        } else {
            memory?.removeLast(count - Int(newSize))
        }
        size = newSize
    }

    mutating func makeEmpty(in depot: StagingDepot, now: Instant) {
        cut?.isDetached = true
        // The cut takes its staging file along.
        if let staged, cut?.staged !== staged { depot.retire(staged, isSpare: false, now: now) }
        retireOutgrown()
        staged = nil
        dirty = RangeSet()
        zeroed = RangeSet()
        dirtySinceCut = RangeSet()
        memory = []
        size = 0
        baseSize = 0
        baseBytes = []
    }

    /// Before the file grows to `offset` or writes there: what shows between must be zeros.
    mutating func fillGap(to offset: UInt64, in depot: StagingDepot) throws(StorageError) {
        let end = min(offset, zerosFrom)
        guard size < end, let staged else { return }
        try preserve(size..<end, in: depot)
        // There may be bytes of whose staging file it was before.
        try staged.punchHole(size..<end)
        zeroed.insert(size..<end)
        mark(size..<end, staged)
    }

    mutating func mark(_ range: Range<UInt64>, _ staged: StagedData) {
        dirty.insert(range)
        if let cut, !cut.isDetached { dirtySinceCut.insert(range) }
        let byteCount = dirty.byteCount - zeroed.byteCount
        if byteCount > staged.byteCount { staged.count(byteCount) }
    }
}
