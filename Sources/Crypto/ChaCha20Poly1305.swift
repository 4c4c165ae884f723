package import Base
internal import CSodium

/// ChaCha20-Poly1305 with associated data (RFC 8439).
package enum ChaCha20Poly1305 {
    package static let nonceSize = 12
    package static let tagSize = 16

    /// The ciphertext and its 16-byte tag. libsodium: `crypto_aead_chacha20poly1305_ietf_encrypt`.
    ///
    /// - Precondition: the nonce has 12 bytes, and was never used with this key before.
    package static func seal(
        _ plaintext: Span<UInt8>, key: Bytes32, nonce: [UInt8], associatedData: Span<UInt8>
    ) -> [UInt8] {
        precondition(nonce.count == nonceSize, "a nonce of \(nonce.count) bytes")
        Sodium.start()
        return unsafe [UInt8](writing: plaintext.count + tagSize) { output in
            unsafe key.withPointer { key in
                unsafe plaintext.withPointer { input, count in
                    unsafe associatedData.withPointer { data, dataCount in
                        // `count` + 16 bytes out; the other pointers cover their counts.
                        let code = unsafe crypto_aead_chacha20poly1305_ietf_encrypt(
                            output, nil, input, UInt64(count), data, UInt64(dataCount), nil,
                            nonce, key)
                        precondition(code == 0)
                    }
                }
            }
        }
    }

    /// The plaintext.
    ///
    /// - Throws: `.badLength` below 16 bytes, `.forged` if the tag does not fit.
    /// - Precondition: the nonce has 12 bytes.
    package static func open(
        _ ciphertext: Span<UInt8>, key: Bytes32, nonce: [UInt8], associatedData: Span<UInt8>
    ) throws(CryptoError) -> [UInt8] {
        precondition(nonce.count == nonceSize, "a nonce of \(nonce.count) bytes")
        guard ciphertext.count >= tagSize else { throw .badLength(ciphertext.count) }
        Sodium.start()
        var code: Int32 = 0
        // One byte more, so that even an empty plaintext has a place to be written to.
        var plaintext = unsafe [UInt8](writing: ciphertext.count - tagSize + 1) { output in
            // libsodium leaves the rest unwritten when it refuses.
            unsafe output.update(repeating: 0, count: ciphertext.count - tagSize + 1)
            unsafe key.withPointer { key in
                unsafe ciphertext.withPointer { input, count in
                    unsafe associatedData.withPointer { data, dataCount in
                        // `count` - 16 bytes out; the other pointers cover their counts.
                        code = unsafe crypto_aead_chacha20poly1305_ietf_decrypt(
                            output, nil, nil, input, UInt64(count), data, UInt64(dataCount),
                            nonce, key)
                    }
                }
            }
        }
        guard code == 0 else { throw .forged }
        plaintext.removeLast()
        return plaintext
    }
}
