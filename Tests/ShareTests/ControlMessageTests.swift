import Base
import Testing

@testable import Share

@Suite struct ControlMessageTests {
    private static let messages: [ControlMessage] = [
        .hello(device: "alice", log: nil),
        .hello(device: "bob", log: Bytes32(repeating: 9)),
        .join(
            .init(
                log: Bytes32(repeating: 1), manifest: [1, 2, 3], device: "carol",
                inviteKey: Bytes32(repeating: 4), signature: [UInt8](repeating: 5, count: 64))),
        .refused(reason: "the invite has expired"),
        .holds([(Bytes32(repeating: 1), 10 as UInt64), (Bytes32(repeating: 2), 70000 as UInt64)]),
        .sees(digest: Bytes32(repeating: 3)),
    ]

    @Test(arguments: messages) func `what is encoded is decoded again`(message: ControlMessage)
        throws
    {
        #expect(try ControlMessage.decode(type: message.type, message.payload) == message)
    }

    @Test(arguments: messages) func `a cut message throws`(message: ControlMessage) {
        for length in 0..<message.payload.count {
            #expect(throws: (any Error).self) {
                try ControlMessage.decode(
                    type: message.type, Array(message.payload.prefix(length)))
            }
        }
    }

    @Test func `an unknown type is passed over`() throws {
        #expect(try ControlMessage.decode(type: 99, [1, 2, 3]) == nil)
    }

    @Test func `a count of 2^53 reserves nothing`() {
        let payload: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00]
        #expect(throws: (any Error).self) { try ControlMessage.decode(type: 3, payload) }
    }
}
