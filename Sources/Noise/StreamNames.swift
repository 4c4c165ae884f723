internal import Base
internal import Crypto

/// The constants of the secret stream: they keep the uses of one handshake hash apart.
enum StreamNames {
    static let initiator = namespace("hyperswarm/secret-stream", 0)
    static let responder = namespace("hyperswarm/secret-stream", 1)
    static let send = namespace("hyperswarm/secret-stream", 2)

    static func name(of role: Role) -> Bytes32 {
        switch role {
        case .initiator: initiator
        case .responder: responder
        }
    }

    /// The 32 bytes by which the stream that `sender` sends is known.
    static func streamID(handshakeHash: [UInt8], sender: Role) -> Bytes32 {
        Blake2b.hash256(key: handshakeHash, name(of: sender).bytes)
    }

    /// The key of the unordered messages that `sender` sends.
    static func unorderedKey(handshakeHash: [UInt8], sender: Role) -> Bytes32 {
        Blake2b.hash256(key: handshakeHash, name(of: sender).bytes + send.bytes)
    }
}
