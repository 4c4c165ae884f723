import Host
import Share

// The commands that ask a running daemon.
extension CommandContext {
    func invite() throws(CommandFailure) {
        let share = try share()
        var request = ControlRequest(.invite)
        request.isForOwner = parsed.isSet("owner")
        guard let link = try ask(share, request).response.link else {
            throw CommandFailure(.general, "the daemon gave no link: see \(share.logFile)")
        }
        console.writeLine(link)
    }

    func setPaused(_ isPaused: Bool) throws(CommandFailure) {
        let share = try share()
        _ = try ask(share, ControlRequest(isPaused ? .pause : .resume))
        let state = isPaused ? "syncing is paused" : "syncing goes on"
        console.writeLine("\(EscapedText.escaped(share.name)): \(state)")
    }

    func peers() throws(CommandFailure) {
        let share = try share()
        let status = try ask(share, ControlRequest(.status)).response.status
        let peers = status?.peers ?? []
        guard !parsed.isSet("json") else { return console.writeLine(try jsonArray(peers)) }
        console.write(StatusText.table(of: peers, members: status?.members ?? []))
    }

    func status() throws(CommandFailure) {
        let shares = parsed.argument(0) == nil ? try service.shares() : [try share()]
        var texts: [String] = []
        for share in shares {
            let report: StatusReport
            do throws(CommandFailure) {
                report = StatusReport(try ask(share, ControlRequest(.status)).response, of: share)
            } catch {
                // Asked for one: its failure is the answer. Asked for all: it is part of it.
                guard error.code == .notRunning, parsed.argument(0) == nil else { throw error }
                report = StatusReport(stopped: share)
            }
            texts.append(
                parsed.isSet("json")
                    ? try json(report) + "\n" : StatusText.summary(of: report))
        }
        if texts.isEmpty, !parsed.isSet("json") {
            console.writeLine("this device has no shares: holdfast create or join makes one")
        }
        console.write(texts.joined(separator: parsed.isSet("json") ? "" : "\n"))
    }

    func log() throws(CommandFailure) {
        let (share, path) = try shareAndPath()
        let limit = parsed.value("limit").flatMap { Int($0) } ?? 100
        let request = ControlRequest(.log, path: path.isEmpty ? nil : path, limit: limit)
        let entries = try ask(share, request).response.log ?? []
        guard !parsed.isSet("json") else { return console.writeLine(try jsonArray(entries)) }
        console.write(StatusText.table(of: entries))
    }

    /// The share that a path is in, and the rest of the path. The path itself need not be there
    /// any more: what was removed has a history too.
    func shareAndPath() throws(CommandFailure) -> (KnownShare, String) {
        let text = parsed.argument(0) ?? "."
        let directory = console.currentDirectory
        let shares = try service.shares()
        // As it is written first: a link in a share is asked about itself, not its target.
        let written = PathText.absolute(text, in: directory)
        let resolved = PathText.resolved(text, in: directory)
        for path in [written, resolved] {
            for share in shares {
                if let rest = PathText.part(of: path, below: share.mountPoint) {
                    return (share, rest)
                }
            }
        }
        throw CommandFailure(
            .notFound,
            "\(EscapedText.quoted(written)) is in no share of this device: "
                + "holdfast status lists those it has")
    }
}
