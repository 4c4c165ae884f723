import Base
import FileTree

/// How to show who is a member to somebody who knows nothing but the founding log's key.
extension Membership {
    /// Of each member but the founder one admission, in an order in which each can be understood: after that of who
    /// wrote it down, and that of the log whose device it goes on for.
    ///
    /// It is the earliest that counts wherever that can be. But the earliest admissions of two logs may be each other's
    /// word (a device that goes on under another log lets somebody in with what it writes again, and is let in by that
    /// one): then one of the two has a later one by somebody else.
    var showing: [Admission] {
        var shown: Set<Bytes32> = [foundingLog]
        var found: [Admission] = []
        var mayBeLater = false
        while true {
            var hasGrown = false
            for admission in admissions where !shown.contains(admission.member.log) {
                guard shown.contains(admission.order.writer),
                    admission.predecessor.map(shown.contains) ?? true,
                    mayBeLater
                        ? isGood(admission)
                        : members[admission.member.log] == admission.member
                else { continue }
                shown.insert(admission.member.log)
                found.append(admission)
                hasGrown = true
                // After it the earliest ones of others may do.
                if mayBeLater { break }
            }
            if !hasGrown, mayBeLater { return found }
            mayBeLater = !hasGrown
        }
    }

    /// The admissions that show that a log is a member's, in such an order.
    ///
    /// - Returns: nil if it is none.
    func showing(_ log: Bytes32) -> [Admission]? {
        var needed: Set<Bytes32> = [log]
        var found: [Admission] = []
        for admission in showing.reversed() where needed.contains(admission.member.log) {
            needed.formUnion([admission.order.writer] + [admission.predecessor].compactMap(\.self))
            found.append(admission)
        }
        let shown = Set(found.map(\.member.log)).union([foundingLog])
        return needed.isSubset(of: shown) ? found.reversed() : nil
    }

    /// Whether it counts, though another one may be earlier.
    func isGood(_ admission: Admission) -> Bool {
        guard members[admission.member.log] != nil,
            let role = members[admission.order.writer]?.role,
            counts(admission.order.block, of: admission.order.writer)
        else { return false }
        return admission.predecessor != nil || mayAdmit(admission.member.role, role)
    }
}
