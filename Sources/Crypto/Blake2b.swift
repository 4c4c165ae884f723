package import Base
internal import CSodium

/// BLAKE2b (RFC 7693), keyed or not.
package enum Blake2b {
    /// Keys are 16 to 64 bytes (libsodium's bounds).
    package static let keySizes = 16...64

    package static func hash256(_ bytes: [UInt8]) -> Bytes32 { hash256(bytes.span) }

    /// The 32-byte digest. libsodium: `crypto_generichash`.
    package static func hash256(_ bytes: Span<UInt8>) -> Bytes32 {
        Sodium.start()
        return unsafe Bytes32 { output in
            unsafe bytes.withPointer { input, count in
                // The output has 32 bytes; the input pointer covers `count`.
                let code = unsafe crypto_generichash(output, 32, input, UInt64(count), nil, 0)
                precondition(code == 0)
            }
        }
    }

    package static func hash256(key: Bytes32, _ bytes: [UInt8]) -> Bytes32 {
        hash256(key: key, bytes.span)
    }

    /// The 32-byte digest of `bytes` under a 32-byte key.
    package static func hash256(key: Bytes32, _ bytes: Span<UInt8>) -> Bytes32 {
        Sodium.start()
        return unsafe Bytes32 { output in
            unsafe key.withPointer { key in
                unsafe bytes.withPointer { input, count in
                    // The output and the key have 32 bytes; the input pointer covers `count`.
                    let code = unsafe crypto_generichash(
                        output, 32, input, UInt64(count), key, 32)
                    precondition(code == 0)
                }
            }
        }
    }

    package static func hash256(key: [UInt8], _ bytes: [UInt8]) -> Bytes32 {
        hash256(key: key, bytes.span)
    }

    /// The 32-byte digest of `bytes` under `key`.
    ///
    /// - Precondition: the key's size lies in `keySizes`.
    package static func hash256(key: [UInt8], _ bytes: Span<UInt8>) -> Bytes32 {
        precondition(keySizes.contains(key.count), "a key of \(key.count) bytes")
        Sodium.start()
        return unsafe Bytes32 { output in
            unsafe key.span.withPointer { key, keyCount in
                unsafe bytes.withPointer { input, count in
                    // The output has 32 bytes; the other pointers cover their counts.
                    let code = unsafe crypto_generichash(
                        output, 32, input, UInt64(count), key, keyCount)
                    precondition(code == 0)
                }
            }
        }
    }

    package static func hash512(_ bytes: [UInt8]) -> [UInt8] { hash512(bytes.span) }

    /// The 64-byte digest.
    package static func hash512(_ bytes: Span<UInt8>) -> [UInt8] {
        hash512(key: [], bytes)
    }

    /// The 64-byte digest of `bytes` under `key`.
    ///
    /// - Precondition: the key is empty (none) or its size lies in `keySizes`.
    package static func hash512(key: [UInt8], _ bytes: Span<UInt8>) -> [UInt8] {
        precondition(
            key.isEmpty || keySizes.contains(key.count), "a key of \(key.count) bytes")
        Sodium.start()
        return unsafe [UInt8](writing: 64) { output in
            unsafe key.span.withPointer { key, keyCount in
                unsafe bytes.withPointer { input, count in
                    // The output has 64 bytes; the other pointers cover their counts.
                    let code = unsafe crypto_generichash(
                        output, 64, input, UInt64(count), key, keyCount)
                    precondition(code == 0)
                }
            }
        }
    }
}

/// BLAKE2b-256 over bytes that come in pieces. A copy goes on by itself from where it was made.
package struct Blake2bHasher: Sendable {
    private var state = holdfast_hash_state()

    package init() {
        Sodium.start()
        // The state is this value's own memory, laid out by the C header.
        let code = unsafe holdfast_hash_init(&state, nil, 0, 32)
        precondition(code == 0)
    }

    package init(key: Bytes32) { self.init(key: key.bytes) }

    /// - Precondition: the key's size lies in `Blake2b.keySizes`.
    package init(key: [UInt8]) {
        precondition(Blake2b.keySizes.contains(key.count), "a key of \(key.count) bytes")
        Sodium.start()
        // The key's pointer covers its count.
        let code = unsafe holdfast_hash_init(&state, key, key.count, 32)
        precondition(code == 0)
    }

    package mutating func update(_ bytes: [UInt8]) { update(bytes.span) }

    package mutating func update(_ bytes: Span<UInt8>) {
        unsafe bytes.withPointer { input, count in
            // The pointer covers `count` bytes.
            let code = unsafe holdfast_hash_update(&state, input, UInt64(count))
            precondition(code == 0)
        }
    }

    package mutating func update(_ value: Bytes32) {
        unsafe value.withPointer { input in
            // The pointer covers 32 bytes.
            let code = unsafe holdfast_hash_update(&state, input, 32)
            precondition(code == 0)
        }
    }

    /// The digest of everything so far; the hasher may go on afterwards.
    package func finalize() -> Bytes32 {
        return unsafe Bytes32 { output in
            // The output has 32 bytes, as `init` said.
            let code = unsafe withUnsafePointer(to: state) {
                unsafe holdfast_hash_final($0, output, 32)
            }
            precondition(code == 0)
        }
    }
}

extension [UInt8] {
    /// An array of `count` bytes, all of which `body` writes.
    @inline(__always)
    init(writing count: Int, _ body: (UnsafeMutablePointer<UInt8>) -> Void) {
        guard count > 0 else {
            self = []
            return
        }
        // The buffer has `count` bytes; `body` promises to write them all.
        unsafe self.init(unsafeUninitializedCapacity: count) { buffer, initializedCount in
            unsafe body(buffer.baseAddress.unsafelyUnwrapped)
            initializedCount = count
        }
    }
}
