import CLinux
import Foundation
import Glibc

/// What a program that has ended left behind.
struct Outcome {
    /// The exit code, or 128 + the signal that ended it.
    var code: Int32
    var output: String
    var errors: String
    /// Whether it was killed for taking too long.
    var timedOut: Bool

    var lastLine: String {
        String(output.split(separator: "\n", omittingEmptySubsequences: true).last ?? "")
    }
}

struct SubprocessError: Error, CustomStringConvertible {
    var description: String
}

/// A program that was started: it has its own session, its output goes to files and no
/// descriptor of ours but its standard ones is open in it.
///
/// Files and not pipes, because a daemon that wrongly kept a pipe open would hang whoever reads it.
final class Subprocess {
    let id: pid_t
    private let arguments: [String]
    private let outputPath: String
    private let errorsPath: String
    private var ended: Int32?

    /// - Parameter scratch: a folder for the files with its output; they are never the same twice.
    init(
        _ arguments: [String], environment: [String: String], input: String? = nil,
        directory: String? = nil, scratch: String
    ) throws {
        self.arguments = arguments
        let stem = "\(scratch)/\(UUID().uuidString)"
        let (outputPath, errorsPath) = (stem + ".out", stem + ".err")
        self.outputPath = outputPath
        self.errorsPath = errorsPath
        var inputPath = "/dev/null"
        if let input {
            inputPath = stem + ".in"
            try input.write(toFile: inputPath, atomically: false, encoding: .utf8)
        }
        id = try Self.spawn(
            arguments, environment: environment, directory: directory
        ) { actions in
            posix_spawn_file_actions_addopen(&actions, 0, inputPath, O_RDONLY, 0)
            let flags = O_WRONLY | O_CREAT | O_TRUNC
            posix_spawn_file_actions_addopen(&actions, 1, outputPath, flags, 0o600)
            posix_spawn_file_actions_addopen(&actions, 2, errorsPath, flags, 0o600)
        }
    }

    /// Starts a program, with the standard descriptors that `prepare` sets up and no others.
    static func spawn(
        _ arguments: [String], environment: [String: String], directory: String?,
        prepare: (inout posix_spawn_file_actions_t) -> Void
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        prepare(&actions)
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        if let directory { posix_spawn_file_actions_addchdir_np(&actions, directory) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        holdfast_spawn_clean_signals(&attributes)
        // A session of its own makes a process group too.
        holdfast_spawn_flags(&attributes, 1)
        let words = arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var id: pid_t = 0
        let failure = posix_spawnp(&id, arguments[0], &actions, &attributes, words, variables)
        guard failure == 0 else {
            throw SubprocessError(
                description: "\(arguments[0]): \(String(cString: strerror(failure)))")
        }
        return id
    }

    /// Whether it still runs.
    var isRunning: Bool {
        if ended != nil { return false }
        var status: Int32 = 0
        guard waitpid(id, &status, WNOHANG) == id else { return true }
        ended = holdfast_exit_code(status)
        return false
    }

    func kill() {
        if isRunning { Glibc.kill(-id, SIGKILL) }
        wait(.seconds(5)) { !isRunning }
    }

    /// Waits for its end; it and what it started in its group are killed when `limit` has passed.
    func finish(within limit: Duration) -> Outcome {
        let timedOut = !wait(limit, every: .milliseconds(2)) { !isRunning }
        if timedOut { kill() }
        return Outcome(
            code: ended ?? -1, output: read(outputPath), errors: read(errorsPath),
            timedOut: timedOut)
    }

    /// Removes the files that its output went to.
    func removeOutput() {
        unlink(outputPath)
        unlink(errorsPath)
    }

    private func read(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
}
