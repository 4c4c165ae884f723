// modules: Base Wire Crypto Noise Protomux UDX DHT Swarm
import Base
import Swarm
import Wire

/// Addresses, messages of the local network and of blind relays.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    let text = String(decoding: bytes.prefix(300), as: UTF8.self)
    if let address = PeerAddress(text) {
        precondition(PeerAddress("\(address)") == address)
    }
    if let message = LANMessage(bytes.span) {
        precondition(LANMessage(message.bytes.span) == message)
        precondition(!message.isAbout(Bytes32(repeating: 1)))
    }
    for type in 0...2 {
        guard let message = try? BlindRelayMessage.decode(type: type, bytes) else { continue }
        precondition(message.type == type)
        let again = try? BlindRelayMessage.decode(type: type, message.payload)
        precondition(again == message)
    }
    return 0
}
