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
            } else if let slot, let log = logs[slot] {
                let counted = max(bound(of: slot), starts[slot]?.number ?? 0)
                let here = log.firstStored(from: counted, before: log.length, except: [])
                report.uncounted = here.map { $0.upperBound - $0.lowerBound } ?? 0
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
                    + Self.rejoining
            )
        } else if let unheardAdmitter {
            problems.append(
                "\(deviceName(log: unheardAdmitter)), by whom this device came to the share, was retired"
                    + " before others had heard of that: unless a member that is not in reach has, this device"
                    + " is no member, and what it writes does not reach the others"
                    + Self.rejoining)
        } else if hasEnded, let toldEnd {
            problems.append(toldEnd.text + Self.rejoining)
        } else if hasLostAdmission {
            problems.append(
                "the member who let this device in was revoked, and its admission with it"
                    + Self.rejoining)
        }
        if let log = cutBase {
            problems.append(
                "this device began from a checkpoint that holds blocks of \(deviceName(log: log)) which"
                    + " do not count any more: what it shows may differ from the others. What it writes"
                    + " reaches them. To see what they see: holdfast join --anew, with a new link and another"
                    + " mount point; then holdfast retire this one")
        }
        return problems
    }

    private static let rejoining =
        ". Everything can still be read and written here. To be a member again: holdfast export --to FOLDER"
        + " writes what only this device has; holdfast join --anew, with a new link and another mount point,"
        + " makes it a new device; copy into that what is missing there"

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

    /// Something that a member has said of a log's end.
    struct ToldEnd {
        /// Whose it was.
        var device: Bytes32
        var text: String
    }

    private static let toldEndings = 256

    /// For a device whose logs have ended, or that was let in, or given a start, by one whose have: what says so may be
    /// in blocks that it cannot get any more.
    ///
    /// - Parameter log: what it says it writes to.
    func endings(of device: Bytes32?, writing log: Bytes32?) -> [ControlMessage] {
        guard membership.hasEndings, isAdmitted, !hasEnded else { return [] }
        var logs: [Bytes32] = []
        if let device, let member = membership.member(device: device) {
            logs = [member.log] + membership.successors(of: member.log)
        } else if log != nil {
            logs = membership.ends.keys.sorted { end(before: $1, $0) }
        }
        return logs.prefix(Self.toldEndings).compactMap { ending(of: $0) }
    }

    /// What is said of a log that has ended.
    func ending(of log: Bytes32) -> ControlMessage? {
        guard isAdmitted, !hasEnded else { return nil }
        return membership.end(of: log).map { .ended(log: log, $0.kind) }
    }

    /// Whether the one was ended before the other.
    private func end(before log: Bytes32, _ other: Bytes32) -> Bool {
        let (first, second) = (
            membership.ends[log]?.operations.last, membership.ends[other]?.operations.last
        )
        guard let first, let second else { return log < other }
        return first < second
    }

    /// Until the next start: whoever holds the share's key can say so.
    mutating func noteToldEnd(_ kind: LogEnd.Kind, of log: Bytes32, by device: String) {
        let isFormer = succession?.succession.predecessor == log
        guard isAdmitted || isFormer, ownEnd == nil, toldEnd == nil || !hasEnded,
            let own = ownLog?.key, let member = membership.member(log: log),
            membership.end(of: log) == nil
        else { return }
        let name = String(decoding: device.utf8.prefix(64), as: UTF8.self)
        let former = String(decoding: member.name, as: UTF8.self)
        if log == own || isFormer && !isAdmitted {
            toldEnd = ToldEnd(
                device: member.device,
                text: "\(name) says that this device has been \(kind) and is no member any more")
            if hasEnded { notices += endingProblems }
        } else if vouches(log, for: own) {
            // Mostly the block that says it is on its way.
            toldEnd = ToldEnd(
                device: member.device,
                text:
                    "\(name) says that \(former), by whom this device came to the share, has been \(kind):"
                    + " it may be no member, and not get what it lacks")
        }
    }

    /// Whether a log's device let another one in, or one of those who did, or published what this one began from.
    private func vouches(_ log: Bytes32, for own: Bytes32) -> Bool {
        if base?.log == log { return true }
        var current = own
        for _ in 0..<StartingPoint.Limits.links {
            guard let admission = membership.admission(of: current), admission.log != current
            else { return false }
            if admission.log == log { return true }
            current = admission.log
        }
        return false
    }

    /// Told once, when it is learned.
    mutating func noteOwnEnd() {
        guard !hasToldOwnEnd, ownEnd != nil else { return }
        hasToldOwnEnd = true
        notices += endingProblems
    }
}
