package import Base

/// What a chunk store holds, for status.
package struct ChunkStatistics: Equatable, Sendable {
    package var chunks: Int
    /// Bytes of chunks, without headers and indexes.
    package var bytes: UInt64
    package var packs: Int

    package init(chunks: Int = 0, bytes: UInt64 = 0, packs: Int = 0) {
        self.chunks = chunks
        self.bytes = bytes
        self.packs = packs
    }
}

/// Chunks of one share on one device, by address. Safe to call from any thread, without other locks.
///
/// Members append plaintext. A device without the share key appends ciphertext under a sealed
/// reference, and reads ciphertext back: the storage itself neither ciphers nor checks addresses.
package protocol ChunkStorage: AnyObject, Sendable {
    func contains(_ address: Bytes32) -> Bool

    /// Whether a chunk is here and would be after a power cut.
    func isDurable(_ address: Bytes32) -> Bool

    /// The reference a chunk was appended under: its key and length. Nil if it is not here.
    func reference(of address: Bytes32) throws(StorageError) -> ChunkReference?

    /// Copies stored bytes of a chunk, from `offset` within it, to the front of `buffer`.
    ///
    /// - Returns: how many bytes were copied, less than the buffer's size only at the chunk's end;
    ///   nil if the chunk is not here.
    func read(_ address: Bytes32, at offset: Int, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> Int?

    /// Where stored bytes of a chunk stand in a file.
    ///
    /// - Returns: nil if there are no such bytes in a file, or the chunk has not so many: `read` tells.
    func stored(_ address: Bytes32, at offset: Int, count: Int) throws(StorageError) -> StoredRange?

    /// Keeps a chunk whose bytes the caller has checked; does nothing if it is here already.
    /// Durable after the next `sync`.
    ///
    /// - Precondition: `plaintext` has `reference.length` bytes.
    func append(_ reference: ChunkReference, plaintext: Span<UInt8>) throws(StorageError)

    /// Makes chunks its own whose bytes stand in a file, where they stand: durably, when it returns. From
    /// then on the file's owner must not change them; he may remove the file. Does nothing for those that
    /// are here already.
    ///
    /// - Parameter chunks: not overlapping, by offset. The caller has checked their bytes.
    /// - Returns: false, and nothing was done, if it cannot: append them.
    /// - Throws: some may be here now.
    func adopt(_ chunks: [InPlaceChunk], of file: any AdoptableFile) throws(StorageError) -> Bool

    /// Returns when everything appended before the call is durable.
    func sync() throws(StorageError)

    /// Drops the chunks that `keeping` refuses; those appended during the run stay.
    ///
    /// - Returns: the bytes freed.
    func collect(keeping: (Bytes32) -> Bool) throws(StorageError) -> UInt64

    var statistics: ChunkStatistics { get }
}

extension ChunkStorage {
    package func isDurable(_ address: Bytes32) -> Bool { contains(address) }

    package func stored(_ address: Bytes32, at offset: Int, count: Int) throws(StorageError)
        -> StoredRange?
    { nil }

    package func adopt(_ chunks: [InPlaceChunk], of file: any AdoptableFile) throws(StorageError)
        -> Bool
    { false }
}
