package import Base
internal import CSodium

/// An X25519 key pair to which anyone can seal a message (libsodium: `crypto_box_seal`).
package struct EncryptionKeyPair: Sendable {
    package let publicKey: Bytes32
    private let secret: SecretMemory

    /// Bytes that sealing adds.
    package static let overhead = 48

    /// The pair that belongs to a 32-byte seed. libsodium: `crypto_box_seed_keypair`.
    package init(seed: Bytes32) {
        var publicKey = Bytes32.zero
        secret = unsafe SecretMemory(count: 32) { secret in
            publicKey = unsafe Bytes32 { output in
                unsafe seed.withPointer { seed in
                    // All have 32 bytes.
                    let code = unsafe crypto_box_seed_keypair(output, secret, seed)
                    precondition(code == 0)
                }
            }
        }
        self.publicKey = publicKey
    }

    /// Opens what `seal` made for this pair.
    ///
    /// - Throws: `.badLength` below 48 bytes, `.forged` for what was not sealed to this key.
    package func open(_ sealed: Span<UInt8>) throws(CryptoError) -> [UInt8] {
        guard sealed.count >= Self.overhead else { throw .badLength(sealed.count) }
        var code: Int32 = 0
        // One byte more, so that even an empty message has a place to be written to.
        var message = [UInt8](repeating: 0, count: sealed.count - Self.overhead + 1)
        unsafe publicKey.withPointer { publicKey in
            unsafe secret.withPointer { secret in
                unsafe sealed.withPointer { input, count in
                    // `count` - 48 bytes out; the keys have 32 bytes.
                    code = unsafe crypto_box_seal_open(
                        &message, input, UInt64(count), publicKey, secret)
                }
            }
        }
        guard code == 0 else { throw .forged }
        message.removeLast()
        return message
    }

    /// Seals a message that only the holder of `publicKey`'s secret can open. It draws a key pair of
    /// its own, so that sealing twice gives different bytes.
    ///
    /// - Throws: `.badPublicKey` for a point of small order.
    package static func seal(
        _ message: Span<UInt8>, to publicKey: Bytes32
    ) throws(CryptoError) -> [UInt8] {
        Sodium.start()
        var code: Int32 = 0
        var sealed = [UInt8](repeating: 0, count: message.count + overhead)
        unsafe publicKey.withPointer { publicKey in
            unsafe message.withPointer { input, count in
                // `count` + 48 bytes out; the key has 32 bytes.
                code = unsafe crypto_box_seal(&sealed, input, UInt64(count), publicKey)
            }
        }
        guard code == 0 else { throw .badPublicKey }
        return sealed
    }

    /// The scalar that opens: no one else is shown it.
    var secretKey: Bytes32 {
        unsafe secret.withPointer { bytes in
            unsafe Bytes32 { unsafe $0.update(from: bytes, count: 32) }
        }
    }
}
