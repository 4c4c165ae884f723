import Base
import FileTree
import Hypercore

/// Whether the others count this device, though a log by whose word it is a member was retired. See <doc:Endings>.
extension Engine {
    /// Works out `unheardAdmitter` anew: when it is known how logs ended, and then as often as blocks of others come.
    mutating func refreshUnheard() {
        unheardAdmitter = nil
        guard membership.hasEndings, ownEnd == nil, let log = admittedLog,
            let admitter = retiredAdmitter(of: log), !heardLogs.contains(log)
        else { return }
        unheardAdmitter = admitter
    }

    /// The own log; where nobody has let that in yet, the one that it goes on from.
    private var admittedLog: Bytes32? {
        guard let own = ownLog?.key else { return nil }
        var logs = [own]
        if let predecessor = succession?.succession.predecessor {
            logs += [predecessor] + membership.predecessors(of: predecessor)
        }
        return logs.first { membership.isMember(log: $0) }
    }

    /// The retired log whose device let one in, or one of those who did, not known to who retired it.
    private func retiredAdmitter(of log: Bytes32) -> Bytes32? {
        var current = log
        for _ in 0..<StartingPoint.Limits.links {
            guard let admission = membership.admission(of: current), admission.log != current
            else { return nil }
            if membership.isRetiredUnseen(admission.block, of: admission.log) {
                return admission.log
            }
            current = admission.log
        }
        return nil
    }

    /// The logs that all members count as soon as they have what is here: those let in by one whose word all take, or by
    /// one of whose log members have taken as much, though who retired it had not.
    var heardLogs: Set<Bytes32> {
        var heard: Set<Bytes32> = [membership.foundingLog]
        var hasGrown = true
        while hasGrown {
            hasGrown = false
            for admission in membership.admissions where !heard.contains(admission.member.log) {
                let (log, block) = (admission.order.writer, admission.order.block)
                guard heard.contains(log), membership.isGood(admission),
                    !membership.isRetiredUnseen(block, of: log) || taken(of: log, by: heard) > block
                else { continue }
                heard.insert(admission.member.log)
                hasGrown = true
            }
        }
        return heard
    }

    /// How many blocks of a log these members have seen, as far as theirs are here and count for everybody.
    func taken(of log: Bytes32, by members: Set<Bytes32>) -> UInt64 {
        guard let slot = writers.slot(of: log) else { return 0 }
        let own = ownSlots
        return codecs.reduce(into: 0) { most, element in
            let author = writers.key(of: element.key)
            guard element.key != slot, !own.contains(element.key), members.contains(author),
                let last = element.value.lastNumber,
                !membership.isRetiredUnseen(last, of: author)
            else { return }
            most = max(most, element.value.clock[slot])
        }
    }
}

extension BlockCodec {
    /// Of the block that was read or written last.
    fileprivate var lastNumber: UInt64? { number > 0 ? number - 1 : nil }
}
