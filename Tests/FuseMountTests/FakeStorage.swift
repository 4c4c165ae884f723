import Base
import Chunks
import Dispatch
import Glibc
import Share
import Synchronization

extension Timestamp {
    static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
    }
}

func onThread(_ body: @escaping @Sendable () -> Void) {
    DispatchQueue.global().async(execute: body)
}

func sleepMilliseconds(_ count: UInt32) { usleep(count * 1000) }

func contentBytes(_ content: Content, _ chunks: any ChunkStorage) throws -> [UInt8] {
    let reader = ContentReader(content, storage: chunks)
    var bytes = [UInt8](repeating: 0, count: Int(reader.size))
    let outcome = try bytes.withUnsafeMutableBytes { try reader.read(at: 0, into: $0) }
    guard outcome == .bytes(bytes.count) else {
        throw StorageError.corrupt(what: "\(outcome)")
    }
    return bytes
}

/// Chunks in memory, of which some are not here until they are asked for, or not yet durable.
final class FakeChunks: ChunkStorage {
    private struct State {
        var hidden: Set<Bytes32> = []
        var unsynced: Set<Bytes32> = []
        var appended = 0
        var delayMilliseconds: UInt32 = 0
        var isFull = false
        var adopted: [Bytes32: (chunk: InPlaceChunk, file: FakeStagingFile)] = [:]
        var adopts = true
        var spliced = 0
        var adoptionDelayMilliseconds: UInt32 = 0
    }

    private let storage = MemoryChunkStorage()
    private let state = Mutex(State())

    func hideAll() {
        let addresses = storage.addresses
        state.withLock { $0.hidden = Set(addresses) }
    }

    func reveal(_ addresses: [Bytes32]) {
        state.withLock { $0.hidden.subtract(addresses) }
    }

    func delayAppends(milliseconds: UInt32) {
        state.withLock { $0.delayMilliseconds = milliseconds }
    }

    func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }

    /// Whether staging files may be adopted.
    func setAdopts(_ adopts: Bool) { state.withLock { $0.adopts = adopts } }

    func delayAdoption(milliseconds: UInt32) {
        state.withLock { $0.adoptionDelayMilliseconds = milliseconds }
    }

    /// How many chunks are where they were staged.
    var adopted: Int { state.withLock { $0.adopted.count } }

    var appended: Int { state.withLock { $0.appended } }

    /// A version may only name chunks that a crash leaves.
    func requireSynced(_ content: Content) {
        let pieces: [Piece] =
            switch content {
            case .inline: []
            case .pieces(let pieces): pieces
            case .tree(_, let root, _): root
            }
        let addresses = pieces.compactMap { $0.reference?.address }
        let isSynced = state.withLock { $0.unsynced.isDisjoint(with: addresses) }
        precondition(isSynced, "published before the chunks were synced")
    }

    func contains(_ address: Bytes32) -> Bool {
        let (isHidden, isAdopted) = state.withLock {
            ($0.hidden.contains(address), $0.adopted[address] != nil)
        }
        return !isHidden && (isAdopted || storage.contains(address))
    }

    func reference(of address: Bytes32) throws(StorageError) -> ChunkReference? {
        guard contains(address) else { return nil }
        let adopted = state.withLock { $0.adopted[address]?.chunk.reference }
        return adopted ?? storage.reference(of: address)
    }

    func read(_ address: Bytes32, at offset: Int, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> Int?
    {
        guard contains(address) else { return nil }
        guard let (chunk, file) = state.withLock({ $0.adopted[address] }) else {
            return storage.read(address, at: offset, into: buffer)
        }
        let count = min(buffer.count, Int(chunk.reference.length) - offset)
        guard count > 0 else { return 0 }
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        return try file.read(at: chunk.offset + UInt64(offset), into: part)
    }

    func stored(_ address: Bytes32, at offset: Int, count: Int) -> StoredRange? {
        guard contains(address), let (chunk, file) = state.withLock({ $0.adopted[address] }) else {
            return nil
        }
        state.withLock { $0.spliced += 1 }
        return StoredRange(
            descriptor: file.descriptor, offset: chunk.offset + UInt64(offset), count: count,
            owner: file)
    }

    /// How many chunks were asked for where they are.
    var spliced: Int { state.withLock { $0.spliced } }

    /// Whoever changes the file changes the chunks.
    func adopt(_ chunks: [InPlaceChunk], of file: any AdoptableFile) throws(StorageError) -> Bool {
        let (adopts, delay) = state.withLock { ($0.adopts, $0.adoptionDelayMilliseconds) }
        guard adopts, let file = file as? FakeStagingFile else { return false }
        for chunk in chunks {
            var bytes = [UInt8](repeating: 0, count: Int(chunk.reference.length))
            do {
                _ = try bytes.withUnsafeMutableBytes { try file.read(at: chunk.offset, into: $0) }
            } catch {
                throw .io(code: EIO, action: "adopting: \(error)")
            }
            precondition(PackFormat.checksum(bytes.span) == chunk.checksum, "other bytes")
        }
        state.withLock { state in
            for chunk in chunks { state.adopted[chunk.reference.address] = (chunk, file) }
        }
        if delay > 0 { sleepMilliseconds(delay) }
        return true
    }

    func append(_ reference: ChunkReference, plaintext: Span<UInt8>) throws(StorageError) {
        let (delay, isFull) = state.withLock { state in
            state.appended += 1
            if !storage.contains(reference.address) { state.unsynced.insert(reference.address) }
            return (state.delayMilliseconds, state.isFull)
        }
        if isFull { throw .full }
        if delay > 0 { sleepMilliseconds(delay) }
        storage.append(reference, plaintext: plaintext)
    }

    func sync() throws(StorageError) { state.withLock { $0.unsynced = [] } }

    func collect(keeping: (Bytes32) -> Bool) throws(StorageError) -> UInt64 {
        storage.collect(keeping: keeping)
    }

    var statistics: ChunkStatistics { storage.statistics }
}

/// Staging files in a folder that goes away with it.
final class FakeStaging: StagingArea {
    private let folder: String
    private let state = Mutex((last: UInt64(0), open: Set<UInt64>()))
    /// Whether opening fails as on a disk that cannot be read.
    let isBroken = Mutex(false)
    /// Called before each write.
    let beforeWrite = Mutex<(@Sendable (Range<UInt64>) throws(StorageError) -> Void)?>(nil)
    /// Used if there is one when a mount begins.
    let journalUsed = Mutex<FakeJournal?>(nil)
    var journal: (any StagingJournal)? { journalUsed.withLock { $0 } }

    init() {
        var template = Array("/tmp/holdfast-staging-XXXXXX".utf8CString)
        folder = String(cString: mkdtemp(&template))
    }

    deinit {
        let ids = state.withLock { $0.open }
        for id in ids { Glibc.unlink(path(id)) }
        Glibc.rmdir(folder)
    }

    /// How many were made.
    var made: UInt64 { state.withLock { $0.last } }

    /// Files that were made and not removed.
    var files: Set<UInt64> { state.withLock { $0.open } }

    fileprivate func path(_ id: UInt64) -> String { "\(folder)/\(id)" }

    fileprivate func forget(_ id: UInt64) { state.withLock { _ = $0.open.remove(id) } }

    func create() throws(StorageError) -> any StagingFile {
        let id = state.withLock { state in
            state.last += 1
            state.open.insert(state.last)
            return state.last
        }
        return try FakeStagingFile(id: id, area: self, path: path(id), flags: O_CREAT | O_EXCL)
    }

    func open(_ id: UInt64) throws(StorageError) -> any StagingFile {
        if isBroken.withLock({ $0 }) { throw .io(code: EIO, action: "opening \(id)") }
        return try FakeStagingFile(id: id, area: self, path: path(id), flags: 0)
    }

    func removeAll(except kept: Set<UInt64>) throws(StorageError) {
        let gone = state.withLock { state in
            let gone = state.open.subtracting(kept)
            state.open.formIntersection(kept)
            return gone
        }
        for id in gone { Glibc.unlink(path(id)) }
    }
}

/// A journal in memory.
final class FakeJournal: StagingJournal {
    private struct State {
        var last: UInt64 = 0
        var isClosed = false
        var entries: [StagingJournalEntry] = []
    }

    private let state = Mutex(State())
    let entriesMax: Int
    let isBroken = Mutex(false)

    init(entriesMax: Int = .max) { self.entriesMax = entriesMax }

    var last: UInt64 { state.withLock { $0.last } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    func close() { state.withLock { $0.isClosed = true } }

    func write(_ writes: StagedWrites) -> Bool {
        state.withLock { state in
            if state.entries.count >= entriesMax { state.isClosed = true }
            guard !state.isClosed else { return false }
            state.last += 1
            state.entries.append(
                StagingJournalEntry(number: state.last, writes: writes, isInFile: false))
            return true
        }
    }

    func sync() throws(StorageError) {
        if isBroken.withLock({ $0 }) { throw .io(code: EIO, action: "syncing") }
    }

    func entries() -> [StagingJournalEntry] { state.withLock { $0.entries } }

    func clear(after number: UInt64) {
        state.withLock { state in
            state.entries = []
            state.isClosed = false
            state.last = max(state.last, number)
        }
    }
}

final class FakeStagingFile: StagingFile {
    let id: UInt64
    private let area: FakeStaging
    fileprivate let descriptor: Int32
    private let path: String

    fileprivate init(id: UInt64, area: FakeStaging, path: String, flags: Int32)
        throws(StorageError)
    {
        self.id = id
        self.area = area
        self.path = path
        descriptor = Glibc.open(path, O_RDWR | flags, 0o600)
        guard descriptor >= 0 else { throw .io(code: errno, action: "opening \(path)") }
    }

    deinit { close(descriptor) }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> Int
    {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress! + done, buffer.count - done,
                off_t(offset) + done)
            guard count >= 0 else { throw .io(code: errno, action: "reading staging") }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
        let hook = area.beforeWrite.withLock { $0 }
        try hook?(offset..<offset + UInt64(bytes.count))
        var done = 0
        while done < bytes.count {
            let count = pwrite(
                descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + done)
            guard count > 0 else { throw .io(code: errno, action: "writing staging") }
            done += count
        }
    }

    func punchHole(_ range: Range<UInt64>) throws(StorageError) {
        var status = stat()
        fstat(descriptor, &status)
        let end = min(range.upperBound, UInt64(status.st_size))
        guard range.lowerBound < end else { return }
        let zeros = [UInt8](repeating: 0, count: Int(end - range.lowerBound))
        do {
            try zeros.withUnsafeBytes { try write($0, at: range.lowerBound) }
        } catch {
            throw .io(code: EIO, action: "punching staging: \(error)")
        }
    }

    func truncate(to size: UInt64) throws(StorageError) {
        guard ftruncate(descriptor, off_t(size)) == 0 else {
            throw .io(code: errno, action: "truncating staging")
        }
    }

    func nextData(after offset: UInt64) throws(StorageError) -> Range<UInt64>? {
        let start = lseek(descriptor, off_t(offset), 3)
        guard start >= 0 else { return nil }
        return UInt64(start)..<UInt64(lseek(descriptor, start, 4))
    }

    func sync() throws(StorageError) { fdatasync(descriptor) }

    func remove() {
        area.forget(id)
        Glibc.unlink(path)
    }
}
