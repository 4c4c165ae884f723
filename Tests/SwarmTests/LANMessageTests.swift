import Base
import Swarm
import Testing

@Suite struct LANMessageTests {
    private let topic = Bytes32(repeating: 3)
    private var message: LANMessage {
        LANMessage(topic: topic, port: 4711, wantsAnswer: true, nonce: Array(0..<16))
    }

    @Test func `a datagram is understood by those who know its topic, and says nothing to others`()
    {
        let bytes = message.bytes
        #expect(bytes.count == LANMessage.size)
        let read = LANMessage(bytes.span)
        #expect(read == message)
        #expect(read?.port == 4711 && read?.wantsAnswer == true)
        #expect(read?.isAbout(topic) == true)
        #expect(read?.isAbout(Bytes32(repeating: 4)) == false)
    }

    @Test func `any changed byte makes it about nothing, or nothing at all`() {
        let bytes = message.bytes
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 2
            let read = LANMessage(changed.span)
            // Flags that are not known are no part of what is said.
            if index == 9 { continue }
            #expect(read?.isAbout(topic) != true, "byte \(index)")
        }
        for count in 0..<bytes.count {
            let cut = Array(bytes.prefix(count))
            let read = LANMessage(cut.span)
            #expect(read == nil)
        }
    }

    @Test func `two datagrams have nothing in common that a listener could follow`() {
        let other = LANMessage(topic: topic, port: 4711, wantsAnswer: true, nonce: Array(16..<32))
        let common = zip(message.bytes.dropFirst(28), other.bytes.dropFirst(28)).count { $0 == $1 }
        #expect(common < 8)
    }
}
