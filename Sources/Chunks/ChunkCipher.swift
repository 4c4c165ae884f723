package import Base
import Crypto
import Wire

/// Why bytes are not the chunk they should be.
package enum ChunkError: Error, Equatable, Sendable {
    /// Not as many bytes as the reference says.
    case wrongLength
    /// The ciphertext hashes to another address: the bytes were changed, or are another chunk's.
    case wrongAddress
    /// The ciphertext is the right one, and whoever made it broke the rules: the plaintext does not
    /// hash to the reference's key, or the padding is not zeros. Nobody can deliver a better one.
    case wrongKey
}

/// Convergent encryption of chunks: equal plaintexts of one share are equal chunks.
///
/// For a plaintext P under a content key:
///
///     key         k = BLAKE2b-256(P, key: content key)
///     ciphertext  C = XChaCha20(P | zeros up to the Padmé class, key: k, nonce: zeros)
///     address     a = BLAKE2b-256(C)
///
/// The nonce may be constant because a key belongs to one plaintext.
package struct ChunkCipher: Sendable {
    private let keys: ContentKeys

    package init(_ keys: ContentKeys) { self.keys = keys }

    /// Ciphers a plaintext; `ciphertext` is overwritten and its memory reused.
    ///
    /// - Precondition: 1 to `ChunkLimits.chunkSizeMax` bytes.
    package func seal(_ plaintext: Span<UInt8>, into ciphertext: inout [UInt8]) -> ChunkReference {
        precondition(
            plaintext.count > 0 && plaintext.count <= ChunkLimits.chunkSizeMax,
            "a chunk of \(plaintext.count) bytes")
        let key = Blake2b.hash256(key: keys.contentKey, plaintext)
        Self.encipher(plaintext, key: key, into: &ciphertext)
        return ChunkReference(
            address: Blake2b.hash256(ciphertext.span), key: key, length: UInt32(plaintext.count))
    }

    package func seal(_ plaintext: [UInt8]) -> (reference: ChunkReference, ciphertext: [UInt8]) {
        var ciphertext: [UInt8] = []
        let reference = seal(plaintext.span, into: &ciphertext)
        return (reference, ciphertext)
    }

    /// Turns a ciphertext into its plaintext, in place.
    ///
    /// - Parameter addressChecked: whether the caller knows that the bytes hash to the address, as
    ///   those that `ChunkExchange` hands up do.
    /// - Throws: `ChunkError`; the bytes are then of no use.
    package func open(
        _ ciphertext: inout [UInt8], as reference: ChunkReference, addressChecked: Bool = false
    ) throws(ChunkError) {
        let length = Int(reference.length)
        guard !reference.isSealed, length > 0, length <= ChunkLimits.chunkSizeMax,
            ciphertext.count == reference.ciphertextLength
        else { throw .wrongLength }
        guard addressChecked || Blake2b.hash256(ciphertext.span) == reference.address else {
            throw .wrongAddress
        }
        XChaCha20.xor(&ciphertext, key: reference.key)
        guard
            ZeroScan.prefix(ciphertext.span.extracting(droppingFirst: length))
                == ciphertext.count - length
        else { throw .wrongKey }
        ciphertext.removeLast(ciphertext.count - length)
        guard isMade(ciphertext.span, under: reference.key) else { throw .wrongKey }
    }

    /// Ciphers a plaintext that is stored under `reference`, to serve it.
    ///
    /// - Throws: `wrongAddress` if the stored bytes are no longer those of the reference: serving
    ///   them would make us the liar.
    package static func seal(
        _ plaintext: Span<UInt8>, as reference: ChunkReference, into ciphertext: inout [UInt8]
    ) throws(ChunkError) {
        guard plaintext.count == Int(reference.length) else { throw .wrongLength }
        if reference.isSealed {
            ciphertext.removeAll(keepingCapacity: true)
            ciphertext.append(copying: plaintext)
        } else {
            encipher(plaintext, key: reference.key, into: &ciphertext)
        }
        guard Blake2b.hash256(ciphertext.span) == reference.address else { throw .wrongAddress }
    }

    private static func encipher(
        _ plaintext: Span<UInt8>, key: Bytes32, into ciphertext: inout [UInt8]
    ) {
        let size = Padme.padded(plaintext.count)
        ciphertext.removeAll(keepingCapacity: true)
        ciphertext.reserveCapacity(size)
        ciphertext.append(copying: plaintext)
        for _ in plaintext.count..<size { ciphertext.append(0) }
        XChaCha20.xor(&ciphertext, key: key)
    }

    /// Whether a stored plaintext is the one that `reference` names: both its key and its address.
    package func verify(_ plaintext: Span<UInt8>, as reference: ChunkReference) -> Bool {
        guard isMade(plaintext, under: reference.key) else { return false }
        var ciphertext: [UInt8] = []
        do throws(ChunkError) {
            try Self.seal(plaintext, as: reference, into: &ciphertext)
            return true
        } catch {
            return false
        }
    }

    private func isMade(_ plaintext: Span<UInt8>, under key: Bytes32) -> Bool {
        if Blake2b.hash256(key: keys.contentKey, plaintext) == key { return true }
        for retired in keys.retiredKeys
        where Blake2b.hash256(key: retired, plaintext) == key { return true }
        return false
    }
}

extension ChunkStorage {
    /// Reads a whole chunk and makes it what peers are sent; `scratch` and `ciphertext` are
    /// overwritten and their memory reused.
    ///
    /// - Returns: false if the chunk is not here.
    /// - Throws: `corrupt` if what is stored is not the chunk any more.
    package func readCiphertext(
        of address: Bytes32, into ciphertext: inout [UInt8], scratch: inout [UInt8]
    ) throws(StorageError) -> Bool {
        guard let reference = try reference(of: address),
            try readAll(reference, into: &scratch)
        else { return false }
        do {
            try ChunkCipher.seal(scratch.span, as: reference, into: &ciphertext)
        } catch {
            throw .corrupt(what: "chunk \(address): its bytes have changed on disk")
        }
        return true
    }

    /// Reads all of a chunk; `bytes` is overwritten and its memory reused.
    ///
    /// - Returns: false if the chunk is not here.
    /// - Throws: `corrupt` if it is shorter than the reference says.
    package func readAll(_ reference: ChunkReference, into bytes: inout [UInt8])
        throws(StorageError) -> Bool
    {
        let length = Int(reference.length)
        guard length <= ChunkLimits.chunkSizeMax else {
            throw .corrupt(what: "chunk \(reference.address): \(length) bytes")
        }
        if bytes.count > length {
            bytes.removeLast(bytes.count - length)
        } else if bytes.count < length {
            bytes.append(contentsOf: repeatElement(0, count: length - bytes.count))
        }
        var span = bytes.mutableSpan
        // The buffer is the array's and is used only during the call.
        let result = unsafe try span.withUnsafeMutableBytes {
            (buffer) throws(StorageError) -> Int? in
            try unsafe read(reference.address, at: 0, into: buffer)
        }
        guard let count = result else { return false }
        guard count == length else {
            throw .corrupt(what: "chunk \(reference.address): \(count) bytes of \(length)")
        }
        return true
    }
}
