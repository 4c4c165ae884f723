import Glibc
import Host

/// Why a command ends without success: one line that says what is wrong and what to do.
struct CommandFailure: Error, Equatable {
    let code: ExitCode
    /// Ready to be shown: names from elsewhere in it are escaped.
    let message: String

    init(_ code: ExitCode, _ message: String) {
        self.code = code
        self.message = message
    }

    /// What a daemon reported.
    init(_ failure: ControlResponse.Failure) {
        self.init(ExitCode(rawValue: failure.exitCode) ?? .general, failure.message)
    }

    /// What the system, or the way to the daemon, refused.
    init(_ error: HostError) {
        switch error {
        case .notRunning: self.init(.notRunning, "\(error): start it with holdfast mount")
        case .timedOut: self.init(.temporary, "\(error): try again")
        case .foreignUser: self.init(.denied, "the daemon \(error)")
        case .system(EADDRINUSE, _):
            self.init(.inUse, "\(error): end the process that has it, or choose another")
        case .system(EADDRNOTAVAIL, _):
            self.init(.general, "\(error): name an address that this machine has, or none")
        case .system(EACCES, _), .system(EPERM, _): self.init(.denied, "\(error)")
        default: self.init(.general, "\(error)")
        }
    }

    var asControlFailure: ControlResponse.Failure {
        .init(message: message, exitCode: code.rawValue)
    }
}

/// Runs what may fail in the host's way, and fails in the command's way.
func hosted<Result>(_ body: () throws(HostError) -> Result) throws(CommandFailure) -> Result {
    do throws(HostError) {
        return try body()
    } catch {
        throw CommandFailure(error)
    }
}
