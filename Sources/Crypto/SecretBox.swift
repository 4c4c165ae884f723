package import Base
internal import CSodium

/// XSalsa20-Poly1305 as NaCl's secretbox lays it out: the tag first.
package enum SecretBox {
    package static let nonceSize = 24
    package static let tagSize = 16

    /// The 16-byte tag and the ciphertext. libsodium: `crypto_secretbox_easy`.
    ///
    /// - Precondition: the nonce has 24 bytes, and was never used with this key before.
    package static func seal(_ plaintext: Span<UInt8>, key: Bytes32, nonce: [UInt8]) -> [UInt8] {
        precondition(nonce.count == nonceSize, "a nonce of \(nonce.count) bytes")
        Sodium.start()
        return unsafe [UInt8](writing: plaintext.count + tagSize) { output in
            unsafe key.withPointer { key in
                unsafe plaintext.withPointer { input, count in
                    // `count` + 16 bytes out, `count`, 24 and 32 in.
                    let code = unsafe crypto_secretbox_easy(
                        output, input, UInt64(count), nonce, key)
                    precondition(code == 0)
                }
            }
        }
    }

    /// The plaintext.
    ///
    /// - Throws: `.badLength` below 16 bytes, `.forged` if the tag does not fit.
    /// - Precondition: the nonce has 24 bytes.
    package static func open(
        _ sealed: Span<UInt8>, key: Bytes32, nonce: [UInt8]
    ) throws(CryptoError) -> [UInt8] {
        precondition(nonce.count == nonceSize, "a nonce of \(nonce.count) bytes")
        guard sealed.count >= tagSize else { throw .badLength(sealed.count) }
        Sodium.start()
        var code: Int32 = 0
        // One byte more, so that even an empty plaintext has a place to be written to.
        var plaintext = unsafe [UInt8](writing: sealed.count - tagSize + 1) { output in
            // libsodium leaves the rest unwritten when it refuses.
            unsafe output.update(repeating: 0, count: sealed.count - tagSize + 1)
            unsafe key.withPointer { key in
                unsafe sealed.withPointer { input, count in
                    // `count` - 16 bytes out, `count`, 24 and 32 in.
                    code = unsafe crypto_secretbox_open_easy(
                        output, input, UInt64(count), nonce, key)
                }
            }
        }
        guard code == 0 else { throw .forged }
        plaintext.removeLast()
        return plaintext
    }
}
