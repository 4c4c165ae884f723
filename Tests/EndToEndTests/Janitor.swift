import CLinux
import Foundation
import Glibc

/// Leaves nothing mounted, no process and no file, whatever happens.
///
/// Everything that the tests start lives below one folder and carries the folder's name in its
/// environment. One shell script ends all of it. It runs after each test, and once more when the
/// test process is gone, however it went: a shell waits for the end of a pipe that the kernel
/// closes for us.
enum Janitor {
    /// The variable that marks processes; its value is the test's folder and a slash.
    static let mark = "HOLDFAST_TEST_PLACE"

    /// Everything is below this folder. Made on first use, which also clears up after test
    /// processes that are gone and starts the shell that will clear up after this one.
    static let root: String = {
        let parent = Machine.environment["TMPDIR"] ?? "/tmp"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] {
            guard name.hasPrefix(prefix), let owner = pid_t(name.dropFirst(prefix.count)),
                owner != getpid(), Glibc.kill(owner, 0) != 0, errno == ESRCH
            else { continue }
            _ = clear("\(parent)/\(name)")
        }
        let root = "\(parent)/\(prefix)\(getpid())"
        mkdir(root, 0o755)
        watch(root)
        return root
    }()

    private static let prefix = "holdfast-tests."

    /// Ends the processes, mounts and files of one folder.
    ///
    /// - Returns: what was still there, one line each; empty if the test had left nothing but files.
    static func clear(_ folder: String) -> String {
        var outcome: Outcome?
        let scratch = FileManager.default.temporaryDirectory.path
        let arguments = ["/bin/sh", "-c", script, "sh", folder]
        if let shell = try? Subprocess(arguments, environment: plain, scratch: scratch) {
            outcome = shell.finish(within: .seconds(60))
            shell.removeOutput()
        }
        return outcome?.output ?? "no shell could be started to clear up"
    }

    /// The environment without the mark, so that the shell does not end itself.
    private static let plain = ["PATH": Machine.environment["PATH"] ?? "/usr/bin:/bin"]

    /// First the processes, so that nobody mounts again; then mounts, the youngest first, lazily so
    /// that an open file does not keep one; last the files, and never across into another mount.
    private static let script = """
        folder="$1"
        marked() {
            grep -lzF "\(mark)=$folder/" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
        }
        mounted() {
            awk -v under="$folder/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | tac
        }
        for process in $(marked); do
            echo "process $process: $(tr '\\0' ' ' <"/proc/$process/cmdline" 2>/dev/null)"
            kill -9 "$process" 2>/dev/null
        done
        mounted | while read -r point; do
            echo "mount $point"
            fusermount3 -uz "$point" 2>/dev/null || umount -l "$point" 2>/dev/null
        done
        [ -n "$(mounted)" ] || rm -rf --one-file-system "$folder"
        """

    /// Starts the shell that outlives us.
    private static func watch(_ root: String) {
        var ends: [Int32] = [0, 0]
        // Ours must not be open in any program that the tests start, or the pipe would never end.
        guard pipe2(&ends, O_CLOEXEC) == 0 else { return }
        let waiting = "cat >/dev/null; " + script
        _ = try? Subprocess.spawn(
            ["/bin/sh", "-c", waiting, "sh", root], environment: plain, directory: "/"
        ) { actions in
            posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
            posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        }
        close(ends[0])
    }
}
