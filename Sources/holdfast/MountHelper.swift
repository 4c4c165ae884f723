import Glibc
import Host
import Share

/// One run as the helper that mount(8) calls for `-t fuse.holdfast`, and so for lines of fstab(5).
struct MountHelper {
    let application: Application
    /// Goes on as another user; returns only by throwing.
    var becomeUser: (_ name: String, _ words: [String]) throws(CommandFailure) -> Never =
        UserSwitch.run

    /// - Parameter words: without the helper's name.
    /// - Returns: an exit code of mount(8).
    func run(_ words: [String]) -> Int32 {
        do throws(CommandFailure) {
            let call = try MountHelperCall(words)
            let options = try MountHelperOptions(call.options, isSloppy: call.isSloppy)
            if options.isRemount {
                try remount(call, options)
            } else {
                try mount(call, options, words)
            }
            return 0
        } catch {
            application.console.writeError("mount.fuse.holdfast: \(error.message)\n")
            return Self.exitCode(error.code)
        }
    }

    /// As mount(8) has them: 1 is a wrong call or a missing right, 32 a mount that failed.
    static func exitCode(_ code: ExitCode) -> Int32 {
        switch code {
        case .success: 0
        case .usage, .denied, .wrongLink: 1
        case .general, .notFound, .noPeer, .temporary, .conflicts, .integrity, .notRunning, .inUse:
            32
        }
    }

    private func mount(_ call: MountHelperCall, _ options: MountHelperOptions, _ all: [String])
        throws(CommandFailure)
    {
        if let user = options.user, geteuid() == 0 { try becomeUser(user, all) }
        let service = application.makeService(options.home ?? application.environment[homeVariable])
        let source = try MountSource(
            call.source, shares: service.shares(), in: application.console.currentDirectory)
        var words = options.words + ["--source=\(source.shown)"]
        if let home = options.home { words.append("--home=\(home)") }
        // A link is a secret: it is passed on in this process, and shown to nobody.
        switch source.meaning {
        case .share(let share):
            if try showAgain(share, call, options) { return }
            words = ["mount", "--share=\(share.id)"] + words + ["--", call.directory]
        case .link(let link): words = ["join"] + words + ["--", link, call.directory]
        }
        let parser = CommandParser(environment: application.environment)
        guard case .run(let parsed) = try parser.parse(words), !call.isFake else { return }
        try application.run(parsed)
    }

    /// What is mounted already is shown a second time, as Linux does with a disk.
    ///
    /// - Returns: whether it was mounted elsewhere, and root asks.
    private func showAgain(
        _ share: KnownShare, _ call: MountHelperCall, _ options: MountHelperOptions
    ) throws(CommandFailure) -> Bool {
        let path = PathText.resolved(call.directory, in: application.console.currentDirectory)
        guard geteuid() == 0, path != share.mountPoint else { return false }
        let state = try hosted { () throws(HostError) in
            try KernelMount.state(of: share.mountPoint)
        }
        guard state == .mounted(type: KernelMount.ownType) else { return false }
        try MountPointCheck.prepare(
            path, mayHide: options.words.contains("--\(MountFlag.nonempty.rawValue)"))
        guard !call.isFake else { return true }
        try hosted { () throws(HostError) in
            try KernelMount.show(share.mountPoint, at: path, options: options.kernelWords)
        }
        return true
    }

    private var homeVariable: String { CommandTable.home.environmentName }

    /// The kernel changes a mount as a whole; what the daemon was told stays as it is.
    private func remount(_ call: MountHelperCall, _ options: MountHelperOptions)
        throws(CommandFailure)
    {
        let path = PathText.resolved(call.directory, in: application.console.currentDirectory)
        guard !call.isFake else { return }
        try hosted { () throws(HostError) in
            try KernelMount.change(path, options: options.kernelWords)
        }
    }
}
