package import Base
import Crypto
package import FileTree
import Wire

/// Who belongs to the share: derived from the logs' membership operations alone, beginning with
/// the founding log, whose device owns the share. A pure function of the set of operations.
///
/// Any owner or writer may admit a writer; only an owner may admit another owner. A device that must go
/// on under a new log (<doc:Forks>) is admitted by its own signature, whoever writes it down.
package struct Membership: Equatable, Sendable {
    package struct Member: Equatable, Sendable {
        package var log: Bytes32
        /// The device's Ed25519 key; zeros for the founding log until its first block is here.
        package var device: Bytes32
        package var name: [UInt8]
        package var role: MemberRole
        /// When it was admitted: of several admissions the earliest counts.
        fileprivate var admitted: OperationOrder
    }

    enum Limits {
        static let members = 4096
        static let invites = 4096
    }

    private static let nameSizeMax = 255
    package let foundingLog: Bytes32
    private var members: [Bytes32: Member]
    private var invites: [Bytes32: Operation.Invite] = [:]
    /// Logs whose devices go on under another one.
    private var succeeded: Set<Bytes32> = []

    package init(foundingLog: Bytes32) {
        self.foundingLog = foundingLog
        let last = OperationOrder(time: .max, writer: foundingLog, block: .max, index: .max)
        members = [
            foundingLog: Member(
                log: foundingLog, device: .zero, name: [], role: .owner, admitted: last)
        ]
    }

    /// Every log whose blocks count, in the order of their keys.
    package var logs: [Bytes32] { members.keys.sorted() }

    package func member(log: Bytes32) -> Member? { members[log] }

    /// The block that admitted a log.
    func admission(of log: Bytes32) -> (log: Bytes32, block: UInt64)? {
        members[log].map { ($0.admitted.writer, $0.admitted.block) }
    }

    package func isMember(log: Bytes32) -> Bool { members[log] != nil }

    package func member(device: Bytes32) -> Member? {
        members.values.filter { $0.device == device }.min { $0.log < $1.log }
    }

    /// Whether the log's device, or a copy of it, goes on under another log.
    package func hasSuccessor(_ log: Bytes32) -> Bool { succeeded.contains(log) }

    /// The open invite with this public key.
    package func invite(_ publicKey: Bytes32) -> Operation.Invite? { invites[publicKey] }

    /// Takes in one operation of a member's log.
    ///
    /// - Returns: whether it was one that the author may make; others change nothing.
    package mutating func apply(_ operation: Operation, stamp: Stamp, author: Bytes32) -> Bool {
        guard let role = members[author]?.role else { return false }
        switch operation {
        case .admit(let admission):
            return admit(admission, by: role, at: OperationOrder(stamp, by: author))
        case .invite(let invite):
            guard mayAdmit(invite.role, role), invites.count < Limits.invites else { return false }
            invites[invite.publicKey] = invite.uses == 0 ? nil : invite
            return true
        default:
            return true
        }
    }

    private mutating func admit(
        _ admission: Operation.Admit, by role: MemberRole, at order: OperationOrder
    )
        -> Bool
    {
        let mayAdmit =
            admission.succession == nil
            ? mayAdmit(admission.role, role)
            : (role == .owner || role == .writer) && accepts(admission)
        guard mayAdmit, let log = admission.log else { return false }
        if let known = members[log] {
            guard order < known.admitted else { return true }
        } else {
            guard members.count < Limits.members else { return false }
        }
        if let succession = admission.succession { succeeded.insert(succession.predecessor) }
        members[log] = Member(
            log: log, device: admission.device, name: admission.name,
            role: log == foundingLog ? .owner : admission.role, admitted: order)
        return true
    }

    /// Whether a succession is its predecessor's own word: then any writer may carry it, since it gives the
    /// device no more than it had.
    func accepts(_ admission: Operation.Admit) -> Bool {
        guard let succession = admission.succession, let log = admission.log,
            let predecessor = members[succession.predecessor], predecessor.device != .zero,
            admission.role == predecessor.role
        else { return false }
        return verify(
            signature: succession.signature,
            message: Operation.Succession.signable(
                predecessor: succession.predecessor, log: log, device: admission.device),
            publicKey: predecessor.device)
    }

    private func mayAdmit(_ wanted: MemberRole, _ role: MemberRole) -> Bool {
        role == .owner || (role == .writer && wanted != .owner)
    }
}

// MARK: - Kept between runs

extension Membership {
    package var encoded: [UInt8] {
        var writer = WireWriter()
        writer.writeUInt(1)
        writer.writeUInt(members.count)
        for log in logs {
            guard let member = members[log] else { continue }
            writer.writeBytes32(log)
            writer.writeBytes32(member.device)
            writer.writeBuffer(member.name)
            writer.writeUInt(Int(member.role.rawValue))
            writer.writeUInt64(member.admitted.time)
            writer.writeBytes32(member.admitted.writer)
            writer.writeUInt64(member.admitted.block)
            writer.writeUInt64(member.admitted.index)
        }
        writer.writeUInt(invites.count)
        for key in invites.keys.sorted() {
            guard let invite = invites[key] else { continue }
            writer.writeBytes32(key)
            writer.writeUInt(Int(invite.role.rawValue))
            writer.writeUInt64(invite.expiresMilliseconds)
            writer.writeUInt32(invite.uses)
        }
        guard !succeeded.isEmpty else { return writer.bytes }
        writer.writeUInt(succeeded.count)
        for log in succeeded.sorted() { writer.writeBytes32(log) }
        return writer.bytes
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
        func role(_ value: UInt64) throws(WireError) -> MemberRole {
            guard let role = MemberRole(rawValue: UInt8(clamping: value)) else {
                throw .invalid("role \(value)")
            }
            return role
        }
        var reader = WireReader(bytes.span)
        guard try reader.readUInt() == 1 else { throw .invalid("version") }
        for _ in 0..<(try reader.readCount(max: Limits.members, minimumElementSize: 122)) {
            let log = try reader.readBytes32()
            members[log] = Member(
                log: log, device: try reader.readBytes32(),
                name: try reader.readBuffer(max: Self.nameSizeMax),
                role: try role(try reader.readUInt()),
                admitted: OperationOrder(
                    time: try reader.readUInt64(), writer: try reader.readBytes32(),
                    block: try reader.readUInt64(), index: try reader.readUInt64()))
        }
        for _ in 0..<(try reader.readCount(max: Limits.invites, minimumElementSize: 45)) {
            let key = try reader.readBytes32()
            invites[key] = Operation.Invite(
                publicKey: key, role: try role(try reader.readUInt()),
                expiresMilliseconds: try reader.readUInt64(), uses: try reader.readUInt32())
        }
        guard !reader.isAtEnd else { return }
        for _ in 0..<(try reader.readCount(max: Limits.members, minimumElementSize: 32)) {
            succeeded.insert(try reader.readBytes32())
        }
    }
}
