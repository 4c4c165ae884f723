import Glibc
import Host

/// Where a command's words come from and go to; the tests have their own.
protocol Console: AnyObject {
    /// Standard output, as it is given.
    func write(_ text: String)
    /// Standard error.
    func writeError(_ text: String)
    /// The first line of standard input, without its end; nil at the end.
    func readLine(limitBytes: Int) -> String?
    var currentDirectory: String { get }
}

extension Console {
    func writeLine(_ line: String) { write(line + "\n") }
}

/// The process's own descriptors.
final class StandardConsole: Console {
    func write(_ text: String) { write(text, to: STDOUT_FILENO) }
    func writeError(_ text: String) { write(text, to: STDERR_FILENO) }

    func readLine(limitBytes: Int) -> String? {
        // A link is short; byte by byte, so that what follows stays for others.
        var line: [UInt8] = []
        var byte: UInt8 = 0
        // One byte into a local.
        while line.count < limitBytes, unsafe read(STDIN_FILENO, &byte, 1) == 1 {
            if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
        return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
    }

    var currentDirectory: String {
        // getcwd allocates when it is given no buffer; freed below.
        guard let path = unsafe getcwd(nil, 0) else { return "/" }
        defer { unsafe free(path) }
        return unsafe String(cString: path)
    }

    private func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // The slice holds as many bytes as are said.
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
