import Base
import CLinux
import Glibc

/// What a daemon tells once to whoever started it: that it is ready, or why it is not.
package struct StartReport: Codable, Equatable, Sendable {
    /// nil: ready.
    package var error: ControlResponse.Failure?
    /// What the command prints, a line each.
    package var lines: [String]

    package init(lines: [String] = [], error: ControlResponse.Failure? = nil) {
        self.lines = lines
        self.error = error
    }

    /// Longer reports are cut off by the reader.
    static let bytesMax = 64 << 10
}

/// This program, started anew in the background.
///
/// The child is `/proc/self/exe` with `--foreground`, in a session of its own, in `/`, its output
/// going to a log file; descriptor 3 is a pipe on which it reports when it is ready.
package enum Daemon {
    /// Tells the child that descriptor 3 is the pipe.
    package static let readinessVariable = "HOLDFAST_READINESS"

    /// Starts the child and waits for its report.
    ///
    /// - Parameters:
    ///   - arguments: without the program's name; paths in them absolute.
    ///   - environment: all of it, as `NAME=VALUE`.
    ///   - logFile: for standard output and error.
    /// - Returns: the report; one with an error if the child ends without any.
    package static func start(
        arguments: [String], environment: [String], logFile: String,
        timeout: Duration = .seconds(60), executable: String = "/proc/self/exe"
    ) throws(HostError) -> StartReport {
        let (readEnd, writeEnd) = try makePipe()
        let reader = Descriptor(readEnd)
        var child = ChildProcess(
            executable: executable, arguments: ["holdfast"] + arguments,
            environment: environment + ["\(readinessVariable)=3"])
        child.output = .file(logFile)
        child.errors = .file(logFile)
        child.extra = writeEnd
        child.startsSession = true
        child.directory = "/"
        let process: pid_t
        do throws(HostError) {
            process = try child.start()
            close(writeEnd)
        } catch {
            close(writeEnd)
            throw error
        }
        return try report(from: reader.number, of: process, logFile, monotonicNow() + timeout)
    }

    private static func report(
        from pipe: Int32, of process: pid_t, _ logFile: String, _ deadline: Instant
    ) throws(HostError) -> StartReport {
        try setNonBlocking(pipe)
        var line: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while line.count < StartReport.bytesMax {
            do throws(HostError) {
                try wait(pipe, POLLIN, deadline)
            } catch .timedOut {
                throw .timedOut("starting (its log is \(logFile), it may yet come up)")
            }
            let attempt = attempt {
                // The kernel writes within the array.
                unsafe buffer.withUnsafeMutableBytes { unsafe read(pipe, $0.baseAddress, $0.count) }
            }
            switch attempt {
            case .wouldBlock: continue
            case .failed(let code): throw .system(code: code, action: "hearing the daemon")
            case .done(0):
                let code = ChildProcess.waitForExit(process)
                let message = "the daemon ended before it was ready; its log: \(logFile)"
                return StartReport(error: .init(message: message, exitCode: code == 0 ? 1 : code))
            case .done(let count):
                line += buffer[..<count]
                guard let end = line.firstIndex(of: UInt8(ascii: "\n")) else { continue }
                return try JSONText.decode(StartReport.self, from: Array(line[..<end]))
            }
        }
        throw .tooLarge(limitBytes: StartReport.bytesMax)
    }
}

/// The child's end of a daemon's start.
package final class StartReporter: Sendable {
    private let pipe: Gate<Int32?>

    /// - Parameter variable: the value of `Daemon.readinessVariable`; nil when nobody waits.
    package init(variable: String?) {
        guard let variable, let number = Int32(variable), number > 2,
            fcntl(number, F_SETFD, FD_CLOEXEC) == 0
        else {
            pipe = Gate(nil)
            return
        }
        pipe = Gate(number)
    }

    /// Whether somebody waits for a report.
    package var isAwaited: Bool { pipe.update { $0 != nil } }

    /// Reports; the first report counts, later ones go nowhere.
    package func report(_ report: StartReport) {
        guard
            let number = pipe.update({ pipe -> Int32? in
                defer { pipe = nil }
                return pipe
            }), let line = try? JSONText.encode(report)
        else { return }
        let bytes = line.prefix(StartReport.bytesMax - 1) + [UInt8(ascii: "\n")]
        // Whoever waited may be gone; that is no reason to stop.
        _ = attempt {
            // As many bytes as are said.
            unsafe bytes.withUnsafeBytes { unsafe write(number, $0.baseAddress, $0.count) }
        }
        close(number)
    }
}
