import Base
import Chunks
import Synchronization

/// Chunks in memory, on a disk that has no room for some of them, or does not give them.
final class FickleChunkStorage: ChunkStorage {
    private struct State {
        var hasNoRoom: @Sendable (Bytes32) -> Bool = { _ in false }
        var refusals = 0
        var isHidden: @Sendable (Bytes32) -> Bool = { _ in false }
    }

    private let memory = MemoryChunkStorage()
    private let state = Mutex(State())

    /// How often there was no room.
    var refusals: Int { state.withLock(\.refusals) }

    func refuse(_ hasNoRoom: @escaping @Sendable (Bytes32) -> Bool) {
        state.withLock { $0.hasNoRoom = hasNoRoom }
    }

    func append(_ reference: ChunkReference, plaintext: Span<UInt8>) throws(StorageError) {
        let isRefused = state.withLock { state in
            let isRefused = state.hasNoRoom(reference.address)
            if isRefused { state.refusals += 1 }
            return isRefused
        }
        if isRefused { throw .full }
        memory.append(reference, plaintext: plaintext)
    }

    func hide(_ isHidden: @escaping @Sendable (Bytes32) -> Bool) {
        state.withLock { $0.isHidden = isHidden }
    }

    private func shows(_ address: Bytes32) -> Bool { !state.withLock { $0.isHidden(address) } }

    func contains(_ address: Bytes32) -> Bool { shows(address) && memory.contains(address) }
    func reference(of address: Bytes32) -> ChunkReference? {
        shows(address) ? memory.reference(of: address) : nil
    }
    func read(
        _ address: Bytes32, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? { shows(address) ? memory.read(address, at: offset, into: buffer) : nil }
    func sync() {}
    func collect(keeping: (Bytes32) -> Bool) -> UInt64 { memory.collect(keeping: keeping) }
    var statistics: ChunkStatistics { memory.statistics }
    var addresses: [Bytes32] { memory.addresses }
}
