package import Base

/// Why the state folder cannot be used; the description names the file and says what to do.
package enum StateError: Error, Equatable, Sendable {
    /// There is nowhere to keep state.
    case noHome
    case storage(StorageError)
    case missing(file: String, remedy: String)
    /// The file is there, and not what Holdfast wrote.
    case malformed(file: String, problem: String, remedy: String)
    /// A file with a secret can be read by others, or is theirs.
    case exposed(file: String)
    case exists(file: String)
    /// Another process has the share open; 0 if it has not said yet which.
    case inUse(folder: String, process: Int32)
}

extension StateError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noHome:
            "no folder for Holdfast's state: set HOME, or HOLDFAST_HOME to an absolute path"
        case .storage(let error):
            error.description
        case .missing(let file, let remedy):
            "\(file) is missing: \(remedy)"
        case .malformed(let file, let problem, let remedy):
            "\(file): \(problem); \(remedy)"
        case .exposed(let file):
            "\(file) holds a secret and is open to others: make it yours alone"
                + " (chown to your user, chmod 600)"
        case .exists(let file):
            "\(file) exists already; it is never overwritten"
        case .inUse(let folder, let process):
            "\(folder) is in use by process \(process): stop it, or talk to it with `holdfast`"
        }
    }
}

/// Runs what may fail in the storage.
func storing<Result: ~Copyable>(_ body: () throws(StorageError) -> Result) throws(StateError)
    -> Result
{
    do {
        return try body()
    } catch {
        throw .storage(error)
    }
}
