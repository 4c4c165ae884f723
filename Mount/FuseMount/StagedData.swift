internal import Base
internal import Share
internal import Synchronization

/// The dirty bytes of one file at their own offsets: in memory while they are few, then in a staging
/// file. Most files that are written at all are small and become versions a moment later: making and
/// removing a file for each would cost more than writing them.
final class StagedData: Sendable {
    private enum Backing {
        /// Past its end are zeros. It counts against the depot's bound.
        case memory([UInt8])
        case file(any StagingFile)
        /// Given back.
        case removed
    }

    private let depot: StagingDepot
    private let counted = Atomic<UInt64>(0)
    private let backing: Mutex<Backing>

    /// Bytes that are not on the disk yet.
    init(depot: StagingDepot) {
        self.depot = depot
        backing = Mutex(.memory([]))
    }

    init(_ file: any StagingFile, depot: StagingDepot) {
        self.depot = depot
        backing = Mutex(.file(file))
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
            if case .file(let file) = backing { return file }
            return nil
        }
    }

    /// The staging file, made if need be.
    func spill() throws(StorageError) -> any StagingFile {
        try backing.withLock { (backing) throws(StorageError) in try spill(&backing) }
    }

    private func spill(_ backing: inout Backing) throws(StorageError) -> any StagingFile {
        if case .file(let file) = backing { return file }
        let file = try depot.makeFile()
        var count = 0
        if case .memory(let held) = backing, !held.isEmpty {
            count = held.count
            let written = Result { () throws(StorageError) in
                try unsafe held.span.withUnsafeBytes { (bytes) throws(StorageError) in
                    try unsafe file.write(bytes, at: 0)
                }
            }
            if case .failure(let error) = written {
                file.remove()
                throw error
            }
        }
        depot.countMemory(from: count, to: 0)
        backing = .file(file)
        return file
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
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
            try unsafe spill(&backing).write(bytes, at: offset)
        }
    }

    /// Reads at `offset`, with zeros past the end.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        let file: (any StagingFile)? = backing.withLock { backing in
            let held: [UInt8]
            switch backing {
            case .file(let file): return file
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
        try backing.withLock { (backing) throws(StorageError) in
            guard case .memory(var held) = backing else {
                return try spill(&backing).punchHole(range)
            }
            backing = .removed
            for index in range.clamped(to: 0..<UInt64(held.count)) { held[Int(index)] = 0 }
            backing = .memory(held)
        }
    }

    func truncate(to size: UInt64) throws(StorageError) {
        try backing.withLock { (backing) throws(StorageError) in
            guard case .memory(var held) = backing else {
                return try spill(&backing).truncate(to: size)
            }
            guard size < UInt64(held.count) else { return }
            backing = .removed
            depot.countMemory(from: held.count, to: Int(size))
            held.removeLast(held.count - Int(size))
            backing = .memory(held)
        }
    }

    /// Gives the bytes and their space back; no call may follow.
    func remove() {
        backing.withLock { backing in
            switch backing {
            case .memory(let held): depot.countMemory(from: held.count, to: 0)
            case .file(let file): file.remove()
            case .removed: break
            }
            backing = .removed
        }
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
