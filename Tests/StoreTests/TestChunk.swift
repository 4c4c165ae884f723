import Base
import Chunks
import Store

/// Random bytes under a random name: packs check neither address nor key.
struct TestChunk: Sendable {
    let reference: ChunkReference
    let bytes: [UInt8]

    init(size: Int, using random: inout SeededRandom) {
        bytes = random.bytes(size)
        reference = ChunkReference(
            address: Bytes32(random.bytes(32)) ?? .zero, key: Bytes32(random.bytes(32)) ?? .zero,
            length: UInt32(size))
    }

    func add(to store: PackStore) throws(StorageError) {
        try store.append(reference, plaintext: bytes.span)
    }

    /// Whether a store has exactly this chunk.
    func isIn(_ store: PackStore) throws -> Bool {
        guard store.contains(reference.address),
            try store.reference(of: reference.address) == reference
        else { return false }
        return try store.bytes(of: reference.address) == bytes
    }
}

extension PackStore {
    func bytes(of address: Bytes32, from offset: Int = 0, count: Int = 1 << 20) throws -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: count)
        let read = try buffer.withUnsafeMutableBytes { bytes -> Int? in
            try self.read(address, at: offset, into: bytes)
        }
        return read.map { Array(buffer.prefix($0)) }
    }
}
