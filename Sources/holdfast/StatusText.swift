import Base
import Host
import Share

/// What `status`, `peers` and `log` print for people. Names come from other devices: all are
/// escaped.
enum StatusText {
    static func summary(of report: StatusReport) -> String {
        let status = report.status
        var rows = [("mounted at", EscapedText.escaped(status.mountpoint))]
        guard report.isRunning else {
            rows = [("belongs at", EscapedText.escaped(status.mountpoint))]
            rows.append(("state", "not mounted: holdfast mount brings it back"))
            rows.append(("share", status.share))
            return text(status.name, rows)
        }
        rows.append(("device", EscapedText.escaped(status.device)))
        rows.append(("share", status.share))
        rows.append(
            ("syncing", status.paused ? "paused" : "by \(EscapedText.escaped(status.transport))"))
        for problem in status.problems {
            rows.append(("problem", EscapedText.escaped(problem)))
        }
        let connected = status.peers.filter { $0.state == "connected" }
        let names = connected.prefix(8).map { EscapedText.quoted($0.device) }
        let more = connected.count > names.count ? " and more" : ""
        rows.append(
            (
                "peers",
                "\(connected.count)" + (names.isEmpty ? "" : ": ")
                    + names.joined(separator: ", ") + more
            ))
        rows.append(("files", "\(status.files) (\(size(status.bytes)))"))
        rows.append(("pending", pending(status.pending)))
        if status.conflicts > 0 { rows.append(("conflicts", "\(status.conflicts)")) }
        if status.refused > 0 {
            rows.append(("refused", "\(status.refused) operations that break a rule"))
        }
        for fork in status.forks {
            rows.append(("log fork", text(of: fork)))
        }
        for member in status.members where member.state != "member" && !member.isOwn {
            rows.append(("ended", text(of: member)))
        }
        for device in status.silent {
            rows.append(
                (
                    "silent",
                    "\(EscapedText.quoted(device)) has written nothing for 90 days, and old history is"
                        + " kept for it: if it is gone for good, holdfast retire ends that"
                ))
        }
        for device in status.disagreeing {
            rows.append(
                (
                    "disagrees",
                    "\(EscapedText.quoted(device)) has the same blocks and sees other things:"
                        + " run `holdfast check`"
                ))
        }
        if status.isStarting { rows.append(("starting", "from a checkpoint, if a peer has one")) }
        if let checkpoint = status.checkpoint {
            rows.append(("checkpoint", text(of: checkpoint)))
        }
        if let start = status.start {
            rows.append(("history", "begins at a checkpoint: \(text(of: start))"))
        }
        rows.append(("digest", status.digest))
        return text(status.name, rows)
    }

    private static func text(of checkpoint: ShareStatus.Checkpoint) -> String {
        let time = Log.text(
            of: Timestamp(
                seconds: Int64(clamping: checkpoint.time / 1000),
                nanoseconds: UInt32(checkpoint.time % 1000) * 1_000_000))
        return "\(time), \(size(checkpoint.bytes)), by \(EscapedText.quoted(checkpoint.device))"
    }

    private static func text(of member: ShareStatus.Member) -> String {
        let rest =
            member.uncounted > 0
            ? "; \(member.uncounted) blocks of it are here and do not count: holdfast export shows what"
                + " they hold" : ""
        return "\(EscapedText.quoted(member.device)) \(state(of: member))\(rest)"
    }

    private static func state(of member: ShareStatus.Member) -> String {
        member.state == "left" ? "has left" : "is \(member.state)"
    }

    private static func text(of fork: ShareStatus.Fork) -> String {
        let what =
            "\(EscapedText.quoted(fork.device)) wrote two histories after block \(fork.common)"
            + (fork.isOwn ? " (this device: restored or cloned)" : " (restored or cloned)")
        if fork.isSettled { return "\(what); a new log has what the other one lacked" }
        if fork.isEnded {
            return "\(what); it is no member any more, and what one of them has is on it alone"
        }
        return "\(what); what one of them has is not here yet"
            + (fork.hindrance.map { ": \($0)" } ?? "")
    }

    /// - Parameter members: of the share; what became of a peer's membership stands beside its state.
    static func table(of peers: [ShareStatus.Peer], members: [ShareStatus.Member] = []) -> String {
        let ended = Dictionary(
            members.filter { $0.state != "member" }.map { ($0.key, $0.state) }
        ) { first, _ in first }
        guard !peers.isEmpty else { return "no peer is connected\n" }
        let rows = peers.map { peer in
            [
                EscapedText.escaped(peer.device),
                EscapedText.escaped(peer.state + (ended[peer.key].map { ", \($0)" } ?? "")),
                EscapedText.escaped(peer.address), EscapedText.escaped(peer.path),
                roundTrip(peer.roundTripMilliseconds), size(peer.bytesSent),
                size(peer.bytesReceived), EscapedText.escaped(String(peer.key.prefix(16))),
            ]
        }
        return table(
            ["DEVICE", "STATE", "ADDRESS", "PATH", "RTT", "SENT", "RECEIVED", "KEY"], rows)
    }

    static func table(of entries: [LogEntry]) -> String {
        guard !entries.isEmpty else { return "nothing has changed here yet\n" }
        let hasVersions = entries.contains { $0.version != nil }
        let rows = entries.map { entry in
            let state = entry.state.flatMap { $0.isEmpty ? nil : ", \($0)" } ?? ""
            var cells = [entry.time, entry.device, entry.operation]
            if hasVersions { cells.append(entry.version ?? "") }
            return (cells + [entry.path, entry.detail + state]).map { EscapedText.escaped($0) }
        }
        let versions = hasVersions ? ["VERSION"] : []
        return table(["TIME", "DEVICE", "OPERATION"] + versions + ["PATH", "DETAIL"], rows)
    }

    /// Columns as wide as their widest cell; the last one ends with its text.
    static func table(_ head: [String], _ rows: [[String]]) -> String {
        let all = [head] + rows
        let widths = head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// With a unit, three digits at least: `999 bytes`, `1.50 MB`, `12.3 GB`.
    static func size(_ bytes: UInt64) -> String {
        guard bytes >= 1000 else { return "\(bytes) bytes" }
        var value = bytes
        var hundredths: UInt64 = 0
        var unit = -1
        let units = ["kB", "MB", "GB", "TB", "PB", "EB"]
        while value >= 1000, unit + 1 < units.count {
            hundredths = value % 1000 / 10
            value /= 1000
            unit += 1
        }
        let digits =
            switch value {
            case ..<10: ".\(hundredths < 10 ? "0" : "")\(hundredths)"
            case ..<100: ".\(hundredths / 10)"
            default: ""
            }
        return "\(value)\(digits) \(units[unit])"
    }

    /// With two digits at least: `0.34 ms`, `12 ms`.
    private static func roundTrip(_ milliseconds: Double?) -> String {
        guard let milliseconds else { return "-" }
        guard milliseconds < 10 else { return "\(Int(min(milliseconds.rounded(), 1e9))) ms" }
        let hundredths = Int((milliseconds * 100).rounded())
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest) ms"
    }

    private static func pending(_ pending: ShareStatus.Pending) -> String {
        var parts: [String] = []
        if pending.blocks > 0 { parts.append("\(pending.blocks) blocks") }
        if pending.chunks > 0 { parts.append("\(pending.chunks) chunks (\(size(pending.bytes)))") }
        return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
    }

    private static func text(_ name: String, _ rows: [(String, String)]) -> String {
        var lines = EscapedText.escaped(name) + "\n"
        for (term, value) in rows {
            lines += "  " + term + String(repeating: " ", count: 12 - term.count) + value + "\n"
        }
        return lines
    }
}
