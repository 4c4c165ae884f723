import CLinux
import Glibc

/// A small process that ends a mount when this process, which serves it, is killed: see
/// `FuseConnection`.
///
/// It reads from a pipe whose other end only one sleeping thread of this process has open, in a table
/// of descriptors of its own: a killed process closes that end at once, whatever its other threads wait
/// for. The guard is `/proc/self/exe` with `word`, in a session of its own.
package final class MountGuard: Sendable {
    /// The first of its words; a number as in `MountEntry.device` follows.
    package static let word = "guard-mount"

    private let process: pid_t
    private let phase = Gate(Phase.starting)

    private enum Phase { case starting, failed, guarding, ending, ended }

    /// Guards what is mounted at a path, from now until `end`.
    package init(of mountPoint: String, executable: String = "/proc/self/exe") throws(HostError) {
        guard let entry = try MountTable.current().entry(at: mountPoint) else {
            throw .system(code: ENOENT, action: "guarding the mount at \(mountPoint)")
        }
        let (readEnd, writeEnd) = try makePipe()
        // The thread and the guard have theirs by then.
        defer {
            close(readEnd)
            close(writeEnd)
        }
        var child = ChildProcess(
            executable: executable, arguments: ["holdfast", Self.word, entry.device],
            environment: [])
        child.input = .descriptor(readEnd)
        child.startsSession = true
        child.directory = "/"
        process = try child.start()
        let phase = phase
        do throws(HostError) {
            _ = try HostThread(name: "guarded") {
                let isAlone = holdfast_own_descriptor(writeEnd) == 0
                phase.update { $0 = isAlone ? .guarding : .failed }
                guard isAlone else { return }
                phase.wait { $0 == .ending ? true : nil }
                Self.dismiss(writeEnd)
                phase.update { $0 = .ended }
            }
        } catch {
            Self.dismiss(writeEnd)
            throw error
        }
        guard phase.wait({ $0 == .starting ? nil : $0 }) == .guarding else {
            Self.dismiss(writeEnd)
            throw .system(code: EPERM, action: "guarding the mount at \(mountPoint)")
        }
    }

    deinit { end() }

    /// The mount is gone: there is nothing to guard.
    package func end() {
        let isFirst = phase.update { phase in
            guard phase == .guarding else { return false }
            phase = .ending
            return true
        }
        guard isFirst else { return }
        phase.wait { $0 == .ended ? true : nil }
        _ = ChildProcess.waitForExit(process)
    }

    /// Has the guard end without doing anything.
    private static func dismiss(_ pipe: Int32) {
        let word: [UInt8] = [UInt8(ascii: "\n")]
        // One byte of a local; a guard that somebody ended needs none.
        unsafe _ = write(pipe, word, 1)
    }

    // MARK: The guard

    /// The guard's whole life.
    ///
    /// - Parameter words: what follows `word`.
    /// - Returns: the exit code.
    package static func stand(_ words: [String]) -> Int32 {
        guard words.count == 1 else { return 2 }
        // It ends when it is told, or when there is nobody left to tell it, and not before.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] { holdfast_ignore_signal(signal) }
        let connection = FuseConnection(device: words[0])
        var byte: UInt8 = 0
        // One byte into a local.
        let attempt = attempt { unsafe read(0, &byte, 1) }
        if attempt == .done(0) { connection.abort() }
        return 0
    }
}
