// modules: Base Wire Crypto Noise Protomux UDX DHT Swarm TextMerge FileTree Hypercore Chunks Share
import Base
import Crypto
import FileTree
import Share

/// The input is a message of the control channel (its type first), a link as people paste it, or what members
/// write down about who belongs to the share. What decodes is encoded and decoded again; a log is only ever
/// admitted by who may, or by its predecessor's own signature.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    guard let choice = bytes.first else { return 0 }
    let rest = Array(bytes.dropFirst())
    switch choice % 4 {
    case 0, 1: control(Int(choice / 4 % 8), rest)
    case 2: link(rest)
    default: members(rest)
    }
    return 0
}

private func control(_ type: Int, _ payload: [UInt8]) {
    guard let message = try? ControlMessage.decode(type: type, payload) else { return }
    precondition(message.type == type)
    do {
        let again = try ControlMessage.decode(type: type, message.payload)
        precondition(again == message)
    } catch {
        fatalError("\(message): \(error)")
    }
}

private func link(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    for candidate in [text, InviteLink.scheme + text] {
        guard let link = try? InviteLink(parsing: candidate) else { continue }
        precondition((try? InviteLink(parsing: link.text)) == link)
    }
}

private let devices = (1...4).map { KeyPair(seed: Bytes32(repeating: UInt8($0))) }
private let logs = (1...8).map { Bytes32(repeating: UInt8(0x40 + $0)) }

/// Three bytes an operation: its author, whom it admits, and how.
private func members(_ script: [UInt8]) {
    var membership = Membership(foundingLog: logs[0])
    var block: UInt64 = 0
    for start in stride(from: 0, to: script.count - 2, by: 3) {
        let (author, admitted, how) = (script[start], script[start + 1], script[start + 2])
        let log = logs[Int(admitted) % logs.count]
        let device = devices[Int(admitted / 8) % devices.count]
        let predecessor = logs[Int(how / 16) % logs.count]
        var succession: Operation.Succession?
        let signer = devices[Int(how / 2) % devices.count]
        if how & 1 != 0 {
            succession = Operation.Succession(
                predecessor: predecessor,
                signature: signer.sign(
                    Operation.Succession.signable(
                        predecessor: predecessor, log: log, device: device.publicKey)))
        }
        let role = MemberRole(rawValue: how / 4 % 4) ?? .writer
        let admission = Operation.Admit(
            device: device.publicKey, log: log, role: role, name: [admitted],
            succession: succession)
        let before = membership
        let stamp = Stamp(
            time: HybridTime(milliseconds: 1000 + UInt64(author)),
            operation: OperationID(writer: WriterSlot(rawValue: 1), block: block, index: 0))
        block += 1
        let writer = logs[Int(author) % logs.count]
        let isAllowed = membership.apply(.admit(admission), stamp: stamp, author: writer)
        if !isAllowed { precondition(membership == before) }
        if !before.isMember(log: log), membership.isMember(log: log) {
            let role = before.member(log: writer)?.role
            precondition(role == .owner || role == .writer)
            if succession != nil {
                precondition(before.member(log: predecessor)?.device == signer.publicKey)
            }
        }
        do {
            let stored = try Membership(decoding: membership.encoded, foundingLog: logs[0])
            precondition(stored == membership)
        } catch {
            fatalError("\(error)")
        }
    }
}
