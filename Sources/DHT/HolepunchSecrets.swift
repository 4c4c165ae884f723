package import Base
internal import Crypto
package import Wire

/// One connection's secrets for hole punching: the key that both sides have from the handshake, and
/// this side's own for tokens (`connect.md` 4.3).
package struct HolepunchSecrets: Sendable {
    private let sharedKey: Bytes32
    private let tokenKey: Bytes32

    /// - Parameter tokenKey: random, this side's alone.
    package init(sharedKey: Bytes32, tokenKey: Bytes32) {
        self.sharedKey = sharedKey
        self.tokenKey = tokenKey
    }

    /// - Parameter handshakeHash: the 64 bytes that the handshake left.
    package init(handshakeHash: [UInt8], tokenKey: Bytes32) {
        self.init(
            sharedKey: Blake2b.hash256(key: handshakeHash, Self.purpose.bytes), tokenKey: tokenKey)
    }

    /// NS(1).
    private static let purpose = namespace("hyperswarm/dht", 1)

    /// The nonce, then the sealed payload.
    ///
    /// - Parameter nonce: 24 bytes, never used before with this connection.
    package func seal(_ payload: HolepunchPayload, nonce: [UInt8]) -> [UInt8] {
        nonce + SecretBox.seal(payload.encoded().span, key: sharedKey, nonce: nonce)
    }

    /// - Returns: nil if it is forged, empty or malformed.
    package func open(_ sealed: Span<UInt8>) -> HolepunchPayload? {
        guard sealed.count > SecretBox.nonceSize + SecretBox.tagSize else { return nil }
        let nonce = [UInt8](copying: sealed.extracting(first: SecretBox.nonceSize))
        let box = sealed.extracting(droppingFirst: SecretBox.nonceSize)
        guard let plain = try? SecretBox.open(box, key: sharedKey, nonce: nonce) else {
            return nil
        }
        return try? HolepunchPayload(decoding: plain.span)
    }

    /// What the holder of `address` is to echo, as proof that it receives there. Bound to the host
    /// alone, not to the port.
    package func token(for address: NetworkAddress) -> Bytes32 {
        Blake2b.hash256(key: tokenKey, Array(address.description.utf8))
    }
}
