internal import Base
internal import Glibc
internal import Share
internal import Synchronization

/// The write-ahead log of a database, seen beside SQLite: it makes commits durable and keeps room.
///
/// Under `synchronous = NORMAL` a commit is written, not synced. Whatever SQLite moves from the WAL to
/// the database it syncs itself, WAL first, database before the WAL begins anew; so every committed
/// page is in a synced database or in this file, and syncing this file is enough.
final class JournalFile: DurabilityBarrier {
    enum Limits {
        /// SQLite cuts a longer WAL back to this size when it begins anew.
        static let bytesKept: UInt64 = 64 << 20
        /// Space is reserved in steps of this size.
        static let reservationStep: UInt64 = 4 << 20
        /// Bytes of the index for 4096 pages of the WAL, and for the first fewer
        /// (https://www.sqlite.org/walformat.html).
        static let indexPart: UInt64 = 32 << 10
        static let bytesOfIndexPart: UInt64 = 4096 * (4096 + 24)
    }

    private let descriptor: FileDescriptor
    /// The index of the WAL, which SQLite maps: to write to a page of it that has no block is a bus error.
    private let index: FileDescriptor
    private let waits = SyncGate()
    /// Bytes from the start of the file that have blocks on the disk.
    private let reserved = Mutex(UInt64(0))

    init(_ descriptor: consuming FileDescriptor, index: consuming FileDescriptor) {
        self.descriptor = descriptor
        self.index = index
    }

    func wait() throws(StorageError) {
        try waits.pass { () throws(StorageError) in try descriptor.syncData() }
    }

    /// Makes sure that the file can grow to `bytes` without finding the disk full.
    ///
    /// - Throws: `StorageError.full`.
    func reserve(_ bytes: UInt64) throws(StorageError) {
        try reserved.withLock { (reserved) throws(StorageError) in
            guard bytes > reserved || bytes > Limits.bytesKept else { return }
            let steps = bytes / Limits.reservationStep + 1
            let size = steps * Limits.reservationStep
            try descriptor.reserve(upTo: size)
            try index.reserve(upTo: (size / Limits.bytesOfIndexPart + 2) * Limits.indexPart)
            // Beyond what is kept it may be cut off at any time: reserved anew each time.
            reserved = min(size, Limits.bytesKept)
        }
    }
}
