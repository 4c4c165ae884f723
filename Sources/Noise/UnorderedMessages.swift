internal import Base
internal import Crypto

/// Encrypted datagrams beside a secret stream, under keys of the same handshake:
///
///     8   counter
///     16  authenticator
///     m   encrypted message (XSalsa20-Poly1305, nonce: the counter, then 16 zero bytes)
///
/// They may be lost, repeated and reordered; the receiver does not notice.
package struct UnorderedMessages: Sendable {
    /// What a message grows by.
    package static let overhead = counterSize + SecretBox.tagSize
    private static let counterSize = 8

    private let sendKey: Bytes32
    private let receiveKey: Bytes32
    private let firstCounter: UInt64
    private var counter: UInt64

    /// - Parameters:
    ///   - handshakeHash: the 64 bytes that the handshake left.
    ///   - counter: random; the first message carries the number after it.
    package init(role: Role, handshakeHash: [UInt8], counter: UInt64) {
        sendKey = StreamNames.unorderedKey(handshakeHash: handshakeHash, sender: role)
        receiveKey = StreamNames.unorderedKey(handshakeHash: handshakeHash, sender: role.other)
        firstCounter = counter
        self.counter = counter
    }

    /// - Throws: `.exhausted` once every counter has been used.
    package mutating func seal(_ message: Span<UInt8>) throws(NoiseError) -> [UInt8] {
        let next = counter &+ 1
        guard next != firstCounter else { throw .exhausted }
        counter = next
        var bytes: [UInt8] = []
        for index in 0..<Self.counterSize {
            bytes.append(UInt8(truncatingIfNeeded: counter >> UInt64(8 * index)))
        }
        bytes += SecretBox.seal(message, key: sendKey, nonce: Self.nonce(bytes.span))
        return bytes
    }

    /// - Throws: `.badLength` below 24 bytes, `.forged`: drop the datagram and go on.
    package func open(_ datagram: Span<UInt8>) throws(NoiseError) -> [UInt8] {
        guard datagram.count >= Self.overhead else { throw .badLength(datagram.count) }
        do {
            return try SecretBox.open(
                datagram.extracting(droppingFirst: Self.counterSize), key: receiveKey,
                nonce: Self.nonce(datagram.extracting(first: Self.counterSize)))
        } catch {
            throw NoiseError(error)
        }
    }

    private static func nonce(_ counter: Span<UInt8>) -> [UInt8] {
        var nonce = [UInt8](repeating: 0, count: SecretBox.nonceSize)
        for index in 0..<counterSize { nonce[index] = counter[index] }
        return nonce
    }
}
