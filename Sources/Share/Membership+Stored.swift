package import Base
import FileTree
import Wire

/// Kept between runs, and beside the view in a checkpoint.
extension Membership {
    /// Format (1), members, invites; then, as far as there are any: logs that have a successor; admissions
    /// that do not count and those by succession, invites' operations, and what ends logs.
    package var encoded: [UInt8] {
        var writer = WireWriter()
        writer.writeUInt(1)
        writer.writeUInt(members.count)
        for log in logs {
            guard let member = members[log] else { continue }
            write(member, into: &writer)
        }
        writer.writeUInt(invites.count)
        for key in invites.keys.sorted() {
            guard let invite = invites[key] else { continue }
            writer.writeBytes32(key)
            writer.writeUInt(Int(invite.role.rawValue))
            writer.writeUInt64(invite.expiresMilliseconds)
            writer.writeUInt32(invite.uses)
        }
        let further = admissions.filter {
            $0.predecessor != nil || members[$0.member.log] != $0.member
        }
        guard !succeeded.isEmpty || !further.isEmpty || !endings.isEmpty else {
            return writer.bytes
        }
        writer.writeUInt(succeeded.count)
        for log in succeeded.sorted() { writer.writeBytes32(log) }
        guard !further.isEmpty || !endings.isEmpty else { return writer.bytes }
        writer.writeUInt(further.count)
        for admission in further {
            write(admission.member, into: &writer)
            writer.writeBytes32(admission.predecessor ?? .zero)
        }
        writer.writeUInt(inviteOrders.count)
        for key in inviteOrders.keys.sorted() {
            guard let order = inviteOrders[key] else { continue }
            writer.writeBytes32(key)
            write(order, into: &writer)
        }
        writer.writeUInt(endings.count)
        for ending in endings { write(ending, into: &writer) }
        return writer.bytes
    }

    private func write(_ member: Member, into writer: inout WireWriter) {
        writer.writeBytes32(member.log)
        writer.writeBytes32(member.device)
        writer.writeBuffer(member.name)
        writer.writeUInt(Int(member.role.rawValue))
        write(member.admitted, into: &writer)
    }

    private func write(_ order: OperationOrder, into writer: inout WireWriter) {
        writer.writeUInt64(order.time)
        writer.writeBytes32(order.writer)
        writer.writeUInt64(order.block)
        writer.writeUInt64(order.index)
    }

    private func write(_ ending: Ending, into writer: inout WireWriter) {
        if case .revoke(let length) = ending.kind {
            writer.writeUInt8(1)
            writer.writeUInt(length)
        } else {
            writer.writeUInt8(2)
        }
        writer.writeBytes32(ending.device)
        write(ending.order, into: &writer)
        writer.writeUInt(ending.seen.count)
        for position in ending.seen {
            writer.writeBytes32(position.log)
            writer.writeUInt(position.blocks)
        }
    }

    package init(decoding bytes: [UInt8], foundingLog: Bytes32) throws(StorageError) {
        self.init(foundingLog: foundingLog)
        do {
            try decode(bytes)
        } catch {
            throw .corrupt(what: "the list of members; run holdfast check --rebuild")
        }
    }

    private mutating func decode(_ bytes: [UInt8]) throws(WireError) {
        var reader = WireReader(bytes.span)
        guard try reader.readUInt() == 1 else { throw .invalid("version") }
        for _ in 0..<(try reader.readCount(max: Limits.members, minimumElementSize: 122)) {
            let member = try readMember(&reader)
            members[member.log] = member
            // The founding log may not have told its device yet.
            if member.admitted.block != .max {
                admissions.append(Admission(member: member, predecessor: nil))
            }
        }
        for _ in 0..<(try reader.readCount(max: Limits.invites, minimumElementSize: 45)) {
            let key = try reader.readBytes32()
            invites[key] = Operation.Invite(
                publicKey: key, role: try role(&reader),
                expiresMilliseconds: try reader.readUInt64(), uses: try reader.readUInt32())
        }
        if !reader.isAtEnd {
            for _ in 0..<(try reader.readCount(max: Limits.members, minimumElementSize: 32)) {
                succeeded.insert(try reader.readBytes32())
            }
        }
        if reader.isAtEnd {
            findPredecessors()
        } else {
            try decodeEndings(&reader)
        }
        admissions.sort { $0.order < $1.order }
        if !endings.isEmpty { evaluate() }
    }

    private mutating func decodeEndings(_ reader: inout WireReader) throws(WireError) {
        for _ in 0..<(try reader.readCount(max: Limits.admissions, minimumElementSize: 154)) {
            let member = try readMember(&reader)
            let predecessor = try reader.readBytes32()
            admissions.removeAll { $0.member == member }
            admissions.append(
                Admission(
                    member: member, predecessor: predecessor == .zero ? nil : predecessor))
        }
        for _ in 0..<(try reader.readCount(max: Limits.invites, minimumElementSize: 88)) {
            let key = try reader.readBytes32()
            inviteOrders[key] = try readOrder(&reader)
        }
        for _ in 0..<(try reader.readCount(max: Limits.endings, minimumElementSize: 90)) {
            var kind = Ending.Kind.retire
            switch try reader.readUInt8() {
            case 1: kind = .revoke(try reader.readUInt())
            case 2: break
            default: throw .invalid("what ends a log")
            }
            var ending = Ending(
                kind: kind, device: try reader.readBytes32(), order: try readOrder(&reader))
            for _ in 0..<(try reader.readCount(max: Int(WriterSlot.max), minimumElementSize: 33)) {
                ending.seen.append(
                    .init(log: try reader.readBytes32(), blocks: try reader.readUInt()))
            }
            ending.seen.sort { $0.log < $1.log }
            if let last = endings.last, !(last.order < ending.order) {
                throw .invalid("what ends logs is out of order")
            }
            endings.append(ending)
        }
    }

    /// Earlier releases did not keep whose successor a log is: its device has the name of the one before, and a
    /// number.
    private mutating func findPredecessors() {
        for index in admissions.indices {
            let member = admissions[index].member
            guard let last = member.name.lastIndex(of: UInt8(ascii: " ")) else { continue }
            admissions[index].predecessor = succeeded.sorted().first { log in
                guard log != member.log, let before = members[log] else { return false }
                return before.role == member.role && before.admitted < member.admitted
                    && before.name.starts(with: member.name[..<last])
            }
        }
    }

    private func role(_ reader: inout WireReader) throws(WireError) -> MemberRole {
        let value = try reader.readUInt()
        guard let role = MemberRole(rawValue: UInt8(clamping: value)) else {
            throw .invalid("role \(value)")
        }
        return role
    }

    private func readMember(_ reader: inout WireReader) throws(WireError) -> Member {
        Member(
            log: try reader.readBytes32(), device: try reader.readBytes32(),
            name: try reader.readBuffer(max: Self.nameSizeMax), role: try role(&reader),
            admitted: try readOrder(&reader))
    }

    private func readOrder(_ reader: inout WireReader) throws(WireError) -> OperationOrder {
        OperationOrder(
            time: try reader.readUInt64(), writer: try reader.readBytes32(),
            block: try reader.readUInt64(), index: try reader.readUInt64())
    }
}
