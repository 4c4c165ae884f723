internal import Base
internal import Chunks
internal import FileTree
internal import Hypercore
internal import Share

/// How a device stops.
package enum Stop: Hashable, Sendable {
    /// The process dies; what it gave to the system stays.
    case killed
    /// The power fails: what was not synced may be there or not.
    case powerCut
}

/// All that one device has on its disk for a share, and what a crash leaves of it.
///
/// The database is a list of transactions; a power cut keeps the synced ones and some of those that
/// follow, in order, as SQLite's write-ahead log does. Chunks are a list too: a pack's torn end is cut
/// off when it is loaded. A staging file may have any mix of its synced and its later bytes, in blocks.
final class DeviceDisk: @unchecked Sendable {
    struct StoredChunk {
        let reference: ChunkReference
        let bytes: [UInt8]
    }

    struct StagingImage {
        var bytes: [UInt8] = []
        var synced: [UInt8] = []
        /// Whether the file's name is on the disk.
        var hasSyncedName = false
    }

    let power = PowerSwitch()
    var transactions: [[DiskChange]] = []
    var syncedTransactions = 0
    var chunks: [StoredChunk] = []
    var syncedChunks = 0
    var staging: [UInt64: StagingImage] = [:]
    var nextStaging: UInt64 = 1

    static let blockSize = 512

    /// The same bytes on another disk: a folder that somebody copied.
    func copy() -> DeviceDisk {
        let copy = DeviceDisk()
        copy.transactions = transactions
        copy.syncedTransactions = transactions.count
        copy.chunks = chunks
        copy.syncedChunks = chunks.count
        copy.staging = staging
        copy.nextStaging = nextStaging
        return copy
    }

    func become(_ other: DeviceDisk) {
        transactions = other.transactions
        syncedTransactions = transactions.count
        chunks = other.chunks
        syncedChunks = chunks.count
        staging = other.staging
        nextStaging = max(nextStaging, other.nextStaging)
    }

    /// Becomes what a stop leaves, everything on it synced.
    func settle(after stop: Stop, using random: inout SeededRandom) {
        if stop == .powerCut {
            let kept = Int.random(in: syncedTransactions...transactions.count, using: &random)
            transactions.removeSubrange(kept...)
            let keptChunks = Int.random(in: syncedChunks...chunks.count, using: &random)
            chunks.removeSubrange(keptChunks...)
            for id in staging.keys.sorted() { tear(id, using: &random) }
        }
        syncedTransactions = transactions.count
        syncedChunks = chunks.count
        for id in staging.keys.sorted() {
            guard var image = staging[id] else { continue }
            image.synced = image.bytes
            image.hasSyncedName = true
            staging[id] = image
        }
    }

    private func tear(_ id: UInt64, using random: inout SeededRandom) {
        guard let image = staging[id] else { return }
        if !image.hasSyncedName, Bool.random(using: &random) {
            staging[id] = nil
            return
        }
        // The size is the file system's own journal's business: the old one or the new.
        var bytes = Bool.random(using: &random) ? image.bytes : image.synced
        for start in stride(from: 0, to: bytes.count, by: Self.blockSize) {
            let source = Bool.random(using: &random) ? image.bytes : image.synced
            for place in start..<min(start + Self.blockSize, bytes.count) {
                bytes[place] = place < source.count ? source[place] : 0
            }
        }
        staging[id]?.bytes = bytes
    }

    /// Every block of a log that was ever stored, as it was stored.
    func blocksEverStored() -> [WriterSlot: [UInt64: [UInt8]]] {
        var blocks: [WriterSlot: [UInt64: [UInt8]]] = [:]
        for transaction in transactions {
            for case .log(let change, let slot) in transaction {
                for block in change.blocks { blocks[slot, default: [:]][block.index] = block.bytes }
            }
        }
        return blocks
    }

    /// The rows after all transactions.
    func rows() throws(StorageError) -> DiskRows {
        let rows = DiskRows()
        for transaction in transactions {
            for change in transaction { try rows.apply(change) }
        }
        return rows
    }
}
