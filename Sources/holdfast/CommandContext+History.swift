import Glibc
import Host
import Share

// The commands about what was.
extension CommandContext {
    func restore() throws(CommandFailure) {
        let (share, path) = try shareAndPath()
        var request = ControlRequest(.restore, path: path)
        request.version = parsed.value("version")
        if let text = parsed.value("at") {
            let now = UInt64(max(time(nil), 0)) * 1000
            guard let time = TimeArgument.milliseconds(text, now: now) else {
                throw CommandFailure(
                    .usage,
                    "\(EscapedText.quoted(text)) is no time: write 2026-11-21T14:00 (UTC), "
                        + "@SECONDS since 1970, or 90m, 2h or 3d for so long ago")
            }
            request.at = time
        }
        guard (request.version == nil) != (request.at == nil) else {
            throw CommandFailure(
                .usage, "say what to restore: --version as holdfast log shows it, or --at a time")
        }
        if let target = parsed.value("to") {
            let written = PathText.absolute(target, in: console.currentDirectory)
            let resolved = PathText.resolved(target, in: console.currentDirectory)
            let parts = [written, resolved].compactMap {
                PathText.part(of: $0, below: share.mountPoint)
            }
            guard let part = parts.first, !part.isEmpty else {
                throw CommandFailure(
                    .usage, "\(EscapedText.quoted(target)) is no place in the same share")
            }
            request.target = part
        }
        let answer = try ask(share, request, timeout: Self.checkTimeout)
        guard let report = answer.response.restored else {
            throw CommandFailure(.general, "the daemon gave no answer: see \(share.logFile)")
        }
        if parsed.isSet("json") {
            console.writeLine(try json(report))
        } else {
            console.write(text(of: report))
        }
        guard report.missing.isEmpty else {
            throw CommandFailure(
                .noPeer,
                "\(report.missing.count) files could not be restored: their bytes are not kept any "
                    + "more, or only on devices that are not connected")
        }
    }

    private func text(of report: RestoreReport) -> String {
        var lines = ["restored: \(report.files) files, \(report.directories) folders"]
        if report.unchanged > 0 { lines.append("as they were already: \(report.unchanged)") }
        for path in report.renamed {
            lines.append("its name was taken: \(EscapedText.escaped(path))")
        }
        for path in report.missing {
            lines.append("bytes not here: \(EscapedText.escaped(path))")
        }
        return lines.map { $0 + "\n" }.joined()
    }

    func retention() throws(CommandFailure) {
        let share = try share()
        var request = ControlRequest(.retain)
        func count(_ name: String) -> UInt64? { parsed.value(name).flatMap { UInt64($0) } }
        let (all, daily, space) = (count("all"), count("daily"), count("space"))
        if all != nil || daily != nil || space != nil {
            guard var policy = try ask(share, request).response.retention else { return }
            let day = RetentionPolicy.standard.everything / 30
            if let all { policy.everything = all * day }
            if let daily { policy.daily = daily * day }
            if let space { policy.space = space * 1_000_000 }
            request.retention = policy
        }
        guard let policy = try ask(share, request).response.retention else { return }
        let day = RetentionPolicy.standard.everything / 30
        console.writeLine("every version for \(policy.everything / day) days")
        console.writeLine("the last of each day for \(policy.daily / day) days")
        console.writeLine(
            policy.space == 0
                ? "in a tenth of each device's disk"
                : "in \(StatusText.size(policy.space)) on each device")
    }
}
