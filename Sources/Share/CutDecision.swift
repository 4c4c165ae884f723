import Base
import FileTree

/// Which cuts of logs count, and what follows: a pure function of the set of operations. See <doc:Endings>.
///
/// Most cuts touch nothing that another operation depends on: they leave every admission and every ending that
/// their log has written. Those are decided as they come. The others are weighed against each other, each time
/// by working out who would be a member; there may be only so many.
struct CutDecision {
    enum Limits {
        /// How many admissions are looked at to weigh cuts against each other, roughly.
        static let looks = 50_000
        static let weighed = 4...64
    }

    /// Who is a member, and how many blocks of whom count, given the cuts that do.
    struct Standing {
        var members: [Bytes32: Membership.Member]
        var cuts: [Bytes32: UInt64] = [:]

        func counts(_ order: OperationOrder) -> Bool {
            members[order.writer] != nil && order.block < cuts[order.writer] ?? .max
        }
    }

    private let membership: Membership
    private var logsOf: [Bytes32: [Bytes32]] = [:]
    private var admissionsOf: [Bytes32: [Membership.Admission]] = [:]
    /// The last block of a log that admits somebody or ends a log.
    private var lastWord: [Bytes32: UInt64] = [:]
    /// Of the logs that say anything, and those that others go on from: who is a member hangs on them alone.
    private var telling: [Membership.Admission] = []
    /// Cuts that may leave out what others depend on.
    private var weighty: Set<OperationOrder> = []

    private var accepted: [Ending] = []
    /// Those of them that others hang on.
    private var weightyAccepted: [Ending] = []
    private var acceptedOf: [Bytes32: [Ending]] = [:]
    private var undecided: [Ending]
    /// One that is looked at as if it counted.
    private var assumed: Ending?

    init(_ membership: Membership) {
        self.membership = membership
        undecided = []
        var succeeded: Set<Bytes32> = []
        for admission in membership.admissions {
            let member = admission.member
            admissionsOf[member.log, default: []].append(admission)
            if !logsOf[member.device, default: []].contains(member.log) {
                logsOf[member.device, default: []].append(member.log)
            }
            hear(admission.order)
            if let predecessor = admission.predecessor { succeeded.insert(predecessor) }
        }
        for ending in membership.endings { hear(ending.order) }
        telling = membership.admissions.filter {
            lastWord[$0.member.log] != nil || succeeded.contains($0.member.log)
        }
        undecided = membership.endings.filter { $0.isRevocation || isOwn($0) }
        findWeighty(succeeded)
    }

    private mutating func hear(_ order: OperationOrder) {
        lastWord[order.writer] = max(lastWord[order.writer] ?? 0, order.block)
    }

    /// Of several cuts of one device the later holds, so if one is weighty all are.
    private mutating func findWeighty(_ succeeded: Set<Bytes32>) {
        var devices: Set<Bytes32> = []
        for ending in undecided {
            let logs = logs(of: ending.device)
            guard case .revoke(let length) = ending.kind else {
                if let last = lastWord[ending.author], last > ending.order.block {
                    weighty.insert(ending.order)
                }
                continue
            }
            let cutsOff = logs.contains { log in
                if succeeded.contains(log) { return true }
                guard let last = lastWord[log] else { return false }
                return min(length, ending.seen(of: log)) <= last
            }
            if cutsOff { devices.insert(ending.device) }
        }
        for ending in undecided where ending.isRevocation && devices.contains(ending.device) {
            weighty.insert(ending.order)
        }
        let squared = Limits.looks / max(1, telling.count)
        var limit = Limits.weighed.lowerBound
        while limit < Limits.weighed.upperBound, (limit + 1) * (limit + 1) <= squared { limit += 1 }
        guard weighty.count > limit else { return }
        // Too many to be weighed: those of the members admitted first are.
        let start = standing(with: nil)
        let heavy = undecided.filter { weighty.contains($0.order) }
            .sorted { isSenior($0, $1, start) }
        let dropped = Set(heavy.dropFirst(limit).map(\.order))
        undecided.removeAll { dropped.contains($0.order) }
        weighty.subtract(dropped)
    }

    // MARK: Deciding

    /// The cuts that count. Each stands unless one that counts cuts it off: those that nobody could cut off come
    /// first; where they cut off each other, that of the member admitted earliest stands. None takes back one that
    /// was taken before, so that there is one result for one set of operations.
    mutating func accept() -> [Ending] {
        while acceptSome() {}
        return accepted
    }

    /// Goes on until one was decided on that others may hang on.
    private mutating func acceptSome() -> Bool {
        let now = standing(with: nil)
        let candidates = undecided.filter { isAllowed($0, now) && !isKnown($0) }
        guard !candidates.isEmpty else { return false }
        // What a cut that is not weighty brings about is what there is already.
        let outcomes = undecided.filter { weighty.contains($0.order) }.map { ending in
            (order: ending.order, standing: standing(with: ending))
        }
        let open = Set(candidates.map(\.order))
        let rivals = outcomes.filter { open.contains($0.order) }
        var decided: Set<OperationOrder> = []
        defer { undecided.removeAll { decided.contains($0.order) } }
        for candidate in candidates where !isKnown(candidate) {
            guard rivals.allSatisfy({ isAllowed(candidate, $0.standing) }) else { continue }
            decided.insert(candidate.order)
            take(candidate, outcomes, now, &decided)
            if weighty.contains(candidate.order) { return true }
        }
        let rest = candidates.filter { !decided.contains($0.order) && !isKnown($0) }
        guard let next = rest.min(by: { isSenior($0, $1, now) }) else { return !decided.isEmpty }
        decided.insert(next.order)
        take(next, outcomes, now, &decided)
        return true
    }

    private mutating func take(
        _ choice: Ending, _ outcomes: [(order: OperationOrder, standing: Standing)],
        _ now: Standing, _ decided: inout Set<OperationOrder>
    ) {
        if weighty.contains(choice.order) {
            guard let outcome = outcomes.first(where: { $0.order == choice.order })?.standing,
                isAllowed(choice, outcome), accepted.allSatisfy({ isAllowed($0, outcome) })
            else { return }
        }
        accepted.append(choice)
        if weighty.contains(choice.order) { weightyAccepted.append(choice) }
        acceptedOf[choice.device, default: []].append(choice)
        for outcome in outcomes where outcome.order != choice.order {
            guard !decided.contains(outcome.order) else { continue }
            let after =
                weighty.contains(choice.order)
                ? undecided.first { $0.order == outcome.order }.map { standing(with: $0) }
                : outcome.standing
            if let after, !isAllowed(choice, after) { decided.insert(outcome.order) }
        }
    }

    /// What is cut already is not cut anew by who knew it.
    private func isKnown(_ candidate: Ending) -> Bool {
        acceptedOf[candidate.device]?.contains { candidate.hasSeen($0.order) } ?? false
    }

    // MARK: Who comes first

    private func isSenior(_ left: Ending, _ right: Ending, _ standing: Standing) -> Bool {
        guard left.author != right.author else { return left.order < right.order }
        return isSenior(left.author, right.author, standing)
    }

    private func isSenior(_ left: Bytes32, _ right: Bytes32, _ standing: Standing) -> Bool {
        let founder = membership.foundingLog
        guard left != founder, right != founder else { return left == founder }
        guard let first = standing.members[left], let second = standing.members[right] else {
            return standing.members[left] != nil
        }
        return first.admitted < second.admitted
    }

    /// Of two owners who retire each other without knowing it, the one admitted earlier stays.
    func outranks(_ other: Ending, _ ending: Ending, _ standing: Standing) -> Bool {
        logs(of: other.device).contains(ending.author)
            && logs(of: ending.device).contains(other.author)
            && !other.hasSeen(ending.order) && !ending.hasSeen(other.order)
            && isSenior(other.author, ending.author, standing)
    }

    // MARK: Who may

    /// The logs of a key pair: one, unless somebody was admitted under another's key.
    func logs(of device: Bytes32) -> [Bytes32] { logsOf[device] ?? [] }

    /// Whether its author ends its own log.
    private func isOwn(_ ending: Ending) -> Bool { logs(of: ending.device).contains(ending.author) }

    /// Whether a cut is by somebody who may make it, in a block that counts.
    private func isAllowed(_ ending: Ending, _ standing: Standing) -> Bool {
        guard standing.counts(ending.order) else { return false }
        guard ending.isRevocation else { return true }
        return standing.members[ending.author]?.role == .owner && !isOwn(ending)
            && logs(of: ending.device).contains { isMember($0, standing) }
    }

    func isRetirement(_ ending: Ending, _ standing: Standing) -> Bool {
        !ending.isRevocation && !isOwn(ending) && standing.counts(ending.order)
            && standing.members[ending.author]?.role == .owner
    }

    private func isMember(_ log: Bytes32, _ standing: Standing) -> Bool {
        if standing.members[log] != nil { return true }
        return admissionsOf[log]?.contains { isAllowed($0, standing) } ?? false
    }

    private func isAllowed(_ admission: Membership.Admission, _ standing: Standing) -> Bool {
        guard standing.counts(admission.order),
            let role = standing.members[admission.order.writer]?.role
        else { return false }
        guard let predecessor = admission.predecessor else {
            return membership.mayAdmit(admission.member.role, role)
        }
        guard role == .owner || role == .writer, let before = standing.members[predecessor]
        else { return false }
        // What a revoked key signs is worth nothing, unless who revoked it knew of it.
        let revocations = revocations(of: before.device)
        return revocations.isEmpty || revocations.contains { $0.hasSeen(admission.order) }
    }

    // MARK: What follows

    private func revocations(of device: Bytes32) -> [Ending] {
        let known = (acceptedOf[device] ?? []).filter(\.isRevocation)
        guard let assumed, assumed.isRevocation, assumed.device == device else { return known }
        return known + [assumed]
    }

    /// Of the logs that others hang on.
    private func standing(with ending: Ending?) -> Standing {
        var copy = self
        copy.assumed = ending
        return copy.standing(telling, weightyAccepted + (ending.map { [$0] } ?? []))
    }

    /// Of everybody.
    func wholeStanding() -> Standing { standing(membership.admissions, accepted) }

    private func standing(_ admissions: [Membership.Admission], _ cuts: [Ending]) -> Standing {
        var standing = Standing(
            members: [membership.foundingLog: Membership.founder(membership.foundingLog)])
        for ending in cuts {
            guard case .revoke(let length) = ending.kind else { continue }
            for log in logs(of: ending.device) {
                // Of several the later cut; but never more than its author had seen, so that whoever has the
                // operation has all that counts.
                standing.cuts[log] = max(
                    standing.cuts[log] ?? 0, min(length, ending.seen(of: log)))
            }
        }
        for ending in cuts where !ending.isRevocation {
            standing.cuts[ending.author] = min(
                standing.cuts[ending.author] ?? .max, ending.order.block + 1)
        }
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for admission in admissions where isAllowed(admission, standing) {
                let log = admission.member.log
                if let known = standing.members[log], !(admission.order < known.admitted) {
                    continue
                }
                standing.members[log] = admission.member
                hasChanged = true
            }
        }
        return standing
    }
}
