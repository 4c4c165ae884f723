/// Why a handshake or a stream is over. Nothing is told to the peer.
package enum NoiseError: Error, Equatable, Sendable {
    /// A message, though the handshake is not at a point where one may come or go.
    case unexpectedMessage
    /// A message, frame or header of a length that it cannot have; in bytes.
    case badLength(Int)
    /// A frame announced as longer than the limit, in bytes; it was not buffered.
    case frameTooLarge(Int, limit: Int)
    /// Bytes that were not made with the agreed keys, or were changed, repeated or reordered.
    case forged
    /// A public key that is no good point of the curve.
    case badPublicKey
    /// A stream header that belongs to another handshake.
    case wrongStream
    /// As many unordered messages as there are counters.
    case exhausted
}

extension NoiseError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unexpectedMessage: "a handshake message out of turn"
        case .badLength(let count): "a message cannot have \(count) bytes here"
        case .frameTooLarge(let count, let limit):
            "a frame of \(count) bytes is above the limit of \(limit)"
        case .forged: "bytes that were not made with the agreed keys"
        case .badPublicKey: "not a valid public key"
        case .wrongStream: "a header of another stream"
        case .exhausted: "no unordered messages left: connect again"
        }
    }
}
