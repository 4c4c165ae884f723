import CLinux
import Glibc
import Host

/// How root's helper goes on as an ordinary user, who then is the one that mounts.
enum UserSwitch {
    /// Begins this program again as `name`: nothing of root's stays, descriptors and environment
    /// included.
    ///
    /// - Parameter words: of mount(8); `setuid=` in them means nothing to an ordinary user.
    static func run(as name: String, _ words: [String]) throws(CommandFailure) -> Never {
        // The entry is glibc's until the next call; its texts are copied here. No other thread runs.
        guard let entry = unsafe getpwnam(name) else {
            throw CommandFailure(
                .usage, "there is no user \(EscapedText.quoted(name)): name one in setuid=")
        }
        let (user, group) = unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
        let home = unsafe String(cString: entry.pointee.pw_dir)
        // Groups first: afterwards they are nobody's to set.
        guard unsafe initgroups(name, group) == 0, setgid(group) == 0, setuid(user) == 0,
            user == 0 || setuid(0) != 0
        else {
            throw CommandFailure(
                .denied, "cannot become \(EscapedText.quoted(name)): \(systemText(errno))")
        }
        let environment = ProcessEnvironment.all.filter { variable in
            variable.key == "PATH" || variable.key == "LANG"
                || variable.key.hasPrefix("HOLDFAST_") && variable.key != "HOLDFAST_HOME"
        }.merging(["HOME": home, "USER": name, "LOGNAME": name]) { $1 }
        let code = replaceProcess(
            ["holdfast", "\(MountHelperCall.prefix)fuse.holdfast"] + words,
            environment: environment.map { "\($0.key)=\($0.value)" }.sorted())
        throw CommandFailure(
            .general,
            "\(EscapedText.quoted(name)) cannot run this program (\(systemText(code))): "
                + "install it where everybody may, as in /usr/local/bin")
    }

    /// - Returns: an errno, and only then.
    private static func replaceProcess(_ words: [String], environment: [String]) -> Int32 {
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
        unsafe arguments.append(nil)
        var variables: [UnsafeMutablePointer<CChar>?] = unsafe environment.map {
            unsafe strdup($0)
        }
        unsafe variables.append(nil)
        // Both end in nil; what was copied is left to the process that is replaced, or ends.
        unsafe _ = execve("/proc/self/exe", arguments, variables)
        return errno
    }
}
