package import Base
internal import CSodium

/// An Ed25519 key pair (RFC 8032). The same pair signs and agrees on keys (see `sharedSecret`).
///
/// The secret half lies in memory that is left out of core dumps; a description shows the public
/// half alone. Copies share one secret.
package struct KeyPair: Sendable {
    package let publicKey: Bytes32
    /// The seed, then the public key: 64 bytes, as libsodium keeps secret keys.
    private let secret: SecretMemory

    /// The pair that belongs to a 32-byte seed. libsodium: `crypto_sign_seed_keypair`.
    package init(seed: Bytes32) {
        var publicKey = Bytes32.zero
        secret = unsafe SecretMemory(count: 64) { secret in
            publicKey = unsafe Bytes32 { output in
                unsafe seed.withPointer { seed in
                    // 32, 64 and 32 bytes, as the function wants.
                    let code = unsafe crypto_sign_seed_keypair(output, secret, seed)
                    precondition(code == 0)
                }
            }
        }
        self.publicKey = publicKey
    }

    /// A new pair. Only `SecureRandom` gives one that nobody can guess.
    package init(using random: inout some RandomNumberGenerator) {
        self.init(seed: Bytes32(using: &random))
    }

    /// The seed, to be stored; keep it out of logs.
    package var seed: Bytes32 {
        unsafe secret.withPointer { secret in
            // The first 32 of 64 bytes.
            unsafe Bytes32 { unsafe $0.update(from: secret, count: 32) }
        }
    }

    package func sign(_ message: [UInt8]) -> [UInt8] { sign(message.span) }

    /// The 64-byte signature. libsodium: `crypto_sign_detached`.
    package func sign(_ message: Span<UInt8>) -> [UInt8] {
        unsafe [UInt8](writing: signatureSize) { signature in
            unsafe secret.withPointer { secret in
                unsafe message.withPointer { message, count in
                    // 64 bytes out, `count` and 64 bytes in.
                    let code = unsafe crypto_sign_detached(
                        signature, nil, message, UInt64(count), secret)
                    precondition(code == 0)
                }
            }
        }
    }

    /// What both sides get from their own secret and the other's public key: the point
    /// `s * publicKey`, compressed, where `s` is the scalar that signing uses (not X25519).
    ///
    /// libsodium: `crypto_scalarmult_ed25519_noclamp`.
    /// - Throws: `.badPublicKey` for a key that is not canonical, not on the curve, of small order or
    ///   outside the prime-order group.
    package func sharedSecret(with publicKey: Bytes32) throws(CryptoError) -> Bytes32 {
        var code: Int32 = 0
        let result = unsafe Bytes32 { output in
            unsafe withScalar { scalar in
                unsafe publicKey.withPointer { point in
                    // All three have 32 bytes.
                    code = unsafe crypto_scalarmult_ed25519_noclamp(output, scalar, point)
                }
            }
        }
        guard code == 0 else { throw .badPublicKey }
        return result
    }

    /// The clamped first half of SHA-512 of the seed, wiped after use.
    func withScalar(_ body: (UnsafePointer<UInt8>) -> Void) {
        var digest: InlineArray<64, UInt8> = .init(repeating: 0)
        var bytes = digest.mutableSpan
        // The span has 64 bytes: what SHA-512 writes and what is wiped. The pointer stays inside.
        unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            let base = unsafe buffer.baseAddress.unsafelyUnwrapped
            _ = unsafe secret.withPointer { unsafe crypto_hash_sha512(base, $0, 32) }
            unsafe base[0] &= 0xf8
            unsafe base[31] &= 0x7f
            unsafe base[31] |= 0x40
            unsafe body(base)
            unsafe sodium_memzero(base, 64)
        }
    }
}

extension KeyPair: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "KeyPair(\(publicKey))" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["publicKey": publicKey]) }
}

/// The bytes of an Ed25519 signature.
package let signatureSize = 64

package func verify(signature: [UInt8], message: [UInt8], publicKey: Bytes32) -> Bool {
    verify(signature: signature.span, message: message.span, publicKey: publicKey)
}

/// Whether `signature` was made over `message` by the holder of `publicKey`; false for a signature of
/// any other length. libsodium: `crypto_sign_verify_detached`.
package func verify(
    signature: Span<UInt8>, message: Span<UInt8>, publicKey: Bytes32
) -> Bool {
    guard signature.count == signatureSize else { return false }
    Sodium.start()
    return unsafe signature.withPointer { signature, _ in
        unsafe message.withPointer { message, count in
            unsafe publicKey.withPointer { publicKey in
                // 64, `count` and 32 bytes.
                unsafe crypto_sign_verify_detached(signature, message, UInt64(count), publicKey)
                    == 0
            }
        }
    }
}
