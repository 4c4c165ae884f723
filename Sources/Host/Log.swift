package import Base
import Glibc
import Synchronization

/// Where lines for the log go. Thread-safe.
package protocol LogSink: AnyObject, Sendable {
    /// One line, from whatever source: it is escaped here.
    func write(_ line: String)
}

/// Log lines on a descriptor: time, then the text, escaped so that a line stays a line.
///
/// So many lines a second at most; the rest is counted. With a path, the file is begun anew at
/// `bytesMax` and the one before kept as `<path>.1`, so a log never grows beyond twice that.
package final class Log: LogSink {
    private struct State {
        var bytes: Int
        var second: Int64 = 0
        var lines = 0
        var suppressed = 0
    }

    package static let bytesMaxDefault = 4 << 20
    package static let linesPerSecondMax = 100
    private static let lineBytesMax = 4096

    private let descriptor: Int32
    private let path: String?
    private let bytesMax: Int
    private let clock: @Sendable () -> Timestamp
    private let state: Mutex<State>

    /// - Parameters:
    ///   - descriptor: stays open as long as this; a daemon's standard error.
    ///   - path: of the file that `descriptor` is, to begin anew when it is full.
    package init(
        descriptor: Int32 = STDERR_FILENO, path: String? = nil,
        bytesMax: Int = bytesMaxDefault,
        clock: @escaping @Sendable () -> Timestamp = { wallNow() }
    ) {
        self.descriptor = descriptor
        self.path = path
        self.bytesMax = bytesMax
        self.clock = clock
        let size = path == nil ? 0 : lseek(descriptor, 0, Int32(SEEK_END))
        state = Mutex(State(bytes: max(0, Int(size))))
    }

    package func write(_ line: String) {
        let now = clock()
        state.withLock { state in
            if now.seconds != state.second {
                state.second = now.seconds
                state.lines = 0
                if state.suppressed > 0 {
                    append("(\(state.suppressed) more lines were left out)", now, &state)
                }
                state.suppressed = 0
            }
            guard state.lines < Self.linesPerSecondMax else {
                state.suppressed += 1
                return
            }
            state.lines += 1
            append(line, now, &state)
        }
    }

    private func append(_ line: String, _ now: Timestamp, _ state: inout State) {
        let text = EscapedText.escaped(Self.redacted(String(line.prefix(Self.lineBytesMax))))
        let bytes = Array("\(Self.text(of: now)) \(text)\n".utf8)
        if state.bytes + bytes.count > bytesMax, begin() { state.bytes = 0 }
        // A log that cannot be written must not stop what it tells of.
        if case .done(let count) = attempt({
            // The array holds as many bytes as are said.
            unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
        }) {
            state.bytes += count
        }
    }

    /// Without the word of an invite link: whoever has it can read the share (threat T23).
    package static func redacted(_ line: String) -> String {
        line.replacing(/holdfast:[a-zA-Z0-9]{16,}/, with: "holdfast:(left out)")
    }

    /// Puts a new file behind the descriptor, and behind standard output if that is the same file.
    private func begin() -> Bool {
        guard let path else { return false }
        // Paths are terminated copies for the time of each call. If the old file cannot be moved,
        // the new one is that same file, and the log goes on in it.
        unsafe _ = rename(path, path + ".1")
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
        let fresh = unsafe open(path, flags, 0o600)
        guard fresh >= 0 else { return false }
        defer { close(fresh) }
        if descriptor == STDERR_FILENO { dup2(fresh, STDOUT_FILENO) }
        return dup2(fresh, descriptor) >= 0
    }

    /// As `Timestamp.text`.
    package static func text(of time: Timestamp) -> String { time.text }
}
