package import Base
import Synchronization
import Wire

/// Chunks in memory: for tests and simulations.
package final class MemoryChunkStorage: ChunkStorage {
    private struct Chunk {
        let reference: ChunkReference
        let bytes: [UInt8]
    }

    private let chunks = Mutex<[Bytes32: Chunk]>([:])

    package init() {}

    package func contains(_ address: Bytes32) -> Bool {
        chunks.withLock { $0[address] != nil }
    }

    package func reference(of address: Bytes32) -> ChunkReference? {
        chunks.withLock { $0[address]?.reference }
    }

    package func read(
        _ address: Bytes32, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        guard let chunk = chunks.withLock({ $0[address] }) else { return nil }
        guard offset >= 0, offset < chunk.bytes.count else { return 0 }
        let end = min(chunk.bytes.count, offset + buffer.count)
        // At most the buffer's count, by the line above.
        unsafe buffer.copyBytes(from: chunk.bytes[offset..<end])
        return end - offset
    }

    package func append(_ reference: ChunkReference, plaintext: Span<UInt8>) {
        precondition(plaintext.count == Int(reference.length))
        let chunk = Chunk(reference: reference, bytes: [UInt8](copying: plaintext))
        chunks.withLock { chunks in
            if chunks[reference.address] == nil { chunks[reference.address] = chunk }
        }
    }

    package func sync() {}

    package func collect(keeping: (Bytes32) -> Bool) -> UInt64 {
        let before = statistics.bytes
        // Without the lock, which `keeping` must not find held.
        let addresses = chunks.withLock { Array($0.keys) }
        let dropped = addresses.filter { !keeping($0) }
        chunks.withLock { chunks in
            for address in dropped { chunks[address] = nil }
        }
        return before - statistics.bytes
    }

    package var statistics: ChunkStatistics {
        chunks.withLock { chunks in
            ChunkStatistics(
                chunks: chunks.count, bytes: chunks.values.reduce(0) { $0 + UInt64($1.bytes.count) }
            )
        }
    }

    /// Every address, in order.
    package var addresses: [Bytes32] { chunks.withLock { $0.keys.sorted() } }
}
