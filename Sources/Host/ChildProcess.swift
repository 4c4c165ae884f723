import CLinux
import Glibc

/// Starts programs with `posix_spawn`: never a fork of this process, whose threads and locks a
/// child could not use. Arguments are an array, no shell sees them (threat T32).
struct ChildProcess {
    enum Stream {
        case null
        case descriptor(Int32)
        /// Appended to, made if missing, mode 0600.
        case file(String)
        case inherited
    }

    /// Absolute: nothing is looked up in a path.
    let executable: String
    /// With the program's own name first.
    var arguments: [String]
    /// All of it; nothing is inherited.
    var environment: [String]
    var input = Stream.null
    var output = Stream.null
    var errors = Stream.null
    /// To be number 3 in the child.
    var extra: Int32?
    var startsSession = false
    var directory: String?

    /// - Returns: the process id; `waitForExit` it, or leave it to be reaped by init.
    func start() throws(HostError) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        // Both are initialised here and destroyed below; the calls copy what they are given.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        var code = unsafe add(input, as: 0, O_RDONLY, to: &actions)
        if code == 0 { code = unsafe add(output, as: 1, O_WRONLY, to: &actions) }
        if code == 0 { code = unsafe add(errors, as: 2, O_WRONLY, to: &actions) }
        if code == 0, let extra {
            code = unsafe posix_spawn_file_actions_adddup2(&actions, extra, 3)
        }
        // Whatever the shell left open is not the child's business.
        if code == 0 {
            code = unsafe posix_spawn_file_actions_addclosefrom_np(
                &actions, extra == nil ? 3 : 4)
        }
        if code == 0, let directory {
            code = unsafe posix_spawn_file_actions_addchdir_np(&actions, directory)
        }
        if code == 0 { code = unsafe holdfast_spawn_clean_signals(&attributes) }
        if code == 0 { code = unsafe holdfast_spawn_flags(&attributes, startsSession ? 1 : 0) }
        var process: pid_t = 0
        if code == 0 {
            code = unsafe withStrings(arguments) { arguments in
                unsafe withStrings(environment) { environment in
                    // Terminated copies, alive until posix_spawn has made its own.
                    unsafe posix_spawn(
                        &process, executable, &actions, &attributes, arguments, environment)
                }
            }
        }
        guard code == 0 else { throw .system(code: code, action: "starting \(executable)") }
        return process
    }

    private func add(
        _ stream: Stream, as number: Int32, _ access: Int32,
        to actions: UnsafeMutablePointer<posix_spawn_file_actions_t>
    ) -> Int32 {
        switch stream {
        case .inherited: 0
        case .null:
            unsafe posix_spawn_file_actions_addopen(actions, number, "/dev/null", access, 0)
        case .descriptor(let descriptor):
            unsafe posix_spawn_file_actions_adddup2(actions, descriptor, number)
        case .file(let path):
            unsafe posix_spawn_file_actions_addopen(
                actions, number, path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600)
        }
    }

    /// Calls with an array of C strings that ends with a null.
    private func withStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe pointers.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else {
                preconditionFailure("the array ends with a null")
            }
            return unsafe body(base)
        }
    }

    /// Waits for a child's end.
    ///
    /// - Returns: its exit code, or 128 and the number of the signal that killed it.
    static func waitForExit(_ process: pid_t) -> Int32 {
        var status: Int32 = 0
        // A local; interrupted waits go on.
        while unsafe waitpid(process, &status, 0) < 0 {
            guard errno == EINTR else { return 128 }
        }
        return holdfast_exit_code(status)
    }
}
