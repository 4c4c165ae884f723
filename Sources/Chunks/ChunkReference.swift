package import Base

/// What a content list says of one chunk: enough to ask for it, check it and read it.
///
/// A device that cannot read the share holds ciphertext: it has no key, which a key of zeros says,
/// and `length` is then that of the ciphertext.
package struct ChunkReference: Hashable, Sendable {
    /// BLAKE2b-256 of the ciphertext: anyone can check it.
    package let address: Bytes32
    /// BLAKE2b-256 of the plaintext under the share's content key: also the cipher's key.
    package let key: Bytes32
    /// The plaintext's length in bytes.
    package let length: UInt32

    package init(address: Bytes32, key: Bytes32, length: UInt32) {
        self.address = address
        self.key = key
        self.length = length
    }

    /// A chunk held as ciphertext, by a device without its key.
    package init(sealed address: Bytes32, ciphertextLength: UInt32) {
        self.init(address: address, key: .zero, length: ciphertextLength)
    }

    /// Whether what is stored under this reference is ciphertext.
    package var isSealed: Bool { key == .zero }
}
