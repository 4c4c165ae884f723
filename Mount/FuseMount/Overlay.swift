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
/// destroy of the cut is copied aside first.
struct Overlay {
    /// What a job turns into chunks.
    struct Cut {
        let size: UInt64
        let dirty: RangeSet
        /// Parts of `dirty` that are zeros.
        let zeroed: RangeSet
        /// Parts of `dirty` that need not be copied to become chunks.
        let inPlace: RangeSet
        fileprivate let staged: StagedData?
        fileprivate var aside: StagedData?
        fileprivate var preserved = RangeSet()
        /// The file was emptied since: the cut has the staging file for itself.
        fileprivate(set) var isDetached = false
        /// Some of what is in place was written over.
        fileprivate(set) var isSpoiled = false
        /// Too much would have had to be copied aside: the job's bytes are worthless.
        fileprivate(set) var isAbandoned = false

        /// What stood at `offset`, which must be below the cut's size.
        func stretch(at offset: UInt64) -> Stretch {
            Overlay.stretch(at: offset, of: size, dirty: dirty, zeroed: zeroed)
        }
    }

    /// What the end of a job leaves to give back.
    struct Leftovers {
        /// A staging file that is needed no more.
        var file: StagedData?
        /// Whether a record may name it that nobody replaces.
        var isRecorded = false
        /// Ranges of the staging file `partly` that the new base holds now.
        var ranges: [Range<UInt64>] = []
        var partly: StagedData?
    }

    /// In bytes, as shown.
    private(set) var size: UInt64
    /// The content below, in bytes.
    private(set) var baseSize: UInt64
    /// The content below if it is small.
    private var baseBytes: [UInt8]?
    /// The whole file while it is small and dirty.
    private(set) var memory: [UInt8]?
    private(set) var staged: StagedData?
    private(set) var dirty = RangeSet()
    /// Parts of `dirty` that are zeros and take no space.
    private var zeroed = RangeSet()
    private(set) var cut: Cut?
    private var dirtySinceCut = RangeSet()
    /// Staging files that others took the place of: a record may name them until the next.
    private var outgrown: [StagedData] = []
    var outgrownCount: Int { outgrown.count }

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
    mutating func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, in depot: StagingDepot
    ) throws(StorageError) {
        guard bytes.count > 0 else { return }
        let range = offset..<offset &+ UInt64(bytes.count)
        if range.upperBound <= UInt64(ChunkLimits.inlineSizeMax), holdInMemory() {
            resizeMemory(to: max(size, range.upperBound))
            unsafe memory?.withUnsafeMutableBytes { memory in
                // Resized above, so the range is inside.
                let target = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: memory[Int(range.lowerBound)..<Int(range.upperBound)])
                unsafe target.copyMemory(from: bytes)
            }
            return
        }
        let staged = try stage(in: depot, toChange: min(size, range.lowerBound)..<range.upperBound)
        try fillGap(to: range.lowerBound, in: depot)
        try preserve(range, in: depot)
        try unsafe staged.write(bytes, at: offset)
        zeroed.remove(range)
        mark(range, staged)
        size = max(size, range.upperBound)
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
        retireOutgrown()
        staged = nil
        memory = nil
        dirty = RangeSet()
        zeroed = RangeSet()
    }

    // MARK: Reading

    /// What stands from an offset up to another.
    enum Stretch: Equatable {
        case data(until: UInt64)
        case zeros(until: UInt64)
        /// The base tells: its bytes, or zeros past its end.
        case base(until: UInt64)

        var end: UInt64 {
            switch self {
            case .data(let until), .zeros(let until), .base(let until): until
            }
        }
    }

    /// What stands at `offset`, which must be below the size.
    func stretch(at offset: UInt64) -> Stretch {
        if memory != nil { return .data(until: size) }
        return Self.stretch(at: offset, of: size, dirty: dirty, zeroed: zeroed)
    }

    fileprivate static func stretch(
        at offset: UInt64, of size: UInt64, dirty: RangeSet, zeroed: RangeSet
    ) -> Stretch {
        if let zeros = zeroed.range(at: offset) { return .zeros(until: zeros.upperBound) }
        if let data = dirty.range(at: offset) {
            let zeros = zeroed.range(after: offset)
            return .data(until: min(data.upperBound, zeros?.lowerBound ?? .max))
        }
        return .base(until: min(size, dirty.range(after: offset)?.lowerBound ?? .max))
    }

    /// Whether all of a range is the base's.
    func isBase(_ range: Range<UInt64>) -> Bool {
        memory == nil && dirty.intersection(range).isEmpty
    }

    /// Copies what is dirty; the caller fills `gaps`, ranges of the file, from the base.
    ///
    /// - Precondition: `range` is within the size, and as long as `buffer`.
    func read(
        _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>]
    ) throws(StorageError) {
        if let memory {
            unsafe memory.withUnsafeBytes { memory in
                // Small content is as long as the size says.
                unsafe buffer.copyMemory(
                    from: UnsafeRawBufferPointer(
                        rebasing: memory[Int(range.lowerBound)..<Int(range.upperBound)]))
            }
            return
        }
        guard let staged, !dirty.isEmpty else { return gaps.append(range) }
        try unsafe Self.read(dirty, range, into: buffer, gaps: &gaps) {
            (part, target) throws(StorageError) in
            try unsafe staged.read(at: part.lowerBound, into: target)
        }
    }

    /// As `read`, of the cut.
    func readCut(
        _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>]
    ) throws(StorageError) {
        guard let cut, let staged = cut.staged else { return gaps.append(range) }
        try unsafe Self.read(cut.dirty, range, into: buffer, gaps: &gaps) {
            (part, target) throws(StorageError) in
            var rest: [Range<UInt64>] = []
            try unsafe Self.read(cut.preserved, part, into: target, gaps: &rest) {
                (part, target) throws(StorageError) in
                try unsafe cut.aside?.read(at: part.lowerBound, into: target)
            }
            for part2 in rest {
                let start = Int(part2.lowerBound - part.lowerBound)
                // A part of `part`, which `target` is as long as.
                let target = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: target[start..<start + part2.count])
                try unsafe staged.read(at: part2.lowerBound, into: target)
            }
        }
    }

    private static func read(
        _ held: RangeSet, _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>],
        _ copy: (Range<UInt64>, UnsafeMutableRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        var position = range.lowerBound
        for part in held.intersection(range) {
            if position < part.lowerBound { gaps.append(position..<part.lowerBound) }
            let start = Int(part.lowerBound - range.lowerBound)
            // An intersection with `range`, which the buffer is as long as.
            let target = unsafe UnsafeMutableRawBufferPointer(
                rebasing: buffer[start..<start + part.count])
            try unsafe copy(part, target)
            position = part.upperBound
        }
        if position < range.upperBound { gaps.append(position..<range.upperBound) }
    }

    // MARK: Cutting

    /// Freezes the bytes as they are now, for a job.
    ///
    /// What stands in the staging file in one large piece stays there and becomes chunks in place; so does
    /// what was written past the base. The rest is copied: it would leave a data file full of holes.
    ///
    /// - Precondition: no cut is being worked on, and the content is not in memory.
    mutating func beginCut() -> Cut {
        precondition(cut == nil && memory == nil)
        let inPlace = rangesInPlace
        let cut = Cut(
            size: size, dirty: dirty, zeroed: zeroed, inPlace: inPlace, staged: staged)
        self.cut = cut
        dirtySinceCut = RangeSet()
        return cut
    }

    private var rangesInPlace: RangeSet {
        guard let staged, staged.file != nil else { return RangeSet() }
        var data = dirty
        data.remove(zeroed)
        var inPlace = data
        inPlace.remove(0..<baseSize)
        if inPlace.byteCount < staged.adoptedBytesMin { inPlace = RangeSet() }
        for range in data.ranges where range.count >= staged.adoptedBytesMin {
            inPlace.insert(range)
        }
        return inPlace
    }

    /// Keeps parts of what is in place from being changed.
    ///
    /// - Returns: nil if they were changed since the cut.
    func freeze(_ ranges: [Range<UInt64>]) -> StagedData? {
        guard let cut, !cut.isSpoiled, !cut.isAbandoned, let staged = cut.staged else { return nil }
        staged.freeze(ranges)
        return staged
    }

    /// Whether a range cannot be changed until the cut has ended.
    func isHeld(_ range: Range<UInt64>) -> Bool {
        guard cut != nil, let staged else { return false }
        return staged.isFrozen(range)
    }

    /// A durable record names the staging file there is, or none needs to: what it took the place of is
    /// given back.
    mutating func retireOutgrown() {
        for file in outgrown { file.retire(now: Clock.now()) }
        outgrown = []
    }

    /// The cut's content is stored as `content` and lies below now.
    mutating func endCut(as content: Content) -> Leftovers {
        guard let cut else { return Leftovers() }
        cut.aside?.remove()
        self.cut = nil
        guard !cut.isDetached else { return Leftovers(file: cut.staged, isRecorded: true) }
        baseSize = content.size
        if case .inline(let bytes) = content { baseBytes = bytes } else { baseBytes = nil }
        dirty = dirtySinceCut
        dirtySinceCut = RangeSet()
        var stillZeroed = RangeSet()
        for range in dirty.ranges {
            for part in zeroed.intersection(range) { stillZeroed.insert(part) }
        }
        zeroed = stillZeroed
        guard !dirty.isEmpty else {
            let file = staged
            staged = nil
            return Leftovers(file: file)
        }
        var stored = cut.dirty
        stored.remove(dirty)
        return Leftovers(ranges: stored.ranges, partly: staged)
    }

    /// The job failed: the bytes stay dirty.
    mutating func abandonCut() -> Leftovers {
        guard let cut else { return Leftovers() }
        cut.aside?.remove()
        self.cut = nil
        dirtySinceCut = RangeSet()
        return Leftovers(file: cut.isDetached ? cut.staged : nil, isRecorded: true)
    }

    /// Gives space of the staging file back, except where it is dirty (again).
    func punch(_ ranges: [Range<UInt64>], of file: StagedData) throws(StorageError) {
        guard staged === file, cut == nil else { return }
        for range in ranges {
            var unused = file.withoutFrozen(RangeSet(range))
            for part in dirty.intersection(range) { unused.remove(part) }
            for part in unused.ranges { try file.punchHole(part) }
        }
        file.count(dirty.byteCount - zeroed.byteCount)
    }

    // MARK: Details

    /// Below this offset, bytes past the size would show something other than zeros if the file grew.
    private var zerosFrom: UInt64 { max(baseSize, cut?.size ?? 0) }

    /// Whether the whole file is in memory, or could be and is now.
    private mutating func holdInMemory() -> Bool {
        if memory != nil { return size <= UInt64(ChunkLimits.inlineSizeMax) }
        guard staged == nil, cut == nil, let baseBytes, size == baseSize else { return false }
        memory = baseBytes
        return true
    }

    private mutating func resizeMemory(to newSize: UInt64) {
        let count = memory?.count ?? 0
        if newSize > UInt64(count) {
            memory?.append(contentsOf: repeatElement(0, count: Int(newSize) - count))
        } else {
            memory?.removeLast(count - Int(newSize))
        }
        size = newSize
    }

    private mutating func makeEmpty(in depot: StagingDepot, now: Instant) {
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

    /// The staging file, made if need be; content held in memory goes there.
    ///
    /// - Parameter range: must not be frozen in it.
    private mutating func stage(in depot: StagingDepot, toChange range: Range<UInt64>? = nil)
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
    private mutating func outgrow(_ staged: StagedData, in depot: StagingDepot)
        throws(StorageError) -> StagedData
    {
        // Whoever changes a file waits for the end of the cut: see `isHeld`.
        guard cut?.staged !== staged else {
            throw .io(code: ErrorCode.busy, action: "writing over what becomes chunks")
        }
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
        made.count(staged.byteCount)
        staged.count(0)
        outgrown.append(staged)
        self.staged = made
        return made
    }

    /// Before the file grows to `offset` or writes there: what shows between must be zeros.
    private mutating func fillGap(to offset: UInt64, in depot: StagingDepot) throws(StorageError) {
        let end = min(offset, zerosFrom)
        guard size < end, let staged else { return }
        try preserve(size..<end, in: depot)
        // There may be bytes of whose staging file it was before.
        try staged.punchHole(size..<end)
        zeroed.insert(size..<end)
        mark(size..<end, staged)
    }

    private mutating func mark(_ range: Range<UInt64>, _ staged: StagedData) {
        dirty.insert(range)
        if let cut, !cut.isDetached { dirtySinceCut.insert(range) }
        let byteCount = dirty.byteCount - zeroed.byteCount
        if byteCount > staged.byteCount { staged.count(byteCount) }
    }

    /// Saves aside what the cut still needs of `range`.
    private mutating func preserve(_ range: Range<UInt64>, in depot: StagingDepot)
        throws(StorageError)
    {
        guard var cut, !cut.isDetached, !cut.isAbandoned, let staged = cut.staged else { return }
        if !cut.inPlace.intersection(range).isEmpty {
            cut.isSpoiled = true
            self.cut?.isSpoiled = true
        }
        var needed = RangeSet()
        for part in cut.dirty.intersection(range) { needed.insert(part) }
        needed.remove(cut.preserved)
        guard !needed.isEmpty else { return }
        guard needed.byteCount + cut.preserved.byteCount <= MountLimits.preserveBytesMax else {
            self.cut?.isAbandoned = true
            return
        }
        let aside = if let aside = cut.aside { aside } else { depot.make(expecting: 0) }
        cut.aside = aside
        for part in needed.ranges {
            try copy(part, from: staged, to: aside)
            cut.preserved.insert(part)
        }
        self.cut = cut
    }

    private func copy(_ range: Range<UInt64>, from: StagedData, to: StagedData)
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
