package import Base
internal import CSodium

/// XSalsa20 (Bernstein 2011): a key stream to XOR with, and nothing that notices changes.
package enum XSalsa20 {
    package static let nonceSize = 24

    /// XORs the key stream into `bytes`, in place. libsodium: `crypto_stream_xsalsa20_xor`.
    ///
    /// - Precondition: the nonce has 24 bytes.
    package static func xor(_ bytes: inout [UInt8], key: Bytes32, nonce: [UInt8]) {
        precondition(nonce.count == nonceSize, "a nonce of \(nonce.count) bytes")
        var span = bytes.mutableSpan
        xor(&span, key: key, nonce: nonce)
    }

    package static func xor(_ bytes: inout MutableSpan<UInt8>, key: Bytes32, nonce: [UInt8]) {
        precondition(nonce.count == nonceSize, "a nonce of \(nonce.count) bytes")
        Sodium.start()
        // The pointer covers the span; input and output may be the same memory.
        unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            _ = unsafe key.withPointer { key in
                unsafe crypto_stream_xsalsa20_xor(base, base, UInt64(buffer.count), nonce, key)
            }
        }
    }
}

/// XChaCha20: a key stream to XOR with, and nothing that notices changes.
package enum XChaCha20 {
    package static let nonceSize = 24
    package static let zeroNonce = [UInt8](repeating: 0, count: nonceSize)

    /// XORs the key stream into `bytes`, in place. libsodium: `crypto_stream_xchacha20_xor`.
    ///
    /// - Parameter nonce: zero only for a key that is used for one plaintext alone.
    /// - Precondition: the nonce has 24 bytes.
    package static func xor(
        _ bytes: inout [UInt8], key: Bytes32, nonce: [UInt8] = zeroNonce
    ) {
        var span = bytes.mutableSpan
        xor(&span, key: key, nonce: nonce)
    }

    package static func xor(
        _ bytes: inout MutableSpan<UInt8>, key: Bytes32, nonce: [UInt8] = zeroNonce
    ) {
        precondition(nonce.count == nonceSize, "a nonce of \(nonce.count) bytes")
        Sodium.start()
        // The pointer covers the span; input and output may be the same memory.
        unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            _ = unsafe key.withPointer { key in
                unsafe crypto_stream_xchacha20_xor(base, base, UInt64(buffer.count), nonce, key)
            }
        }
    }
}
