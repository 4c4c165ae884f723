internal import Glibc
internal import Simulation

/// Writes text to a descriptor as it comes, also into a pipe.
func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        // Reads no more than the slice has.
        let count = unsafe rest.withUnsafeBytes {
            unsafe write(descriptor, $0.baseAddress, $0.count)
        }
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
    }
}

exit(
    Command.run(
        Array(CommandLine.arguments.dropFirst()), write: { write($0, to: STDOUT_FILENO) },
        complain: { write($0, to: STDERR_FILENO) }))
