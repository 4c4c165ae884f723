package import Base
import Crypto
package import Wire

/// Messages of the `blind-relay` channel (`protocol/connect.md`, section 6), in the order of their
/// types.
///
///     type  message  fields
///     0     pair     1 byte flags (1: is initiator), token 32, UDX stream id uint, sequence uint (0)
///     1     unpair   1 byte flags (0), token 32
package enum BlindRelayMessage: Equatable, Sendable {
    /// To a relay: this side's stream and role; from it: the relay's stream for this side.
    case pair(isInitiator: Bool, token: Bytes32, streamID: UInt32)
    case unpair(token: Bytes32)

    package static let protocolName = "blind-relay"
    /// Under which relays that serve everybody announce themselves in the DHT.
    package static let topic = Blake2b.hash256(Array("holdfast blind relay".utf8))

    package var type: Int {
        switch self {
        case .pair: 0
        case .unpair: 1
        }
    }

    package var payload: [UInt8] {
        var writer = WireWriter()
        switch self {
        case .pair(let isInitiator, let token, let streamID):
            writer.writeUInt8(isInitiator ? 1 : 0)
            writer.writeBytes32(token)
            writer.writeUInt(UInt64(streamID))
            writer.writeUInt(0)
        case .unpair(let token):
            writer.writeUInt8(0)
            writer.writeBytes32(token)
        }
        return writer.bytes
    }

    /// - Returns: nil for a type that this version does not know.
    package static func decode(
        type: Int, _ payload: [UInt8]
    ) throws(WireError) -> BlindRelayMessage? {
        var reader = WireReader(payload.span)
        guard type == 0 || type == 1 else { return nil }
        let flags = try reader.readUInt8()
        let token = try reader.readBytes32()
        guard type == 0 else { return .unpair(token: token) }
        let id = try reader.readUInt()
        guard let streamID = UInt32(exactly: id) else {
            throw .tooLarge(id, limit: UInt64(UInt32.max))
        }
        return .pair(isInitiator: flags & 1 != 0, token: token, streamID: streamID)
    }
}
