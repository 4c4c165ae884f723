import Base
import FileTree
import Hypercore

/// What people are told of members, and of logs that ended.
extension Engine {
    /// After so long without a word of a member `status` says that history is kept for it, in milliseconds.
    static let silence: UInt64 = 90 * RetentionPolicy.day

    var memberReports: [ShareStatus.Member] {
        membership.logs.compactMap { log in
            guard let member = membership.member(log: log) else { return nil }
            let slot = writers.slot(of: log)
            let end = membership.end(of: log)
            let isOwn = slot == ownSlot
            var report = ShareStatus.Member(
                device: deviceName(log: log), key: member.device.hex, log: log.hex,
                role: "\(member.role)", state: end.map { "\($0.kind)" } ?? "member", isOwn: isOwn)
            report.lastBlock = slot.flatMap { codecs[$0]?.time.milliseconds } ?? 0
            if isOwn {
                report.uncounted = ownUncounted
            } else if let slot, let length = logs[slot]?.length {
                let counted = max(bound(of: slot), starts[slot]?.number ?? 0)
                report.uncounted = length > counted ? length - counted : 0
            }
            return report
        }
    }

    /// What is wrong because a log ended, and what to do about it.
    var endingProblems: [String] {
        var problems: [String] = []
        if let end = ownEnd {
            let what =
                switch end.kind {
                case .revoked: "this device was revoked by an owner of the share"
                case .retired: "this device was retired by an owner of the share"
                case .left: "this device has left the share"
                }
            let lost = ownUncounted
            problems.append(
                what + ": the other devices take nothing more from it"
                    + (lost > 0
                        ? "; the last \(lost) blocks that it wrote are on this device only" : "")
                    + ". Everything can still be read and written here. To join again: copy what only"
                    + " this device has, remove the share's folder from the state, and use a new link"
            )
        } else if hasEnded, let toldEnd {
            problems.append(
                toldEnd
                    + ". Everything can still be read and written here. To join again: copy what"
                    + " only this device has, remove the share's folder from the state, and use a new"
                    + " link")
        } else if hasLostAdmission {
            problems.append(
                "the member who let this device in was revoked, and its admission with it: ask an owner"
                    + " for a new link, or to connect")
        }
        if let log = cutBase {
            problems.append(
                "this device began from a checkpoint that holds blocks of \(deviceName(log: log)) which"
                    + " do not count any more: what it shows may differ from the others. Copy what only"
                    + " this device has, remove the share's folder from the state, and join again")
        }
        return problems
    }

    private var hasLostAdmission: Bool {
        membership.hasEndings && !isAdmitted && (ownLog?.length ?? 0) > 0 && succession == nil
    }

    /// Members that have been silent for so long that history is kept for them alone.
    var silentMembers: [String] {
        let now = environment.wallTime().milliseconds
        return activeSlots.filter { slot in
            guard slot != ownSlot, let time = codecs[slot]?.time.milliseconds else { return false }
            return now > time && now - time > Self.silence
        }.map { deviceName(of: $0) }
    }

    // MARK: What members tell

    /// For a device whose logs have ended: what says so may be in blocks that it cannot get any more.
    func endings(of device: Bytes32?) -> [ControlMessage] {
        guard membership.hasEndings, let device, let member = membership.member(device: device)
        else { return [] }
        return ([member.log] + membership.successors(of: member.log)).compactMap { log in
            membership.end(of: log).map { .ended(log: log, $0.kind) }
        }
    }

    /// Until the next start: whoever holds the share's key can say so.
    mutating func noteToldEnd(_ kind: LogEnd.Kind, of log: Bytes32, by device: String) {
        guard log == ownLog?.key, isAdmitted, ownEnd == nil, toldEnd == nil else { return }
        let name = String(decoding: device.utf8.prefix(64), as: UTF8.self)
        toldEnd = "\(name) says that this device has been \(kind) and is no member any more"
        if hasEnded { notices += endingProblems }
    }

    /// Told once, when it is learned.
    mutating func noteOwnEnd() {
        guard !hasToldOwnEnd, ownEnd != nil else { return }
        hasToldOwnEnd = true
        notices += endingProblems
    }
}
