package import Base
internal import CSodium

/// The system's randomness (libsodium: `randombytes_buf`): for keys and nonces.
///
/// Shells make one and hand it to the cores that need it.
package struct SecureRandom: RandomNumberGenerator, Sendable {
    package init() { Sodium.start() }

    package mutating func next() -> UInt64 {
        var value: UInt64 = 0
        // The pointer covers the eight bytes of `value`.
        unsafe withUnsafeMutableBytes(of: &value) {
            unsafe randombytes_buf($0.baseAddress.unsafelyUnwrapped, 8)
        }
        return value
    }
}

extension Bytes32 {
    /// Thirty-two random bytes.
    package init(using random: inout some RandomNumberGenerator) {
        self = Bytes32(random.bytes(Bytes32.count)) ?? .zero
    }
}
