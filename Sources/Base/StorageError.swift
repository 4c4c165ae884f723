/// What can go wrong below a storage protocol.
package enum StorageError: Error, Equatable, Sendable {
    /// No space left; nothing was lost. Free space, then retry.
    case full
    /// The system refused: `code` is an errno, `action` says what was being done to what.
    case io(code: Int32, action: String)
    /// Stored bytes are not what was written; `what` names them and says what to do.
    case corrupt(what: String)
}

extension StorageError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .full: "disk full: free space, then retry; nothing was lost"
        case .io(let code, let action): "\(action) failed (errno \(code))"
        case .corrupt(let what): "damaged state: \(what)"
        }
    }
}
