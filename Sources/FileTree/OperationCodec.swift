import Base
import Wire

// The bodies of operations. A name in brackets is there if its bit in `parts` is set, the first name
// having the lowest bit.
//
//     1 make         parts, object kind (1), mode, uid, gid, created, [device (8)], [target]
//     2 place        parts, subject, [from], parent, name; without `from` the subject is a new object's,
//                    with it an entry; bit 1: `from` is the parent
//     3 remove       parts, entry, from, [version]
//     4 write        object, parent count, parents, size, modified, content to the end
//     5 setAttribute parts, object, [mode], [uid], [gid], [modified], [accessed]
//     6 setXattr     object, name, value to the end
//     7 removeXattr  object, name
//     8 admit        parts, device (32), role (1), name, [log (32)], [invite (32)],
//                    [predecessor (32), signature (64)]
//     9 retire       device (32)
//    10 revoke       device (32), length
//    11 invite       key (32), role (1), expires, uses
//    12 set          key, value
//    13 checkpoint   digest (32), content to the end
//
// A time is its nanoseconds times 2, then the seconds since the block's as a zigzag; or its nanoseconds times
// 2 plus 1, then the seconds since 1970 in 8 bytes, where the first form has no room.

private enum OperationKind: UInt8 {
    case make = 1
    case place, remove, write, setAttribute, setXattr, removeXattr
    case admit, retire, revoke, invite, set, checkpoint
}

/// Writes the operations of one block.
struct OperationEncoder {
    let number: UInt64
    let time: HybridTime
    let clock: Clock
    let writer: WriterSlot
    let logs: [WriterSlot: Int]
    private var output = WireWriter()
    /// The first reference that could not be written, since the block has not seen what it names: then
    /// the bytes are of no use.
    private(set) var unseen: OperationID?

    init(
        number: UInt64, time: HybridTime, clock: Clock, writer: WriterSlot,
        logs: [WriterSlot: Int]
    ) {
        self.number = number
        self.time = time
        self.clock = clock
        self.writer = writer
        self.logs = logs
    }

    /// Kind and body.
    mutating func encode(_ operation: Operation) -> [UInt8] {
        output.bytes.removeAll(keepingCapacity: true)
        switch operation {
        case .make(let make): encode(make)
        case .place(let place): encode(place)
        case .remove(let remove): encode(remove)
        case .write(let write): encode(write)
        case .setAttribute(let change): encode(change)
        case .setXattr(let xattr):
            begin(.setXattr)
            write(xattr.object)
            output.writeBuffer(xattr.name)
            output.writeRaw(xattr.value)
        case .removeXattr(let xattr):
            begin(.removeXattr)
            write(xattr.object)
            output.writeBuffer(xattr.name)
        case .admit(let admit): encode(admit)
        case .retire(let retire):
            begin(.retire)
            output.writeBytes32(retire.device)
        case .revoke(let revoke):
            begin(.revoke)
            output.writeBytes32(revoke.device)
            output.writeUInt(revoke.length)
        case .invite(let invite):
            begin(.invite)
            output.writeBytes32(invite.publicKey)
            output.writeUInt8(invite.role.rawValue)
            output.writeUInt(invite.expiresMilliseconds)
            output.writeUInt(UInt64(invite.uses))
        case .set(let setting):
            begin(.set)
            output.writeBuffer(setting.key)
            output.writeBuffer(setting.value)
        case .checkpoint(let checkpoint):
            begin(.checkpoint)
            output.writeBytes32(checkpoint.digest)
            output.writeRaw(checkpoint.content)
        }
        return output.bytes
    }

    private mutating func encode(_ make: Operation.Make) {
        begin(.make)
        write(parts: [make.device != 0, !make.target.isEmpty])
        output.writeUInt8(make.kind.rawValue)
        output.writeUInt(UInt64(make.mode))
        output.writeUInt(UInt64(make.uid))
        output.writeUInt(UInt64(make.gid))
        write(make.created)
        if make.device != 0 { output.writeUInt64(make.device) }
        if !make.target.isEmpty { output.writeBuffer(make.target) }
    }

    private mutating func encode(_ place: Operation.Place) {
        begin(.place)
        switch place.subject {
        case .new(let object):
            write(parts: [false, false])
            write(object)
        case .existing(let entry, let from):
            let isSame = from == place.parent
            write(parts: [true, isSame])
            write(entry)
            if !isSame { write(from) }
        }
        write(place.parent)
        output.writeBuffer(place.name)
    }

    private mutating func encode(_ remove: Operation.Remove) {
        begin(.remove)
        write(parts: [remove.version != nil])
        write(remove.entry)
        write(remove.from)
        if let version = remove.version { write(version) }
    }

    private mutating func encode(_ operation: Operation.Write) {
        begin(.write)
        write(operation.object)
        output.writeUInt(operation.parents.count)
        for parent in operation.parents { write(parent) }
        output.writeUInt(operation.size)
        write(operation.modified)
        output.writeRaw(operation.content)
    }

    private mutating func encode(_ change: Operation.SetAttribute) {
        begin(.setAttribute)
        write(parts: [
            change.mode != nil, change.uid != nil, change.gid != nil, change.modified != nil,
            change.accessed != nil,
        ])
        write(change.object)
        if let mode = change.mode { output.writeUInt(UInt64(mode)) }
        if let uid = change.uid { output.writeUInt(UInt64(uid)) }
        if let gid = change.gid { output.writeUInt(UInt64(gid)) }
        if let modified = change.modified { write(modified) }
        if let accessed = change.accessed { write(accessed) }
    }

    private mutating func encode(_ admit: Operation.Admit) {
        begin(.admit)
        write(parts: [admit.log != nil, admit.invite != nil, admit.succession != nil])
        output.writeBytes32(admit.device)
        output.writeUInt8(admit.role.rawValue)
        output.writeBuffer(admit.name)
        if let log = admit.log { output.writeBytes32(log) }
        if let invite = admit.invite { output.writeBytes32(invite) }
        if let succession = admit.succession {
            output.writeBytes32(succession.predecessor)
            output.writeRaw(succession.signature)
        }
    }

    private mutating func begin(_ kind: OperationKind) { output.writeUInt8(kind.rawValue) }

    private mutating func write(parts: [Bool]) {
        var bits: UInt8 = 0
        for (index, isThere) in parts.enumerated() where isThere { bits |= 1 << UInt8(index) }
        output.writeUInt8(bits)
    }

    private mutating func write(_ id: OperationID) {
        if id == .root {
            output.writeUInt(0)
            return
        }
        // What is seen of the own log ends with this very block.
        let last = id.writer == writer ? number : clock[id.writer] &- 1
        guard let log = logs[id.writer], id.writer == writer || clock.covers(id), id.block <= last
        else {
            unseen = unseen ?? id
            return
        }
        output.writeUInt(log + 1)
        output.writeUInt(last - id.block)
        output.writeUInt(id.index)
    }

    private mutating func write(_ timestamp: Timestamp) {
        let base = Int64(time.milliseconds / 1000)
        let (seconds, overflow) = timestamp.seconds.subtractingReportingOverflow(base)
        let nanoseconds = UInt64(timestamp.nanoseconds)
        if !overflow, seconds.magnitude < 1 << 50 {
            output.writeUInt(nanoseconds << 1)
            output.writeInt(seconds)
        } else {
            output.writeUInt(nanoseconds << 1 | 1)
            output.writeUInt64(UInt64(bitPattern: timestamp.seconds))
        }
    }
}

/// Reads the operations of one block.
struct OperationDecoder {
    let number: UInt64
    let time: HybridTime
    let clock: Clock
    /// By number; the first is the log that holds the block.
    let logs: [WriterSlot]
    /// The index of the next operation.
    private var index = 0

    init(number: UInt64, time: HybridTime, clock: Clock, logs: [WriterSlot]) {
        self.number = number
        self.time = time
        self.clock = clock
        self.logs = logs
    }

    /// - Returns: nil if the kind is unknown, bytes are missing or left over, or a rule is broken.
    mutating func decode(_ bytes: Span<UInt8>) -> Operation? {
        defer { index += 1 }
        var reader = WireReader(bytes)
        do {
            let operation = try decode(&reader)
            guard reader.isAtEnd, operation.isWellFormed else { return nil }
            return operation
        } catch {
            return nil
        }
    }

    private func decode(_ reader: inout WireReader) throws(WireError) -> Operation {
        guard let kind = OperationKind(rawValue: try reader.readUInt8()) else {
            throw .invalid("operation kind")
        }
        switch kind {
        case .make: return .make(try make(&reader))
        case .place: return .place(try place(&reader))
        case .remove: return .remove(try remove(&reader))
        case .write: return .write(try write(&reader))
        case .setAttribute: return .setAttribute(try setAttribute(&reader))
        case .setXattr:
            return .setXattr(
                Operation.SetXattr(
                    object: try reference(&reader),
                    name: try reader.readBuffer(max: Limits.xattrNameSizeMax),
                    value: reader.readRest()))
        case .removeXattr:
            return .removeXattr(
                Operation.RemoveXattr(
                    object: try reference(&reader),
                    name: try reader.readBuffer(max: Limits.xattrNameSizeMax)))
        case .admit: return .admit(try admit(&reader))
        case .retire: return .retire(Operation.Retire(device: try reader.readBytes32()))
        case .revoke:
            return .revoke(
                Operation.Revoke(
                    device: try reader.readBytes32(), length: try reader.readUInt()))
        case .invite:
            return .invite(
                Operation.Invite(
                    publicKey: try reader.readBytes32(), role: try role(&reader),
                    expiresMilliseconds: try reader.readUInt(),
                    uses: UInt32(try reader.readUInt(max: UInt64(UInt32.max)))))
        case .set:
            return .set(
                Operation.Setting(
                    key: try reader.readBuffer(max: Limits.settingKeySizeMax),
                    value: try reader.readBuffer(max: Limits.settingValueSizeMax)))
        case .checkpoint:
            return .checkpoint(
                Operation.Checkpoint(digest: try reader.readBytes32(), content: reader.readRest()))
        }
    }

    private func make(_ reader: inout WireReader) throws(WireError) -> Operation.Make {
        let parts = try parts(&reader, count: 2)
        guard let kind = ObjectKind(rawValue: try reader.readUInt8()) else {
            throw .invalid("object kind")
        }
        var make = Operation.Make(
            kind: kind, mode: try mode(&reader), uid: try identity(&reader),
            gid: try identity(&reader), created: try timestamp(&reader))
        if parts & 1 != 0 { make.device = try reader.readUInt64() }
        if parts & 2 != 0 { make.target = try reader.readBuffer(max: Limits.targetSizeMax) }
        return make
    }

    private func place(_ reader: inout WireReader) throws(WireError) -> Operation.Place {
        let parts = try parts(&reader, count: 2)
        guard parts != 2 else { throw .invalid("parts") }
        let id = try reference(&reader)
        let from = parts == 1 ? try reference(&reader) : nil
        let parent = try reference(&reader)
        let subject: Operation.Place.Subject =
            parts & 1 == 0 ? .new(id) : .existing(id, from: from ?? parent)
        return Operation.Place(
            subject, in: parent, named: try reader.readBuffer(max: Limits.nameSizeMax))
    }

    private func remove(_ reader: inout WireReader) throws(WireError) -> Operation.Remove {
        let parts = try parts(&reader, count: 1)
        var remove = Operation.Remove(try reference(&reader), from: try reference(&reader))
        if parts & 1 != 0 { remove.version = try reference(&reader) }
        return remove
    }

    private func write(_ reader: inout WireReader) throws(WireError) -> Operation.Write {
        let object = try reference(&reader)
        let count = try reader.readCount(max: Limits.parentsMax, minimumElementSize: 1)
        var parents: [VersionID] = []
        parents.reserveCapacity(count)
        for _ in 0..<count { parents.append(try reference(&reader)) }
        return Operation.Write(
            object: object, parents: parents, size: try reader.readUInt(),
            modified: try timestamp(&reader), content: reader.readRest())
    }

    private func setAttribute(_ reader: inout WireReader) throws(WireError)
        -> Operation.SetAttribute
    {
        let parts = try parts(&reader, count: 5)
        var change = Operation.SetAttribute(object: try reference(&reader))
        if parts & 1 != 0 { change.mode = try mode(&reader) }
        if parts & 2 != 0 { change.uid = try identity(&reader) }
        if parts & 4 != 0 { change.gid = try identity(&reader) }
        if parts & 8 != 0 { change.modified = try timestamp(&reader) }
        if parts & 16 != 0 { change.accessed = try timestamp(&reader) }
        return change
    }

    private func admit(_ reader: inout WireReader) throws(WireError) -> Operation.Admit {
        let parts = try parts(&reader, count: 3)
        var admit = Operation.Admit(
            device: try reader.readBytes32(), log: nil, role: try role(&reader),
            name: try reader.readBuffer(max: Limits.deviceNameSizeMax))
        if parts & 1 != 0 { admit.log = try reader.readBytes32() }
        if parts & 2 != 0 { admit.invite = try reader.readBytes32() }
        if parts & 4 != 0 {
            admit.succession = Operation.Succession(
                predecessor: try reader.readBytes32(),
                signature: try reader.readBytes(Operation.Succession.signatureSize))
        }
        return admit
    }

    private func parts(_ reader: inout WireReader, count: UInt8) throws(WireError) -> UInt8 {
        let bits = try reader.readUInt8()
        guard bits >> count == 0 else { throw .invalid("parts") }
        return bits
    }

    private func mode(_ reader: inout WireReader) throws(WireError) -> UInt16 {
        UInt16(try reader.readUInt(max: 0o7777))
    }

    private func identity(_ reader: inout WireReader) throws(WireError) -> UInt32 {
        UInt32(try reader.readUInt(max: UInt64(UInt32.max)))
    }

    private func role(_ reader: inout WireReader) throws(WireError) -> MemberRole {
        guard let role = MemberRole(rawValue: try reader.readUInt8()) else {
            throw .invalid("role")
        }
        return role
    }

    private func reference(_ reader: inout WireReader) throws(WireError) -> OperationID {
        let log = try reader.readUInt(max: UInt64(logs.count))
        guard log > 0 else { return .root }
        let writer = logs[Int(log) - 1]
        let isOwn = log == 1
        let seen = isOwn ? number + 1 : clock[writer]
        let back = try reader.readUInt()
        let operation = try reader.readUInt(max: UInt64(Limits.operationsPerBlockMax - 1))
        guard back < seen else { throw .invalid("reference to what was not seen") }
        let isOwnBlock = isOwn && back == 0
        guard !isOwnBlock || operation < UInt64(index) else {
            throw .invalid("reference forward")
        }
        return OperationID(writer: writer, block: seen - 1 - back, index: Int(operation))
    }

    private func timestamp(_ reader: inout WireReader) throws(WireError) -> Timestamp {
        let first = try reader.readUInt(max: 999_999_999 << 1 | 1)
        let nanoseconds = UInt32(first >> 1)
        if first & 1 == 1 {
            return Timestamp(
                seconds: Int64(bitPattern: try reader.readUInt64()), nanoseconds: nanoseconds)
        }
        let base = Int64(time.milliseconds / 1000)
        return Timestamp(seconds: base &+ (try reader.readInt()), nanoseconds: nanoseconds)
    }
}
