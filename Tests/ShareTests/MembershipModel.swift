import Base
import FileTree

@testable import Share

/// What counts of ended logs once more, written down as it is meant: slow.
extension Membership {
    /// Who is a member, and how many blocks of whom count, given the cuts that do.
    fileprivate struct NaiveStanding {
        var members: [Bytes32: Member]
        var cuts: [Bytes32: UInt64]

        func counts(_ order: OperationOrder) -> Bool {
            members[order.writer] != nil && order.block < cuts[order.writer] ?? .max
        }
    }

    /// Works out from all operations who is a member and which logs have ended.
    /// As `evaluate`, with every operation weighed against every other.
    mutating func evaluateNaively() {
        let accepted = acceptedCuts()
        let standing = standing(accepted)
        members = standing.members
        ends = [:]
        for ending in accepted {
            for log in logs(of: ending.device) {
                guard let cut = standing.cuts[log], members[log] != nil else { continue }
                let kind: LogEnd.Kind = ending.isRevocation ? .revoked : .left
                var end = ends[log] ?? LogEnd(kind: kind, length: cut, operations: [])
                if kind == .revoked { end.kind = .revoked }
                end.operations.append(ending.order)
                ends[log] = end
            }
        }
        let retirements = endings.filter { isRetirement($0, standing) }
        for ending in retirements
        where !retirements.contains(where: { outranks($0, ending, standing) }) {
            for log in logs(of: ending.device) where members[log] != nil && log != ending.author {
                guard ends[log]?.length == nil else { continue }
                var end = ends[log] ?? LogEnd(kind: .retired, length: nil, operations: [])
                end.operations.append(ending.order)
                ends[log] = end
            }
        }
    }

    /// The cuts that count. Each stands unless one that counts cuts it off: those that nobody could cut off come
    /// first; where they cut off each other, that of the member admitted earliest stands. None takes back one that
    /// was taken before, so that there is one result for one set of operations.
    fileprivate func acceptedCuts() -> [Ending] {
        var accepted: [Ending] = []
        var undecided = endings.filter { $0.isRevocation || isOwn($0) }
        while true {
            let now = standing(accepted)
            let candidates = undecided.filter { candidate in
                isAllowed(candidate, now)
                    && !accepted.contains {
                        // What is cut already is not cut anew by who knew it.
                        $0.device == candidate.device && candidate.hasSeen($0.order)
                    }
            }
            guard !candidates.isEmpty else { return accepted }
            let outcomes = candidates.map { standing(accepted + [$0]) }
            let indices = candidates.indices
            let free = indices.first { index in
                indices.allSatisfy { isAllowed(candidates[index], outcomes[$0]) }
            }
            let next = free ?? indices.min { isSenior(candidates[$0], candidates[$1], now) } ?? 0
            let choice = candidates[next]
            undecided.removeAll { $0 == choice }
            guard isAllowed(choice, outcomes[next]),
                accepted.allSatisfy({ isAllowed($0, outcomes[next]) })
            else { continue }
            accepted.append(choice)
            undecided.removeAll { !isAllowed(choice, standing(accepted + [$0])) }
        }
    }

    fileprivate func isSenior(_ left: Ending, _ right: Ending, _ standing: NaiveStanding) -> Bool {
        guard left.author != right.author else { return left.order < right.order }
        return isSenior(left.author, right.author, standing)
    }

    fileprivate func isSenior(_ left: Bytes32, _ right: Bytes32, _ standing: NaiveStanding) -> Bool
    {
        guard left != foundingLog, right != foundingLog else { return left == foundingLog }
        guard let first = standing.members[left], let second = standing.members[right] else {
            return standing.members[left] != nil
        }
        return first.admitted < second.admitted
    }

    /// Whether its author ends its own log.
    fileprivate func isOwn(_ ending: Ending) -> Bool {
        logs(of: ending.device).contains(ending.author)
    }

    /// Whether a cut is by somebody who may make it, in a block that counts.
    fileprivate func isAllowed(_ ending: Ending, _ standing: NaiveStanding) -> Bool {
        guard standing.counts(ending.order) else { return false }
        guard ending.isRevocation else { return true }
        return standing.members[ending.author]?.role == .owner && !isOwn(ending)
            && logs(of: ending.device).contains { standing.members[$0] != nil }
    }

    fileprivate func isRetirement(_ ending: Ending, _ standing: NaiveStanding) -> Bool {
        !ending.isRevocation && !isOwn(ending) && standing.counts(ending.order)
            && standing.members[ending.author]?.role == .owner
    }

    /// Of two owners who retire each other without knowing it, the one admitted earlier stays.
    fileprivate func outranks(_ other: Ending, _ ending: Ending, _ standing: NaiveStanding) -> Bool
    {
        logs(of: other.device).contains(ending.author)
            && logs(of: ending.device).contains(other.author)
            && !other.hasSeen(ending.order) && !ending.hasSeen(other.order)
            && isSenior(other.author, ending.author, standing)
    }

    /// The logs of a key pair: one, unless somebody was admitted under another's key.
    fileprivate func logs(of device: Bytes32) -> [Bytes32] {
        var found: [Bytes32] = []
        for admission in admissions
        where admission.member.device == device && !found.contains(admission.member.log) {
            found.append(admission.member.log)
        }
        return found
    }

    fileprivate func standing(_ accepted: [Ending]) -> NaiveStanding {
        var cuts: [Bytes32: UInt64] = [:]
        for ending in accepted {
            guard case .revoke(let length) = ending.kind else { continue }
            for log in logs(of: ending.device) {
                // Of several the later cut; but never more than its author had seen, so that whoever has the
                // operation has all that counts.
                cuts[log] = max(cuts[log] ?? 0, min(length, ending.seen(of: log)))
            }
        }
        for ending in accepted where !ending.isRevocation {
            cuts[ending.author] = min(cuts[ending.author] ?? .max, ending.order.block + 1)
        }
        var standing = NaiveStanding(
            members: [foundingLog: Self.founder(foundingLog)], cuts: cuts)
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for admission in admissions where isAllowed(admission, accepted, standing) {
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

    fileprivate func isAllowed(
        _ admission: Admission, _ accepted: [Ending], _ standing: NaiveStanding
    ) -> Bool {
        guard standing.counts(admission.order),
            let role = standing.members[admission.order.writer]?.role
        else { return false }
        guard let predecessor = admission.predecessor else {
            return mayAdmit(admission.member.role, role)
        }
        guard role == .owner || role == .writer, let before = standing.members[predecessor]
        else { return false }
        // What a revoked key signs is worth nothing, unless who revoked it knew of it.
        let revocations = accepted.filter { $0.isRevocation && $0.device == before.device }
        return revocations.isEmpty || revocations.contains { $0.hasSeen(admission.order) }
    }
}
