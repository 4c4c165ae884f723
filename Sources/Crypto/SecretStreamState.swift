package import Base
internal import CSodium

/// One direction of libsodium's `crypto_secretstream_xchacha20poly1305`: messages that open only
/// whole, unchanged and in order. A state either pushes or pulls.
package struct SecretStreamState: Sendable {
    package static let headerSize = 24
    /// What a message grows by: the encrypted tag byte in front and the 16-byte authenticator.
    package static let overhead = 17

    private var state: crypto_secretstream_xchacha20poly1305_state

    /// The state that belongs to a key and a 24-byte header. The sender picks the header at random;
    /// the receiver gets it from the sender.
    ///
    /// libsodium's `init_push` is this with randomness of its own. Randomness comes in as an argument
    /// here, and `init_pull` derives the same state from the same header.
    /// - Precondition: the header has 24 bytes.
    package init(key: Bytes32, header: Span<UInt8>) {
        precondition(header.count == Self.headerSize, "a header of \(header.count) bytes")
        Sodium.start()
        var state = crypto_secretstream_xchacha20poly1305_state()
        unsafe key.withPointer { key in
            unsafe header.withPointer { header, _ in
                // 24 and 32 bytes; the state is laid out by the C header.
                let code = unsafe crypto_secretstream_xchacha20poly1305_init_pull(
                    &state, header, key)
                precondition(code == 0)
            }
        }
        self.state = state
    }

    /// Encrypts one message to the end of `output`: 17 bytes more than `message`.
    package mutating func push(_ message: Span<UInt8>, into output: inout [UInt8]) {
        output.append(addingCapacity: message.count + Self.overhead) { room in
            // The room is for the message and the overhead, all of which libsodium writes.
            unsafe room.withUnsafeMutableBufferPointer { buffer, initializedCount in
                unsafe message.withPointer { input, count in
                    let end = unsafe buffer.baseAddress.unsafelyUnwrapped + initializedCount
                    let code = unsafe crypto_secretstream_xchacha20poly1305_push(
                        &state, end, nil, input, UInt64(count), nil, 0, 0)
                    precondition(code == 0)
                    initializedCount += count + Self.overhead
                }
            }
        }
    }

    /// Decrypts one message; the sender's tag is not looked at.
    ///
    /// - Throws: `.badLength` below 17 bytes, `.forged` if this is not the next message. The state is
    ///   then as it was.
    package mutating func pull(_ sealed: Span<UInt8>) throws(CryptoError) -> [UInt8] {
        var message: [UInt8] = []
        try pull(sealed, into: &message)
        return message
    }

    /// The same to the end of `output`, which stays as it was if this throws.
    package mutating func pull(
        _ sealed: Span<UInt8>, into output: inout [UInt8]
    ) throws(CryptoError) {
        guard sealed.count >= Self.overhead else { throw .badLength(sealed.count) }
        let size = sealed.count - Self.overhead
        var code: Int32 = 0
        output.append(addingCapacity: size) { room in
            // The room is for `size` bytes; libsodium writes all of them or, when it refuses, none,
            // and then none is counted.
            unsafe room.withUnsafeMutableBufferPointer { buffer, initializedCount in
                unsafe sealed.withPointer { input, count in
                    var tag: UInt8 = 0
                    let end = unsafe buffer.baseAddress.map { unsafe $0 + initializedCount }
                    code = unsafe crypto_secretstream_xchacha20poly1305_pull(
                        &state, end, nil, &tag, input, UInt64(count), nil, 0)
                }
                if code == 0 { initializedCount += size }
            }
        }
        guard code == 0 else { throw .forged }
    }
}
