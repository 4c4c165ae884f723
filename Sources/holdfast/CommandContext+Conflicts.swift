import Host

// The commands about conflicts: all ask a running daemon.
extension CommandContext {
    func conflicts() throws(CommandFailure) {
        let (share, path) = try shareAndPath()
        let request = ControlRequest(.conflicts, path: path.isEmpty ? nil : path)
        let found = try ask(share, request, timeout: Self.checkTimeout).response.conflicts ?? []
        if parsed.isSet("json") {
            console.writeLine(try jsonArray(found))
        } else if found.isEmpty {
            console.writeLine("there are no conflicts")
        } else {
            console.write(ConflictText.list(found))
        }
        guard found.isEmpty else {
            let count = found.count == 1 ? "1 conflict" : "\(found.count) conflicts"
            throw CommandFailure(.conflicts, "\(count): holdfast resolve settles them")
        }
    }

    func resolve() throws(CommandFailure) {
        let (share, path) = try shareAndPath()
        let request: ControlRequest
        switch (parsed.value("keep"), parsed.value("tool")) {
        case (let keep?, _): request = ControlRequest(.resolve, path: path, keep: keep)
        case (nil, let tool?):
            let conflict = try conflict(in: share, at: path)
            let merging = try Merging(conflict, share: share, tool: tool, environment)
            defer { merging.removeFiles() }
            let result = try merging.run()
            try settle(
                share,
                ControlRequest(
                    .resolve, path: conflict.path, file: result,
                    seen: conflict.versions.map(\.id)))
            return
        case (nil, nil):
            throw CommandFailure(
                .usage, "say which version to keep (--keep), or how to merge them (--tool)")
        }
        try settle(share, request)
    }

    private func settle(_ share: KnownShare, _ request: ControlRequest) throws(CommandFailure) {
        let answer = try ask(share, request, timeout: Self.checkTimeout)
        let left = answer.response.conflicts ?? []
        guard left.isEmpty else {
            console.write(ConflictText.list(left))
            throw CommandFailure(
                .conflicts, "versions have arrived meanwhile: what was settled is, these are left")
        }
        console.writeLine("\(EscapedText.quoted(request.path ?? "")): settled")
    }

    /// The one conflict that a path is part of.
    private func conflict(in share: KnownShare, at path: String) throws(CommandFailure)
        -> ConflictReport
    {
        let found = try ask(share, ControlRequest(.conflicts, path: path)).response.conflicts ?? []
        let own = found.first { conflict in
            conflict.path == path || conflict.versions.contains { $0.path == path }
        }
        guard let own else {
            throw CommandFailure(
                .notFound, "there is no conflict at this path: holdfast conflicts lists them")
        }
        return own
    }

    func explain() throws(CommandFailure) {
        let (share, path) = try shareAndPath()
        let answer = try ask(share, ControlRequest(.explain, path: path))
        guard let report = answer.response.explanation else {
            throw CommandFailure(.general, "the daemon gave no explanation: see \(share.logFile)")
        }
        guard !parsed.isSet("json") else { return console.writeLine(try json(report)) }
        console.write(ExplanationText.text(report))
    }
}
