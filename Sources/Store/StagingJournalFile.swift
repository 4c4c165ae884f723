internal import Base
internal import Chunks
internal import Glibc
internal import Share
internal import Synchronization
internal import Wire

/// A journal of writes into staging files, in one file that is written over again and again.
///
/// Its blocks are on the disk once they were written for the first time, so that a sync need not tell
/// the filesystem's own journal of new ones. Each entry begins at a multiple of 512 bytes: the disk never
/// writes over a sector that an earlier sync has made durable.
///
///     entry = magic "holdwrit" 8 | number 8 | boot 16 | staging file 8 | size 8 | seconds 8
///             | nanoseconds 4 | length of the bytes 4 | ranges: count varint | start 8, end 8 each
///             | the bytes | XXH64 of all that 8 | zeros up to the next multiple of 512
///
/// Numbers go up by one: what does not follow the entry before it is of an earlier turn, or torn.
final class StagingJournalFile: StagingJournal {
    enum Limits {
        static let fileSizeMax: UInt64 = 16 << 20
        /// The file grows by so many bytes.
        static let growthStep: UInt64 = 256 << 10
        static let alignment: UInt64 = 512
    }

    private struct State {
        var end: UInt64 = 0
        /// Bytes of the file that were written once.
        var filled: UInt64
        var last: UInt64 = 0
        var isClosed = false
        var isNameSynced = false
    }

    static let name = "journal"
    private static let magic: UInt64 = 0x7469_7277_646c_6f68

    private let descriptor: FileDescriptor
    private let directory: Directory
    private let boot: BootID
    private let gate = SyncGate()
    private let state: Mutex<State>

    init(in directory: Directory, boot: BootID) throws(StorageError) {
        self.directory = directory
        self.boot = boot
        descriptor = try directory.file(Self.name, O_RDWR | O_CREAT)
        state = Mutex(State(filled: try descriptor.size()))
    }

    var last: UInt64 { state.withLock { $0.last } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    func close() { state.withLock { $0.isClosed = true } }

    func write(_ writes: StagedWrites) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            let entry = Self.encode(writes, number: state.last + 1, boot: boot)
            let end = state.end + UInt64(entry.count)
            do throws(StorageError) {
                guard end <= Limits.fileSizeMax else { throw .full }
                try fill(&state, upTo: end)
                try descriptor.write(entry.span, at: state.end)
            } catch {
                // Records will do, whatever the reason.
                state.isClosed = true
                return false
            }
            state.end = end
            state.last += 1
            return true
        }
    }

    private func fill(_ state: inout State, upTo end: UInt64) throws(StorageError) {
        guard end > state.filled else { return }
        let steps = (end + Limits.growthStep - 1) / Limits.growthStep
        let zeros = [UInt8](repeating: 0, count: Int(steps * Limits.growthStep - state.filled))
        try descriptor.write(zeros.span, at: state.filled)
        state.filled = steps * Limits.growthStep
    }

    func sync() throws(StorageError) {
        do throws(StorageError) {
            try gate.pass { () throws(StorageError) in
                try descriptor.syncData()
                if state.withLock({ $0.isNameSynced }) { return }
                try directory.sync()
                state.withLock { $0.isNameSynced = true }
            }
        } catch {
            close()
            throw error
        }
    }

    func clear(after number: UInt64) {
        state.withLock { state in
            state.end = 0
            state.last = max(state.last, number)
            state.isClosed = false
        }
    }

    func entries() throws(StorageError) -> [StagingJournalEntry] {
        let bytes = try descriptor.read(Int(Limits.fileSizeMax), at: 0)
        var entries: [StagingJournalEntry] = []
        var position = 0
        while position < bytes.count,
            let (entry, length) = decode(bytes.span.extracting(position...)),
            entries.last.map({ $0.number &+ 1 == entry.number }) ?? true
        {
            entries.append(entry)
            position += length
        }
        return entries
    }

    // MARK: Encoding

    private static func encode(_ writes: StagedWrites, number: UInt64, boot: BootID) -> [UInt8] {
        var writer = WireWriter(reserving: writes.bytes.count + 1024)
        writer.writeUInt64(magic)
        writer.writeUInt64(number)
        writer.writeUInt64(boot.high)
        writer.writeUInt64(boot.low)
        writer.writeUInt64(writes.file)
        writer.writeUInt64(writes.size)
        writer.writeUInt64(UInt64(bitPattern: writes.modified.seconds))
        writer.writeUInt32(writes.modified.nanoseconds)
        writer.writeUInt32(UInt32(writes.bytes.count))
        writer.writeUInt(writes.ranges.count)
        for range in writes.ranges {
            writer.writeUInt64(range.lowerBound)
            writer.writeUInt64(range.upperBound)
        }
        writer.writeRaw(writes.bytes)
        writer.writeUInt64(PackFormat.checksum(writer.bytes.span))
        let rest = writer.bytes.count % Int(Limits.alignment)
        if rest > 0 {
            writer.writeRaw([UInt8](repeating: 0, count: Int(Limits.alignment) - rest))
        }
        return writer.bytes
    }

    /// - Returns: nil unless `bytes` begins with an entry; with the length that it takes.
    private func decode(_ bytes: Span<UInt8>) -> (StagingJournalEntry, Int)? {
        do {
            var reader = WireReader(bytes)
            guard try reader.readUInt64() == Self.magic else { return nil }
            let number = try reader.readUInt64()
            let boot = BootID(high: try reader.readUInt64(), low: try reader.readUInt64())
            let file = try reader.readUInt64()
            let size = try reader.readUInt64()
            let modified = Timestamp(
                seconds: Int64(bitPattern: try reader.readUInt64()),
                nanoseconds: try reader.readUInt32())
            let count = Int(try reader.readUInt32())
            var ranges: [Range<UInt64>] = []
            var total: UInt64 = 0
            for _ in 0..<(try reader.readCount(max: .max, minimumElementSize: 16)) {
                let (start, end) = (try reader.readUInt64(), try reader.readUInt64())
                guard start <= end, end <= size, end - start <= UInt64(count) - total else {
                    return nil
                }
                total += end - start
                ranges.append(start..<end)
            }
            guard total == UInt64(count), size <= ChunkLimits.fileSizeMax else { return nil }
            let held = try reader.readBytes(count)
            let length = bytes.count - reader.remaining
            guard try reader.readUInt64() == PackFormat.checksum(bytes.extracting(0..<length))
            else {
                return nil
            }
            let alignment = Int(Limits.alignment)
            return (
                StagingJournalEntry(
                    number: number,
                    writes: StagedWrites(
                        file: file, size: size, modified: modified, ranges: ranges, bytes: held),
                    isInFile: boot == self.boot),
                (length + 8 + alignment - 1) / alignment * alignment
            )
        } catch {
            return nil
        }
    }
}
