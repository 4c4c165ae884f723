internal import Base
internal import Share
internal import Synchronization

/// The dirty bytes of one file at their own offsets: in memory while they are few, then in a staging
/// file. Most files that are written at all are small and become versions a moment later: making and
/// removing a file for each would cost more than writing them.
///
/// Where nothing was written yet a staging file may hold bytes of a file that used it before.
final class StagedData: Sendable {
    private enum Backing {
        /// Past its end are zeros. It counts against the depot's bound.
        case memory([UInt8])
        /// No byte lies past the end.
        case file(any StagingFile, end: UInt64)
        /// Given back.
        case removed
    }

    private let depot: StagingDepot
    private let counted = Atomic<UInt64>(0)
    private let backing: Mutex<Backing>
    /// About how many bytes there will be, at the least.
    private let expected: UInt64
    /// What a chunk storage has made its own, in the staging file: nobody may change it any more.
    private let frozen = Mutex(RangeSet())
    private let hasFrozen = Atomic(false)
    /// How far zeros were asked for that memory does not hold. Changed under the lock only.
    private let zerosEnd = Atomic<UInt64>(0)
    let flights = WritesInFlight()

    /// Bytes that are not on the disk yet.
    init(expecting bytes: UInt64, depot: StagingDepot) {
        expected = bytes
        self.depot = depot
        backing = Mutex(.memory([]))
    }

    /// - Parameter size: no byte lies past it.
    init(_ file: any StagingFile, size: UInt64, depot: StagingDepot) {
        expected = size
        self.depot = depot
        backing = Mutex(.file(file, end: size))
    }

    /// A staging file stays: a record may name it.
    deinit {
        count(0)
        backing.withLock { backing in
            if case .memory(let held) = backing { depot.countMemory(from: held.count, to: 0) }
        }
    }

    /// Bytes that count against the bound on unpublished ones.
    var byteCount: UInt64 { counted.load(ordering: .relaxed) }

    /// Says how many bytes there are that no version has.
    func count(_ bytes: UInt64) {
        depot.recount(from: counted.exchange(bytes, ordering: .relaxed), to: bytes)
    }

    /// The staging file if there is one: only then can a record name it.
    var file: (any StagingFile)? {
        backing.withLock { backing in
            if case .file(let file, _) = backing { return file }
            return nil
        }
    }

    /// The staging file for others, if there is one. No call may follow.
    func takeFile() -> StagingSpares.Spare? {
        flights.waitForEnd()
        return backing.withLock { backing in
            guard case .file(let file, let end) = backing else { return nil }
            backing = .removed
            return StagingSpares.Spare(file: file, size: end)
        }
    }

    /// The staging file, made if need be; it has all that was written.
    func spill() throws(StorageError) -> any StagingFile {
        try flights.wait()
        return try backing.withLock { (backing) throws(StorageError) in
            try spill(&backing, upTo: 0).file
        }
    }

    /// - Parameter end: so long it will be, at the least.
    private func spill(_ backing: inout Backing, upTo end: UInt64) throws(StorageError)
        -> StagingSpares.Spare
    {
        if case .file(let file, let size) = backing { return .init(file: file, size: size) }
        let made = try depot.makeFile(expecting: max(expected, end))
        var held: [UInt8] = []
        if case .memory(let bytes) = backing { held = bytes }
        do throws(StorageError) {
            try fill(made, with: held)
        } catch {
            made.file.remove()
            throw error
        }
        depot.countMemory(from: held.count, to: 0)
        let size = max(made.size, UInt64(held.count))
        backing = .file(made.file, end: size)
        return .init(file: made.file, size: size)
    }

    /// What is not in `held` was asked to be zeros.
    private func fill(_ made: StagingSpares.Spare, with held: [UInt8]) throws(StorageError) {
        let end = UInt64(held.count)
        if end > 0 {
            try unsafe held.span.withUnsafeBytes { (bytes) throws(StorageError) in
                try unsafe made.file.write(bytes, at: 0)
            }
        }
        let zeros = min(zerosEnd.load(ordering: .relaxed), made.size)
        if end < zeros { try made.file.punchHole(end..<zeros) }
    }

    /// Begins with a write of many bytes, which takes as long as the disk needs.
    ///
    /// - Returns: what must be finished; nil if all is done.
    func begin(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError)
        -> WriteInFlight?
    {
        guard bytes.count > MountLimits.stagedInMemoryMax else {
            try unsafe write(bytes, at: offset)
            return nil
        }
        let range = offset..<offset &+ UInt64(bytes.count)
        try flights.wait(for: range)
        let file = try backing.withLock { (backing) throws(StorageError) in
            let spare = try spill(&backing, upTo: range.upperBound)
            backing = .file(spare.file, end: max(spare.size, range.upperBound))
            return spare.file
        }
        return WriteInFlight(number: flights.begin(range), range: range, staged: self, file: file)
    }

    /// Of a write in flight.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, to file: any StagingFile)
        throws(StorageError)
    {
        do throws(StorageError) {
            try unsafe file.write(bytes, at: offset)
        } catch .full where depot.dropSpares() {
            try unsafe file.write(bytes, at: offset)
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
        try flights.wait(for: offset..<offset &+ UInt64(bytes.count))
        try backing.withLock { (backing) throws(StorageError) in
            let end = offset &+ UInt64(bytes.count)
            if hold(to: end, in: &backing), case .memory(var held) = backing {
                // Taken out, so that writing does not copy it.
                backing = .removed
                unsafe held.withUnsafeMutableBytes { held in
                    // Made as long as `end` just now.
                    let target = unsafe UnsafeMutableRawBufferPointer(
                        rebasing: held[Int(offset)..<Int(end)])
                    unsafe target.copyMemory(from: bytes)
                }
                backing = .memory(held)
                return
            }
            let staged = try spill(&backing, upTo: end)
            try unsafe write(bytes, at: offset, to: staged.file)
            if end > staged.size { backing = .file(staged.file, end: end) }
        }
    }

    /// Reads at `offset`, with zeros past the end.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        try flights.wait(for: offset..<offset &+ UInt64(buffer.count))
        let file: (any StagingFile)? = backing.withLock { backing in
            let held: [UInt8]
            switch backing {
            case .file(let file, _): return file
            case .memory(let bytes): held = bytes
            case .removed: held = []
            }
            let start = Int(min(offset, UInt64(held.count)))
            let count = min(buffer.count, held.count - start)
            unsafe held.withUnsafeBytes { held in
                // Both ends are within `held`, and `count` is at most the buffer's size.
                let part = unsafe UnsafeRawBufferPointer(rebasing: held[start..<start + count])
                unsafe buffer.copyMemory(from: part)
            }
            unsafe Self.zero(buffer, from: count)
            return nil
        }
        guard let file else { return }
        try unsafe Self.zero(buffer, from: file.read(at: offset, into: buffer))
    }

    private static func zero(_ buffer: UnsafeMutableRawBufferPointer, from count: Int) {
        guard count < buffer.count else { return }
        // Within the buffer: `count` is less than its size.
        unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).initializeMemory(
            as: UInt8.self, repeating: 0)
    }

    /// Makes a range read as zeros.
    func punchHole(_ range: Range<UInt64>) throws(StorageError) {
        try flights.wait(for: range)
        try backing.withLock { (backing) throws(StorageError) in
            guard case .memory(var held) = backing else {
                return try spill(&backing, upTo: 0).file.punchHole(range)
            }
            backing = .removed
            zerosEnd.max(range.upperBound, ordering: .relaxed)
            for index in range.clamped(to: 0..<UInt64(held.count)) { held[Int(index)] = 0 }
            backing = .memory(held)
        }
    }

    /// As `remove`, once everything done so far is durable.
    func retire(now: Instant) { depot.retire(self, isSpare: false, now: now) }

    /// Gives the bytes and their space back, but for what is frozen; no call may follow.
    func remove() {
        flights.waitForEnd()
        backing.withLock { backing in
            switch backing {
            case .memory(let held): depot.countMemory(from: held.count, to: 0)
            case .file(let file, let end):
                // Space that is not given back now is found when the storage is opened again.
                if isAdopted { try? punchAllButFrozen(of: file, upTo: end) }
                file.remove()
            case .removed: break
            }
            backing = .removed
        }
    }

    // MARK: What is frozen

    /// So many bytes are worth being adopted.
    var adoptedBytesMin: UInt64 { depot.adoptedBytesMin }

    /// Whether something is, or was.
    var isAdopted: Bool { hasFrozen.load(ordering: .acquiring) }

    func isFrozen(_ range: Range<UInt64>) -> Bool {
        isAdopted && frozen.withLock { !$0.intersection(range).isEmpty }
    }

    /// Those of `ranges` that may be changed.
    func withoutFrozen(_ ranges: RangeSet) -> RangeSet {
        var rest = ranges
        if isAdopted { rest.remove(frozen.withLock { $0 }) }
        return rest
    }

    /// From now on the ranges are a chunk storage's.
    ///
    /// - Returns: whether they may be: not if their bytes did not get to the disk.
    func freeze(_ ranges: [Range<UInt64>]) -> Bool {
        guard ranges.allSatisfy({ flights.waitForEnd(in: $0) == nil }) else { return false }
        frozen.withLock { frozen in
            for range in ranges { frozen.insert(range) }
        }
        hasFrozen.store(true, ordering: .releasing)
        return true
    }

    /// The storage did not want them.
    func thaw(_ ranges: [Range<UInt64>]) {
        let isFree = frozen.withLock { frozen in
            for range in ranges { frozen.remove(range) }
            return frozen.isEmpty
        }
        if isFree { hasFrozen.store(false, ordering: .releasing) }
    }

    private func punchAllButFrozen(of file: any StagingFile, upTo end: UInt64) throws(StorageError)
    {
        var rest = RangeSet(0..<end)
        rest.remove(frozen.withLock { $0 })
        for range in rest.ranges { try file.punchHole(range) }
    }

    /// Whether memory holds the bytes and is as long as `end` now.
    private func hold(to end: UInt64, in backing: inout Backing) -> Bool {
        guard case .memory(var held) = backing, end <= UInt64(MountLimits.stagedInMemoryMax),
            depot.hasMemory
        else { return false }
        if end > UInt64(held.count) {
            backing = .removed
            depot.countMemory(from: held.count, to: Int(end))
            held.append(contentsOf: repeatElement(0, count: Int(end) - held.count))
            backing = .memory(held)
        }
        return true
    }
}
