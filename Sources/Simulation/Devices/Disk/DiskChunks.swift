internal import Base
internal import Chunks
internal import Wire

/// Chunks on a device's disk: appended, durable after a sync.
final class DiskChunks: ChunkStorage, @unchecked Sendable {
    private let disk: DeviceDisk
    /// By address, the place in the disk's list.
    private var places: [Bytes32: Int] = [:]

    init(_ disk: DeviceDisk) {
        self.disk = disk
        index()
    }

    private func index() {
        places.removeAll(keepingCapacity: true)
        for (place, chunk) in disk.chunks.enumerated() { places[chunk.reference.address] = place }
    }

    func contains(_ address: Bytes32) -> Bool { places[address] != nil }

    func isDurable(_ address: Bytes32) -> Bool {
        places[address].map { $0 < disk.syncedChunks } ?? false
    }

    func reference(of address: Bytes32) throws(StorageError) -> ChunkReference? {
        places[address].map { disk.chunks[$0].reference }
    }

    func read(_ address: Bytes32, at offset: Int, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> Int?
    {
        guard let place = places[address] else { return nil }
        let bytes = disk.chunks[place].bytes
        guard offset >= 0, offset < bytes.count else { return 0 }
        let end = min(bytes.count, offset + buffer.count)
        // At most the buffer's count, by the line above.
        unsafe buffer.copyBytes(from: bytes[offset..<end])
        return end - offset
    }

    func append(_ reference: ChunkReference, plaintext: Span<UInt8>) throws(StorageError) {
        try disk.power.step()
        try disk.power.requireRoom()
        guard places[reference.address] == nil else { return }
        places[reference.address] = disk.chunks.count
        disk.chunks.append(
            DeviceDisk.StoredChunk(reference: reference, bytes: [UInt8](copying: plaintext)))
    }

    func sync() throws(StorageError) {
        try disk.power.step()
        disk.syncedChunks = disk.chunks.count
        try disk.power.step()
    }

    func collect(keeping: (Bytes32) -> Bool) throws(StorageError) -> UInt64 {
        try disk.power.step()
        let before = statistics.bytes
        var kept: [DeviceDisk.StoredChunk] = []
        var synced = 0
        for (place, chunk) in disk.chunks.enumerated() where keeping(chunk.reference.address) {
            kept.append(chunk)
            if place < disk.syncedChunks { synced += 1 }
        }
        disk.chunks = kept
        disk.syncedChunks = synced
        index()
        return before - statistics.bytes
    }

    var statistics: ChunkStatistics {
        ChunkStatistics(
            chunks: disk.chunks.count,
            bytes: disk.chunks.reduce(0) { $0 + UInt64($1.bytes.count) })
    }
}
