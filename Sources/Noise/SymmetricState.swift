internal import Base
internal import Crypto
internal import Wire

/// The SymmetricState of Noise (revision 34, section 5.2), with ChaChaPoly and BLAKE2b.
struct SymmetricState: Sendable {
    /// The running hash of everything said: 64 bytes.
    private(set) var hash: [UInt8]
    private(set) var chainingKey: [UInt8]
    private var key: Bytes32?
    private var nonce: UInt32 = 0

    /// - Precondition: the name has at most 64 bytes.
    init(protocolName: String, prologue: [UInt8]) {
        hash = Array(protocolName.utf8)
        precondition(hash.count <= 64)
        hash.append(contentsOf: repeatElement(0, count: 64 - hash.count))
        chainingKey = hash
        mixHash(prologue.span)
    }

    mutating func mixHash(_ bytes: Span<UInt8>) {
        var input = hash
        input.append(copying: bytes)
        hash = Blake2b.hash512(input)
    }

    mutating func mixKey(_ secret: Bytes32) {
        let (next, derived) = hkdf(salt: chainingKey, secret.bytes)
        chainingKey = next
        key = cipherKey(derived)
        nonce = 0
    }

    /// Encrypts under the current key, if there is one yet.
    mutating func encryptAndHash(_ plaintext: Span<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        if let key {
            bytes = ChaCha20Poly1305.seal(
                plaintext, key: key, nonce: nonceBytes, associatedData: hash.span)
            nonce += 1
        } else {
            bytes.append(copying: plaintext)
        }
        mixHash(bytes.span)
        return bytes
    }

    /// - Throws: `.forged`, or `.badLength` for less than a tag.
    mutating func decryptAndHash(_ ciphertext: Span<UInt8>) throws(NoiseError) -> [UInt8] {
        var bytes: [UInt8] = []
        if let key {
            do {
                bytes = try ChaCha20Poly1305.open(
                    ciphertext, key: key, nonce: nonceBytes, associatedData: hash.span)
            } catch {
                throw NoiseError(error)
            }
            nonce += 1
        } else {
            bytes.append(copying: ciphertext)
        }
        mixHash(ciphertext)
        return bytes
    }

    var hasKey: Bool { key != nil }

    /// The keys of the two directions: the initiator sends with the first.
    func split() -> (first: Bytes32, second: Bytes32) {
        let (first, second) = hkdf(salt: chainingKey, [])
        return (cipherKey(first), cipherKey(second))
    }

    /// Four zero bytes, then the counter as a 64-bit number, the lowest byte first.
    private var nonceBytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: ChaCha20Poly1305.nonceSize)
        for index in 0..<4 {
            bytes[4 + index] = UInt8(truncatingIfNeeded: nonce >> UInt32(8 * index))
        }
        return bytes
    }
}

/// The first 32 of an output's 64 bytes.
private func cipherKey(_ output: [UInt8]) -> Bytes32 {
    guard let key = Bytes32(output.span.extracting(first: Bytes32.count)) else {
        preconditionFailure("an output of \(output.count) bytes")
    }
    return key
}

extension NoiseError {
    /// What a refusal by Crypto means in a handshake or stream.
    init(_ error: CryptoError) {
        switch error {
        case .forged: self = .forged
        case .badPublicKey: self = .badPublicKey
        case .badLength(let count): self = .badLength(count)
        }
    }
}
