import Host

/// What every command works with.
struct CommandContext {
    let parsed: ParsedCommand
    let environment: [String: String]
    let console: any Console
    let service: any ShareService
    let startDaemon: (_ words: [String], _ logFile: String) throws(HostError) -> StartReport
    let surroundings: Surroundings

    /// How long a daemon may take for what is done at once.
    static let answerTimeout: Duration = .seconds(30)
    /// How long checking a running share may take: everything is read.
    static let checkTimeout: Duration = .seconds(3600)
    /// How long a clean stop may take: everything must reach the disk.
    static let stopTimeout: Duration = .seconds(120)

    /// The argument at `index` as a resolved path.
    func path(_ index: Int) -> String {
        PathText.resolved(parsed.argument(index) ?? "", in: console.currentDirectory)
    }

    /// The share of this device whose mount point the argument names.
    func share(at index: Int = 0) throws(CommandFailure) -> KnownShare {
        let path = path(index)
        guard let found = try service.shares().first(where: { $0.mountPoint == path }) else {
            throw CommandFailure(
                .notFound,
                "this device has no share at \(EscapedText.quoted(path)): "
                    + "holdfast status lists those it has")
        }
        return found
    }

    func ask(
        _ share: KnownShare, _ request: ControlRequest, timeout: Duration = answerTimeout
    ) throws(CommandFailure) -> (response: ControlResponse, process: Int32) {
        let client = ControlClient(folder: share.folder)
        let answer = try hosted { () throws(HostError) in
            try client.ask(request, timeout: timeout)
        }
        if let error = answer.response.error { throw CommandFailure(error) }
        return answer
    }

    func json(_ value: some Encodable) throws(CommandFailure) -> String {
        let bytes = try hosted { () throws(HostError) in try JSONText.encode(value) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// An array, an element a line.
    func jsonArray(_ values: [some Encodable]) throws(CommandFailure) -> String {
        var lines: [String] = []
        for value in values { lines.append(try json(value)) }
        return lines.isEmpty ? "[]" : "[\n" + lines.joined(separator: ",\n") + "\n]"
    }
}
