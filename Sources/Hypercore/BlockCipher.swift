package import Base
internal import Crypto

/// Hypercore's default block encryption: a private agreement above replication.
///
///     offset  size  stored block
///     0       8     fork, blinded: the seed of the nonce
///     8       n     plaintext XOR XSalsa20(block key, index || the 8 bytes || zeros)
///
/// No tag: the Merkle tree authenticates the stored bytes.
package struct BlockCipher: Sendable {
    /// Bytes a stored block is longer than its plaintext.
    package static let paddingSize = 8

    let blockKey: Bytes32
    let blindingKey: Bytes32

    /// The cipher with the block key given directly.
    package init(blockKey: Bytes32) {
        self.blockKey = blockKey
        blindingKey = Blake2b.hash256(blockKey.bytes)
    }

    /// The cipher of the log named `logKey` under a user's encryption key.
    ///
    /// - Parameter isCompat: the log's key is its signer's public key.
    package init(encryptionKey: Bytes32, logKey: Bytes32, isCompat: Bool = false) {
        if isCompat {
            self.init(blockKey: Blake2b.hash256(key: logKey, encryptionKey.bytes))
        } else {
            var hasher = Blake2bHasher()
            hasher.update(LogNamespace.defaultEncryption)
            hasher.update(logKey)
            hasher.update(encryptionKey)
            self.init(blockKey: hasher.finalize())
        }
    }

    /// The stored form of `plaintext` as block `index`.
    package func seal(_ plaintext: [UInt8], index: UInt64, fork: UInt64) -> [UInt8] {
        var padding = [UInt8](reserving: 8, littleEndian: fork)
        XSalsa20.xor(&padding, key: blindingKey, nonce: Self.nonce(index))
        var body = plaintext
        XSalsa20.xor(&body, key: blockKey, nonce: Self.nonce(index, padding: padding))
        return padding + body
    }

    /// The plaintext of a stored block.
    ///
    /// - Returns: nil for a block too short to be encrypted, which only its writer can have made.
    package func open(_ stored: [UInt8], index: UInt64) -> [UInt8]? {
        guard stored.count >= Self.paddingSize else { return nil }
        let padding = [UInt8](stored[..<Self.paddingSize])
        var plaintext = [UInt8](stored[Self.paddingSize...])
        XSalsa20.xor(&plaintext, key: blockKey, nonce: Self.nonce(index, padding: padding))
        return plaintext
    }

    private static func nonce(_ index: UInt64, padding: [UInt8] = []) -> [UInt8] {
        var nonce = [UInt8](reserving: XSalsa20.nonceSize, littleEndian: index)
        nonce.append(contentsOf: padding)
        while nonce.count < XSalsa20.nonceSize { nonce.append(0) }
        return nonce
    }
}

extension [UInt8] {
    /// Eight bytes, the least significant first, with room for more.
    fileprivate init(reserving capacity: Int, littleEndian value: UInt64) {
        self = []
        reserveCapacity(capacity)
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            append(UInt8(truncatingIfNeeded: value &>> shift))
        }
    }
}
