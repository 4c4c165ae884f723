import Base
import Glibc
import Host

/// One run as the helper that umount(8) calls for a mount of type `fuse.holdfast`: `umount.fuse.holdfast
/// DIR [-flnrv] [-N NAMESPACE] [-t TYPE]`.
///
/// The kernel lets go of a mount when it has handed over what programs wrote; here it is taken away
/// when that is saved too, as with a disk.
struct UnmountHelper {
    /// How umount(8) would have it begin; the name that the program is called by, or its first word.
    static let prefix = "umount."

    let application: Application

    /// - Parameter words: without the helper's name.
    /// - Returns: an exit code of umount(8), which are those of mount(8).
    func run(_ words: [String]) -> Int32 {
        do throws(CommandFailure) {
            try unmount(words)
            return 0
        } catch {
            application.console.writeError("umount.fuse.holdfast: \(error.message)\n")
            return MountHelper.exitCode(error.code)
        }
    }

    private func unmount(_ words: [String]) throws(CommandFailure) {
        let call = try Call(words)
        let path = PathText.resolved(call.directory, in: application.console.currentDirectory)
        if call.isForced {
            return try hosted { () throws(HostError) in try KernelMount.detach(path) }
        }
        let daemon = call.isLazy ? nil : try daemon(of: path)
        try takeAway(path, isLazy: call.isLazy)
        guard let daemon else { return }
        guard waitForEnd(of: daemon, deadline: monotonicNow() + CommandContext.stopTimeout) else {
            throw CommandFailure(
                .temporary,
                "\(EscapedText.quoted(path)) is unmounted, but its daemon (process \(daemon)) is still"
                    + " writing")
        }
    }

    /// Who is inside keeps the mount: for a moment that may be the daemon itself, which shows what other devices
    /// changed and calls in what programs wrote, or a program that is just ending.
    private func takeAway(_ path: String, isLazy: Bool) throws(CommandFailure) {
        let deadline = monotonicNow() + Self.busyTime
        while true {
            do throws(HostError) {
                return try KernelMount.unmount(path, isLazy: isLazy)
            } catch .system {
                guard !isLazy, monotonicNow() < deadline else {
                    throw CommandFailure(
                        .inUse,
                        "\(EscapedText.quoted(path)) is busy: end the programs that use it (fuser -vm"
                            + " shows them)")
                }
                usleep(Self.busyTick)
            } catch {
                throw CommandFailure(error)
            }
        }
    }

    private static let busyTime = Duration.seconds(2)
    /// In microseconds.
    private static let busyTick: UInt32 = 20_000

    /// The process that serves what is mounted at a path; nil if that is another user's, or shown
    /// there a second time.
    private func daemon(of path: String) throws(CommandFailure) -> Int32? {
        let home = application.environment[CommandTable.home.environmentName]
        let shares = try application.makeService(home).shares()
        guard let share = shares.first(where: { $0.mountPoint == path }) else { return nil }
        return ControlClient(folder: share.folder).process
    }

    private struct Call {
        var directory = ""
        var isLazy = false
        var isForced = false

        init(_ words: [String]) throws(CommandFailure) {
            var places: [String] = []
            var rest = words[...]
            while let word = rest.popFirst() {
                guard word.hasPrefix("-"), word != "-" else {
                    places.append(word)
                    continue
                }
                for letter in word.dropFirst() {
                    switch letter {
                    case "f": isForced = true
                    case "l": isLazy = true
                    case "n", "r", "v": break
                    case "N", "t": if word.last == letter { _ = rest.popFirst() }
                    default:
                        throw CommandFailure(
                            .usage,
                            "unknown option \(EscapedText.quoted("-\(letter)")): \(Self.usage)")
                    }
                }
            }
            guard places.count == 1, !places.contains("") else {
                throw CommandFailure(.usage, Self.usage)
            }
            directory = places[0]
        }

        private static let usage = "usage: umount.fuse.holdfast FOLDER [-fl]"
    }
}
