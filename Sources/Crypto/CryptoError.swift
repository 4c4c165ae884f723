/// Why a cryptographic operation on outside data was refused.
package enum CryptoError: Error, Equatable, Sendable {
    /// The bytes were not made with this key, or were changed.
    case forged
    /// Not a point of the curve's prime-order group, or one that would give away the result.
    case badPublicKey
    /// Shorter than the least a message of this kind can be, or of a length this field cannot have.
    case badLength(Int)
}

extension CryptoError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .forged: "the message was not made with this key, or was changed"
        case .badPublicKey: "not a valid public key"
        case .badLength(let count): "a message cannot have \(count) bytes here"
        }
    }
}
