import Glibc

/// Why the system, or the other side of a local socket, did not do what was asked.
package enum HostError: Error, Equatable, Sendable {
    /// `code` is an errno; `action` says what was being done to what.
    case system(code: Int32, action: String)
    /// The name of a host does not resolve.
    case unknownHost(String)
    /// Nobody listens on the control socket: no daemon runs.
    case notRunning
    case timedOut(String)
    /// The other side said something that is no answer.
    case malformed(String)
    case tooLarge(limitBytes: Int)
    /// The other end of a control socket belongs to another user.
    case foreignUser(UInt32)
}

extension HostError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .system(let code, let action): "\(action): \(systemText(code))"
        case .unknownHost(let host): "cannot find the host \(EscapedText.quoted(host))"
        case .notRunning: "no daemon is running for this share"
        case .timedOut(let what): "\(what) took too long"
        case .malformed(let what): "did not understand \(what)"
        case .tooLarge(let limit): "longer than the limit of \(limit) bytes"
        case .foreignUser(let user): "belongs to another user (uid \(user))"
        }
    }
}

/// What an errno means, in words.
package func systemText(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "errno \(code)" }
    // glibc keeps the text per thread, and it is copied here.
    return unsafe String(cString: text)
}
