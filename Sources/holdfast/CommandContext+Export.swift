import Base
import Host
import Share

// The command that gets out what does not count.
extension CommandContext {
    func export() throws(CommandFailure) {
        let path = path(0)
        let known = try service.shares().first { $0.mountPoint == path || $0.folder == path }
        let target = try exportTarget(known)
        let device = parsed.value("device")
        let report: ExportReport
        do throws(CommandFailure) {
            report = try service.export(folder: known?.folder ?? path, to: target, of: device)
        } catch {
            guard error.code == .inUse, let known else { throw error }
            var request = ControlRequest(.export)
            (request.target, request.device) = (target, device)
            let response = try ask(known, request, timeout: Self.checkTimeout).response
            guard let exported = response.exported else {
                throw CommandFailure(.general, "the daemon gave no answer: see \(known.logFile)")
            }
            report = exported
        }
        if parsed.isSet("json") {
            console.writeLine(try json(report))
        } else {
            console.write(text(of: report, target))
        }
        guard target != nil else { return }
        guard report.failed == 0 else {
            throw CommandFailure(.general, "\(report.failed) things could not be written")
        }
        guard report.missing == 0 else {
            throw CommandFailure(
                .noPeer,
                "\(report.missing) files could not be written: their bytes are not here, or not kept any"
                    + " more")
        }
    }

    /// - Returns: an absolute path; nil to list only.
    private func exportTarget(_ share: KnownShare?) throws(CommandFailure) -> String? {
        guard let text = parsed.value("to") else {
            guard parsed.isSet("dry-run") else {
                throw CommandFailure(
                    .usage, "say where to: --to FOLDER; or --dry-run to see what there is")
            }
            return nil
        }
        guard !parsed.isSet("dry-run") else {
            throw CommandFailure(.usage, "--dry-run writes nothing: leave --to out")
        }
        let resolved = PathText.resolved(text, in: console.currentDirectory)
        if let share {
            for inside in [share.mountPoint, share.folder]
            where PathText.part(of: resolved, below: inside) != nil {
                throw CommandFailure(
                    .usage,
                    "\(EscapedText.quoted(text)) is in the share itself: name a folder outside")
            }
        }
        return resolved
    }

    private func text(of report: ExportReport, _ target: String?) -> String {
        guard !report.logs.isEmpty else { return "nothing to export: all that is here counts\n" }
        var lines: [String] = []
        for log in report.logs {
            lines.append(
                "\(log.blocks) blocks of \(EscapedText.quoted(log.device)) do not count")
        }
        let rows = report.items.map { item in
            var detail = item.writtenAs.map { "as \($0)" } ?? ""
            switch item.outcome {
            case .present: detail = "there already"
            case .missing, .failed: detail = "not written: \(item.problem ?? "")"
            case .written, .listed: break
            }
            let size = item.kind == "file" ? StatusText.size(item.size) : item.kind
            return [item.state, item.device, size, item.path, detail].map {
                EscapedText.escaped($0)
            }
        }
        var text = lines.map { $0 + "\n" }.joined()
        if !rows.isEmpty {
            text += StatusText.table(["STATE", "DEVICE", "SIZE", "PATH", "DETAIL"], rows)
        }
        if report.unlisted > 0 { text += "and \(report.unlisted) more\n" }
        let verb = target.map { "written to \(EscapedText.escaped($0))" } ?? "there is"
        text +=
            "\(verb): \(report.files) files (\(StatusText.size(report.bytes))), \(report.folders)"
            + " folders\n"
        if report.present > 0 { text += "there already: \(report.present)\n" }
        if report.missing > 0 { text += "bytes not here: \(report.missing)\n" }
        if report.failed > 0 { text += "could not be written: \(report.failed)\n" }
        if report.unreadBlocks > 0 {
            text +=
                "\(report.unreadBlocks) blocks could not be read: they build on others that are not"
                + " here\n"
        }
        return text
    }
}
