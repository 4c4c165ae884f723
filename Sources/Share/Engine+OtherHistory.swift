import Base
import FileTree
import Hypercore

/// What the other history of a log says of who is a member. See <doc:Forks>.
extension Engine {
    /// Lets those in once more whom the other history of a log that was this device's let in, and nobody else did: a
    /// member that has the history which was here never reads that, and would wait for ever for what they write. Of
    /// several admissions the earliest counts, so it changes nothing for those who know of it.
    mutating func letInAgain() throws(StorageError) {
        guard lookedAtAdmissions != membership.admissions.count, !forks.isEmpty, isAdmitted,
            !hasEnded, pendingFork == nil, starting == nil, resumption == nil, failure == nil
        else { return }
        var areAllHere = true
        for admission in admissionsOfOtherHistories {
            guard let operation = try operation(of: admission) else {
                areAllHere = false
                continue
            }
            do {
                try author(.admit(operation))
            } catch {
                if case .storage(let error) = error { throw error }
            }
        }
        if areAllHere { lookedAtAdmissions = membership.admissions.count }
    }

    /// The admissions that only members with the history know that the device's log has taken on.
    private var admissionsOfOtherHistories: [Membership.Admission] {
        var parted: [Bytes32: UInt64] = [:]
        for fork in forks where fork.state == .settled { parted[fork.log] = fork.common }
        guard !parted.isEmpty, let role = ownLog.flatMap({ membership.member(log: $0.key)?.role })
        else { return [] }
        func isOfOne(_ admission: Membership.Admission) -> Bool {
            parted[admission.order.writer].map { admission.order.block >= $0 } ?? false
        }
        var known = Set(membership.admissions.filter { !isOfOne($0) }.map(\.member.log))
        return membership.admissions.filter { admission in
            let member = admission.member
            return membership.isMember(log: member.log) && membership.end(of: member.log) == nil
                && admission.order.operation(in: ownSlot) != nil
                && (admission.predecessor != nil || membership.mayAdmit(member.role, role))
                && known.insert(member.log).inserted
        }
    }

    /// An admission as it was written down: the signature of a device that goes on under another log is there alone.
    ///
    /// - Returns: nil if its block is not here.
    private func operation(of admission: Membership.Admission) throws(StorageError)
        -> Operation.Admit?
    {
        guard let slot = writers.slot(of: admission.order.writer),
            let bytes = try logs[slot]?.block(at: admission.order.block),
            let block = try? BlockCodec.standaloneOperations(in: bytes.span)
        else { return nil }
        for (index, operation) in block.operations {
            guard case .admit(let admit) = operation,
                UInt64(clamping: index) == admission.order.index
            else { continue }
            return admit
        }
        return nil
    }

    // MARK: For people

    /// Whose blocks wait for ever, as far as is known: they name more of a log with two histories than there is of the one
    /// that is here, so that their writer has the other.
    var otherHistoryProblems: [String] {
        let parted = Set(forks.filter { $0.state != .fetching }.map(\.log))
        guard !parted.isEmpty else { return [] }
        return logs.keys.sorted { $0.rawValue < $1.rawValue }.compactMap { slot in
            guard slot != ownSlot, !stopped.contains(slot), let log = logs[slot],
                membership.isMember(log: log.key), membership.end(of: log.key) == nil,
                let bytes = try? log.block(at: applied[slot] ?? 0)
            else { return nil }
            var codec = codecs[slot] ?? BlockCodec(writer: slot)
            guard let block = try? codec.decode(bytes.span, writers: writers),
                let named = block.clock.elements.first(where: { element in
                    element.count > tree.clock[element.writer]
                        && element.count > logs[element.writer]?.signedLength ?? 0
                        && parted.contains(writers.key(of: element.writer))
                })
            else { return nil }
            let (device, parted) = (log.key, writers.key(of: named.writer))
            return "what \(deviceName(log: device)) writes cannot be read here: it has another"
                + " history of the log of \(deviceName(log: parted)), which was restored or cloned."
                + " Nothing is lost there: copy what only it shows, then leave the share there and"
                + " join it again"
        }
    }

    // MARK: Looking ahead

    /// Looks for admissions in a log whose next block has seen blocks of a log that is no member's here: who lets one
    /// in whom others know already has mostly seen some of its blocks, and who does not know it cannot take the
    /// admission before those, nor those before the admission.
    ///
    /// - Returns: whether there are more blocks to look at.
    mutating func lookAhead(in slot: WriterSlot, for clock: Clock) throws(StorageError) -> Bool {
        let isStrange = clock.elements.contains {
            $0.count > tree.clock[$0.writer] && $0.writer != ownSlot
                && !membership.isMember(log: writers.key(of: $0.writer))
        }
        guard isStrange, slot != ownSlot else { return false }
        let author = writers.key(of: slot)
        let first = max(lookedAhead[author] ?? 0, applied[slot] ?? 0)
        var number = first
        let end = min(bound(of: slot), FileTreeLimits.blocksPerLogMax)
        while number < end, number - first < Limits.lookedAhead,
            let bytes = try logs[slot]?.block(at: number)
        {
            number += 1
            lookedAhead[author] = number
            // What cannot be read stops its log when it is its turn.
            guard let block = try? BlockCodec.standaloneOperations(in: bytes.span) else { continue }
            for case (let index, .admit(let admission)) in block.operations {
                let id = OperationID(writer: slot, block: number - 1, index: index)
                let isAllowed = membership.apply(
                    .admit(admission), stamp: Stamp(time: block.time, operation: id), author: author
                )
                guard isAllowed else { continue }
                (membershipChanged, membershipGrew) = (true, true)
                markDirty()
                refreshBounds()
            }
        }
        return number - first == Limits.lookedAhead
    }
}
