package import Base
import Crypto
package import FileTree

/// Who belongs to the share, and how much of whose log counts: derived from the logs' membership operations
/// alone, beginning with the founding log, whose device owns the share. A pure function of the set of
/// operations.
///
/// Any owner or writer may admit a writer; only an owner may admit another owner, revoke a member or retire
/// another one. A device that must go on under a new log (<doc:Forks>) is admitted by its own signature, whoever
/// writes it down. What ends a log is in <doc:Endings>.
package struct Membership: Equatable, Sendable {
    package struct Member: Equatable, Sendable {
        package var log: Bytes32
        /// The device's Ed25519 key; zeros for the founding log until its first block is here.
        package var device: Bytes32
        package var name: [UInt8]
        package var role: MemberRole
        /// When it was admitted: of several admissions the earliest counts.
        var admitted: OperationOrder
    }

    /// Somebody's word that a log is a member's. All are kept: which of them count follows from what ends logs.
    struct Admission: Equatable, Sendable {
        var member: Member
        /// The log of the same device whose own word it is.
        var predecessor: Bytes32?

        var order: OperationOrder { member.admitted }
    }

    enum Limits {
        static let members = 4096
        static let invites = 4096
        static let admissions = 2 * members
        /// Of one author: its log tells them in one order, so that all keep the same ones.
        static let endingsOfOne = 128
        static let endings = 8192
    }

    static let nameSizeMax = 255
    package let foundingLog: Bytes32
    var members: [Bytes32: Member]
    /// In the order of operations, and by log for what follows from them.
    var admissions: [Admission] = []
    var invites: [Bytes32: Operation.Invite] = [:]
    /// Which operation brought an invite.
    var inviteOrders: [Bytes32: OperationOrder] = [:]
    /// Logs whose devices go on under another one.
    var succeeded: Set<Bytes32> = []
    /// In the order of operations; those that do not count are among them.
    var endings: [Ending] = []
    /// By log: those that count, and what follows.
    var ends: [Bytes32: LogEnd] = [:]

    package init(foundingLog: Bytes32) {
        self.foundingLog = foundingLog
        members = [foundingLog: Self.founder(foundingLog)]
    }

    static func founder(_ log: Bytes32) -> Member {
        let last = OperationOrder(time: .max, writer: log, block: .max, index: .max)
        return Member(log: log, device: .zero, name: [], role: .owner, admitted: last)
    }

    /// Every log of which blocks count, in the order of their keys.
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

    /// The logs that a log's device had before, the last one first.
    func predecessors(of log: Bytes32) -> [Bytes32] {
        var found: [Bytes32] = []
        var current = log
        while let admission = admissions.first(where: {
            $0.member.log == current && $0.predecessor != nil
        }), let predecessor = admission.predecessor, !found.contains(predecessor),
            predecessor != log
        {
            found.append(predecessor)
            current = predecessor
        }
        return found
    }

    /// The logs that a log's device, and copies of it, went on under.
    func successors(of log: Bytes32) -> [Bytes32] {
        logs.filter { $0 != log && predecessors(of: $0).contains(log) }
    }

    /// The open invite with this public key.
    package func invite(_ publicKey: Bytes32) -> Operation.Invite? {
        if let order = inviteOrders[publicKey], !counts(order.block, of: order.writer) {
            return nil
        }
        return invites[publicKey]
    }

    /// Those that are open, by key.
    var openInvites: [Operation.Invite] {
        invites.keys.sorted().compactMap { invite($0) }
    }

    /// Takes in one operation of a member's log.
    ///
    /// - Parameter seen: how many blocks of each other log its block had seen; asked for by what ends a log.
    /// - Returns: whether it was one that the author may make; others change nothing.
    package mutating func apply(
        _ operation: Operation, stamp: Stamp, author: Bytes32,
        seen: [Bytes32: UInt64] = [:]
    ) -> Bool {
        let order = OperationOrder(stamp, by: author)
        switch operation {
        case .admit(let admission): return admit(admission, at: order)
        case .invite(let invite):
            guard let role = members[author]?.role, mayAdmit(invite.role, role),
                invites.count < Limits.invites
            else { return false }
            invites[invite.publicKey] = invite.uses == 0 ? nil : invite
            inviteOrders[invite.publicKey] = invite.uses == 0 ? nil : order
            return true
        case .revoke(let revoke):
            return end(
                Ending(kind: .revoke(revoke.length), device: revoke.device, order: order),
                seen: seen)
        case .retire(let retire):
            return end(
                Ending(kind: .retire, device: retire.device, order: order), seen: seen)
        default: return members[author] != nil
        }
    }

    private mutating func admit(_ operation: Operation.Admit, at order: OperationOrder) -> Bool {
        guard let log = operation.log, mayHaveAdmitted(operation, order.writer) else {
            return false
        }
        let admission = Admission(
            member: Member(
                log: log, device: operation.device, name: operation.name,
                role: log == foundingLog ? .owner : operation.role, admitted: order),
            predecessor: operation.succession?.predecessor)
        let place = admissions.firstIndex { !($0.order < order) } ?? admissions.count
        if place < admissions.count, admissions[place].order == order {
            // It is read again, as when the view is made anew.
            return endings.isEmpty || members[log] != nil
        }
        guard admissions.count < Limits.admissions,
            members[log] != nil || members.count < Limits.members
        else { return false }
        admissions.insert(admission, at: place)
        if let predecessor = admission.predecessor { succeeded.insert(predecessor) }
        guard endings.isEmpty else {
            evaluate()
            return members[log] != nil
        }
        if let known = members[log], !(order < known.admitted) { return true }
        members[log] = admission.member
        return true
    }

    /// Operations have been written again elsewhere, at the same time of day: who was let in by one is found there.
    /// Where logs have ended that follows from who wrote what, and nothing is changed.
    mutating func follow(_ moved: (OperationOrder) -> OperationOrder) {
        guard endings.isEmpty else { return }
        for index in admissions.indices {
            admissions[index].member.admitted = moved(admissions[index].order)
        }
        admissions.sort { $0.order < $1.order }
        for (log, member) in members { members[log]?.admitted = moved(member.admitted) }
        inviteOrders = inviteOrders.mapValues(moved)
    }

    /// Whether its author is, or may turn out to be, one who may say so.
    private func mayHaveAdmitted(_ operation: Operation.Admit, _ author: Bytes32) -> Bool {
        var roles = admissions.filter { $0.member.log == author }.map(\.member.role)
        if let member = members[author] { roles.append(member.role) }
        guard operation.succession == nil else {
            return roles.contains { $0 == .owner || $0 == .writer } && isGenuine(operation)
        }
        return roles.contains { mayAdmit(operation.role, $0) }
    }

    /// Whether a succession is its predecessor's own word: then any writer may carry it, since it gives the
    /// device no more than it had.
    func accepts(_ admission: Operation.Admit) -> Bool {
        guard let predecessor = admission.succession?.predecessor, members[predecessor] != nil,
            ends[predecessor] == nil
        else { return false }
        return isGenuine(admission)
    }

    private func isGenuine(_ admission: Operation.Admit) -> Bool {
        guard let succession = admission.succession, let log = admission.log else { return false }
        let known = members[succession.predecessor].map { [$0] } ?? []
        let once = admissions.filter { $0.member.log == succession.predecessor }.map(\.member)
        return (known + once).contains { predecessor in
            predecessor.device != .zero && admission.role == predecessor.role
                && verify(
                    signature: succession.signature,
                    message: Operation.Succession.signable(
                        predecessor: succession.predecessor, log: log, device: admission.device),
                    publicKey: predecessor.device)
        }
    }

    func mayAdmit(_ wanted: MemberRole, _ role: MemberRole) -> Bool {
        role == .owner || (role == .writer && wanted != .owner)
    }
}
