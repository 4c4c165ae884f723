package import Base
package import FileTree
package import Wire

/// Messages of the `holdfast/control` channel, in the order of their types.
///
/// The Open carries version (uint, 1) and capability (32 bytes); and, on a connection whose handshake
/// was between node keys, the device key (32) and its signature over `deviceProof` (64 bytes); then a
/// number drawn anew by every process (8 bytes), by which a device that was restarted is known.
/// Nothing else is sent before the remote's Open has been checked.
///
///     type  message  fields
///     0     hello    device name string, has log bool, log key 32 bytes if it has one; then, if there
///                    is a checkpoint to start from, the blocks that prove it (`StartingPoint`)
///     1     join     log key 32, manifest buffer, device name string, invite key 32,
///                    signature 64 by the invite key over label || handshake hash || log key
///     2     refused  reason string: why a join was refused
///     3     holds    count, then (log key 32, blocks uint) each: everything up to there is here,
///                    chunks included
///     4     succeed  log key 32, manifest buffer, device name string, predecessor 32,
///                    signature 64 by the predecessor's device (`Operation.Succession`)
///     5     sees     digest 32: of the view at the clock that the last `holds` told
///     6     ended    log key 32, how 1 byte (`LogEnd.Kind`): a log is no member's any more: the remote's own, the one
///                     before that, or that of who may have let it in
package enum ControlMessage: Equatable, Sendable {
    case hello(device: String, log: Bytes32?, start: StartingPoint? = nil)
    case join(JoinRequest)
    case refused(reason: String)
    case holds([(Bytes32, UInt64)])
    case succeed(SuccessionRequest)
    case sees(digest: Bytes32)
    case ended(log: Bytes32, LogEnd.Kind)

    package struct JoinRequest: Equatable, Sendable {
        package var log: Bytes32
        package var manifest: [UInt8]
        package var device: String
        package var inviteKey: Bytes32
        package var signature: [UInt8]
    }

    /// A member's device asks for its new log to be admitted.
    package struct SuccessionRequest: Equatable, Sendable {
        package var log: Bytes32
        package var manifest: [UInt8]
        package var device: String
        package var succession: Operation.Succession
    }

    package static let protocolName = "holdfast/control"
    package static let version: UInt64 = 1
    package static let deviceNameSizeMax = 64
    package static let membersMax = 4096
    package static let manifestSizeMax = 1024

    package static func == (left: ControlMessage, right: ControlMessage) -> Bool {
        switch (left, right) {
        case (.hello(let a, let b, let c), .hello(let d, let e, let f)): a == d && b == e && c == f
        case (.join(let a), .join(let b)): a == b
        case (.refused(let a), .refused(let b)): a == b
        case (.holds(let a), .holds(let b)): a.elementsEqual(b, by: ==)
        case (.succeed(let a), .succeed(let b)): a == b
        case (.sees(let a), .sees(let b)): a == b
        case (.ended(let a, let b), .ended(let c, let d)): a == c && b == d
        default: false
        }
    }

    /// What a device key signs to show that it is behind a connection.
    package static func deviceProof(handshakeHash: [UInt8], isInitiator: Bool) -> [UInt8] {
        Array("holdfast device".utf8) + handshakeHash + [isInitiator ? 1 : 0]
    }

    package static func signable(handshakeHash: [UInt8], log: Bytes32) -> [UInt8] {
        Array("holdfast join".utf8) + handshakeHash + log.bytes
    }

    package var type: Int {
        switch self {
        case .hello: 0
        case .join: 1
        case .refused: 2
        case .holds: 3
        case .succeed: 4
        case .sees: 5
        case .ended: 6
        }
    }

    package var payload: [UInt8] {
        var writer = WireWriter()
        switch self {
        case .hello(let device, let log, let start):
            writer.writeString(device)
            writer.writeBool(log != nil)
            if let log { writer.writeBytes32(log) }
            start?.write(into: &writer)
        case .join(let request):
            writer.writeBytes32(request.log)
            writer.writeBuffer(request.manifest)
            writer.writeString(request.device)
            writer.writeBytes32(request.inviteKey)
            writer.writeRaw(request.signature)
        case .refused(let reason):
            writer.writeString(reason)
        case .holds(let clock):
            writer.writeUInt(clock.count)
            for (log, blocks) in clock {
                writer.writeBytes32(log)
                writer.writeUInt(blocks)
            }
        case .succeed(let request):
            writer.writeBytes32(request.log)
            writer.writeBuffer(request.manifest)
            writer.writeString(request.device)
            writer.writeBytes32(request.succession.predecessor)
            writer.writeRaw(request.succession.signature)
        case .sees(let digest):
            writer.writeBytes32(digest)
        case .ended(let log, let kind):
            writer.writeBytes32(log)
            writer.writeUInt8(kind.rawValue)
        }
        return writer.bytes
    }

    /// - Returns: nil for a type that this version does not know.
    package static func decode(type: Int, _ payload: [UInt8]) throws(WireError) -> ControlMessage? {
        var reader = WireReader(payload.span)
        switch type {
        case 0:
            let device = try reader.readString(max: deviceNameSizeMax)
            let log = try reader.readBool() ? reader.readBytes32() : nil
            let start = reader.isAtEnd ? nil : try StartingPoint(&reader)
            return .hello(device: device, log: log, start: start)
        case 1:
            return .join(
                JoinRequest(
                    log: try reader.readBytes32(),
                    manifest: try reader.readBuffer(max: manifestSizeMax),
                    device: try reader.readString(max: deviceNameSizeMax),
                    inviteKey: try reader.readBytes32(), signature: try reader.readBytes(64)))
        case 2:
            return .refused(reason: try reader.readString(max: 1024))
        case 3:
            let count = try reader.readCount(max: membersMax, minimumElementSize: 33)
            var clock: [(Bytes32, UInt64)] = []
            clock.reserveCapacity(count)
            for _ in 0..<count { clock.append((try reader.readBytes32(), try reader.readUInt())) }
            return .holds(clock)
        case 4:
            return .succeed(
                SuccessionRequest(
                    log: try reader.readBytes32(),
                    manifest: try reader.readBuffer(max: manifestSizeMax),
                    device: try reader.readString(max: deviceNameSizeMax),
                    succession: Operation.Succession(
                        predecessor: try reader.readBytes32(),
                        signature: try reader.readBytes(Operation.Succession.signatureSize))))
        case 5:
            return .sees(digest: try reader.readBytes32())
        case 6:
            let log = try reader.readBytes32()
            guard let kind = LogEnd.Kind(rawValue: try reader.readUInt8()) else { return nil }
            return .ended(log: log, kind)
        default:
            return nil
        }
    }
}
