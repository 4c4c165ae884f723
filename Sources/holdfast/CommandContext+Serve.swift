import Base
import Host

// The commands that start a daemon, or are one.
extension CommandContext {
    func create() throws(CommandFailure) {
        let mountPoint = try newMountPoint(0)
        let name = parsed.value("name") ?? PathText.lastName(of: mountPoint)
        let options = try ServeOptions(parsed)
        let share = try service.create(name: name, mountPoint: mountPoint, options: options)
        try serve(share, options, isNew: true, printsLink: true)
    }

    func join() throws(CommandFailure) {
        let mountPoint = try newMountPoint(1)
        let link = try linkArgument()
        let options = try ServeOptions(parsed)
        let share = try service.join(link: link, mountPoint: mountPoint, options: options)
        try serve(share, options, isNew: true, printsLink: false)
    }

    func mount() throws(CommandFailure) {
        let options = try ServeOptions(parsed)
        let share = try shareToMount()
        try serve(share, options, isNew: false, printsLink: false)
    }

    /// The share that belongs at the path that was given, or the one that is to from now on.
    private func shareToMount() throws(CommandFailure) -> KnownShare {
        guard let word = parsed.value("share") else {
            let share = try share()
            try endDeadMount(of: share)
            try check(share.mountPoint)
            return share
        }
        let share = try KnownShare.named(word, among: service.shares())
        try endDeadMount(of: share)
        let path = path(0)
        try check(path)
        guard share.mountPoint != path else { return share }
        try refuseIfTaken(path)
        return try service.move(share, to: path)
    }

    /// A look at a mount whose daemon was killed may never end.
    private func endDeadMount(of share: KnownShare) throws(CommandFailure) {
        guard ControlClient(folder: share.folder).isAnsweredByNobody else { return }
        try hosted { () throws(HostError) in try KernelMount.abort(share.mountPoint) }
    }

    private func check(_ mountPoint: String) throws(CommandFailure) {
        try MountPointCheck.prepare(
            mountPoint, mayHide: parsed.isSet(MountFlag.nonempty.rawValue))
    }

    func check() throws(CommandFailure) {
        let path = path(0)
        let shares = try service.shares()
        let known = shares.first { $0.mountPoint == path || $0.folder == path }
        // A folder that is no state, or another device's, is the service's to refuse.
        let lines: [String]
        do throws(CommandFailure) {
            lines = try service.check(
                folder: known?.folder ?? path, rebuilds: parsed.isSet("rebuild"))
        } catch {
            // A running share checks itself; only its view cannot be made again under it.
            guard error.code == .inUse, let known else { throw error }
            guard !parsed.isSet("rebuild") else {
                throw CommandFailure(
                    .inUse, "the share is mounted: holdfast unmount it, then rebuild its view")
            }
            lines =
                try ask(known, ControlRequest(.check), timeout: Self.checkTimeout).response.lines
                ?? []
        }
        for line in lines { console.writeLine(EscapedText.escaped(line)) }
    }

    /// - Returns: a resolved path at which no share of this device belongs yet.
    private func newMountPoint(_ index: Int) throws(CommandFailure) -> String {
        let path = path(index)
        try check(path)
        try refuseIfTaken(path)
        return path
    }

    private func refuseIfTaken(_ path: String) throws(CommandFailure) {
        if let taken = try service.shares().first(where: { $0.mountPoint == path }) {
            throw CommandFailure(
                .inUse,
                "the share \(EscapedText.quoted(taken.name)) belongs at "
                    + "\(EscapedText.quoted(path)): holdfast mount brings it back, "
                    + "or choose another folder")
        }
    }

    /// The first argument, or the first line of standard input if that is a dash.
    func linkArgument() throws(CommandFailure) -> String {
        guard parsed.argument(0) == "-" else { return parsed.argument(0) ?? "" }
        guard let line = console.readLine(limitBytes: Self.linkBytesMax) else {
            throw CommandFailure(
                .wrongLink, "no link on standard input: give it on one line, as invite printed it")
        }
        return line
    }

    private static let linkBytesMax = 16 << 10

    private func serve(
        _ share: KnownShare, _ options: ServeOptions, isNew: Bool, printsLink: Bool
    ) throws(CommandFailure) {
        do throws(CommandFailure) {
            if parsed.isSet("foreground") {
                try serveHere(share, options, printsLink: printsLink)
            } else {
                try serveInBackground(share, options)
                if printsLink {
                    let link = try ask(share, ControlRequest(.invite)).response.link
                    console.writeLine(link ?? "")
                }
            }
        } catch {
            // A share that never came up leaves nothing behind; one that is up, or may yet come
            // up, keeps its state.
            if isNew, error.code != .temporary { service.discard(share) }
            throw error
        }
    }

    private func serveInBackground(
        _ share: KnownShare, _ options: ServeOptions
    ) throws(CommandFailure) {
        var words = ["mount", "--foreground"]
        if let home = parsed.value("home") {
            words.append("--home=\(PathText.absolute(home, in: console.currentDirectory))")
        }
        words += options.words + ["--", share.mountPoint]
        let report = try hosted { () throws(HostError) in try startDaemon(words, share.logFile) }
        if let error = report.error { throw CommandFailure(error) }
        for line in report.lines { console.writeLine(line) }
    }

    /// Serves until told to stop by a signal, by `unmount`, or by the kernel's side ending.
    private func serveHere(
        _ share: KnownShare, _ options: ServeOptions, printsLink: Bool
    ) throws(CommandFailure) {
        let reporter = StartReporter(variable: environment[Daemon.readinessVariable])
        SignalSource.prepare(isDaemon: reporter.isAwaited)
        ProcessSafety.protectMemory()
        ProcessSafety.raiseFileLimit()
        let log = Log(path: reporter.isAwaited ? share.logFile : nil)
        do throws(CommandFailure) {
            let server = try ShareServer(share, options, service: service, log: log)
            reporter.report(StartReport())
            ServiceNotice(path: environment["NOTIFY_SOCKET"])
                .ready("mounted at \(share.mountPoint)")
            if printsLink {
                let link = try ask(share, ControlRequest(.invite)).response.link
                console.writeLine(link ?? "")
            }
            try server.wait()
        } catch {
            log.write(error.message)
            reporter.report(StartReport(error: error.asControlFailure))
            throw error
        }
    }
}
