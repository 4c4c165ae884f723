import Glibc

/// A command line of the user's own, run by the shell in the terminal of this process.
package enum ShellCommand {
    /// Waits for its end.
    ///
    /// - Parameter environment: all of it; nothing is inherited.
    /// - Returns: the exit code, or 128 and the number of the signal that killed it.
    package static func run(_ command: String, environment: [String: String]) throws(HostError)
        -> Int32
    {
        var child = ChildProcess(
            executable: "/bin/sh", arguments: ["sh", "-c", command],
            environment: environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
        child.input = .inherited
        child.output = .inherited
        child.errors = .inherited
        return ChildProcess.waitForExit(try child.start())
    }
}
