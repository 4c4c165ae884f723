import Base
import Swarm
import Testing

/// The published encodings of blind-relay 1.6.1 (hyperdht.json).
struct BlindRelayMessageTests {
    private static let token = Bytes32(repeating: 9)
    private static let tokenDigits = String(repeating: "09", count: 32)

    @Test func `a pair message is the published one`() throws {
        let bytes = try #require([UInt8](hex: "01\(Self.tokenDigits)fdd20400"))
        let message = BlindRelayMessage.pair(
            isInitiator: true, token: Self.token, streamID: 1234)
        #expect(message.type == 0 && message.payload == bytes)
        #expect(try BlindRelayMessage.decode(type: 0, bytes) == message)
    }

    /// We send no first sequence number but 0, as the reference does, and pass over another's.
    @Test func `a pair message with a sequence number is read`() throws {
        let bytes = try #require([UInt8](hex: "00\(Self.tokenDigits)fe70110100fd2c01"))
        let message = BlindRelayMessage.pair(
            isInitiator: false, token: Self.token, streamID: 70_000)
        #expect(try BlindRelayMessage.decode(type: 0, bytes) == message)
        #expect(message.payload == Array(bytes.dropLast(3)) + [0])
    }

    @Test func `an unpair message is the published one`() throws {
        let bytes = try #require([UInt8](hex: "00\(Self.tokenDigits)"))
        let message = BlindRelayMessage.unpair(token: Self.token)
        #expect(message.type == 1 && message.payload == bytes)
        #expect(try BlindRelayMessage.decode(type: 1, bytes) == message)
    }
}
