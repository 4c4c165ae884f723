import Base

/// Seals plaintexts and appends those that are new; counts what it did.
struct ChunkSink {
    private let cipher: ChunkCipher
    private let storage: any ChunkStorage
    private var ciphertext: [UInt8] = []
    /// Those of the content being built that are not appended.
    var inPlace = InPlaceChunks()
    private(set) var statistics = BuildStatistics()

    init(_ keys: ContentKeys, _ storage: any ChunkStorage) {
        cipher = ChunkCipher(keys)
        self.storage = storage
    }

    /// - Parameter offset: of the bytes in the file being cut; nil if they are no part of it.
    mutating func put(_ plaintext: Span<UInt8>, from offset: UInt64? = nil) throws(StorageError)
        -> ChunkReference
    {
        let reference = cipher.seal(plaintext, into: &ciphertext)
        statistics.bytesHashed += UInt64(plaintext.count)
        if storage.contains(reference.address) { return reference }
        let isInPlace = offset.map { inPlace.keep(reference, plaintext, at: $0) } ?? false
        if !isInPlace {
            try storage.append(reference, plaintext: plaintext)
            statistics.bytesAppended += UInt64(plaintext.count)
            statistics.chunksAppended += 1
        }
        return reference
    }

    mutating func resetStatistics() { statistics = BuildStatistics() }
}

/// What building one content has cost.
package struct BuildStatistics: Equatable, Sendable {
    /// Bytes that were hashed and ciphered, list chunks included.
    package var bytesHashed: UInt64 = 0
    /// Bytes that were new to the storage.
    package var bytesAppended: UInt64 = 0
    package var chunksAppended = 0
}
