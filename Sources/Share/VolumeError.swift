package import Base

/// Why a volume refused a call. The mount maps each case to one errno.
package enum VolumeError: Error, Equatable, Sendable {
    case notFound
    case exists
    case notDirectory
    case isDirectory
    case notEmpty
    case invalidName
    case nameTooLong
    /// A directory may not move below itself.
    case invalidMove
    case tooManyLinks
    case noAttribute
    case attributeExists
    case tooLarge
    case notPermitted
    case readOnly
    case notSupported
    /// The node was removed and forgotten.
    case stale
    /// A chunk is not here and no peer delivered it in time.
    case unreachable
    case storage(StorageError)
}

extension VolumeError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notFound: "there is nothing of that name"
        case .exists: "the name is taken"
        case .notDirectory: "it is no directory"
        case .isDirectory: "it is a directory"
        case .notEmpty: "the directory is not empty"
        case .invalidName: "no file may have that name"
        case .nameTooLong: "the name is too long"
        case .invalidMove: "a directory cannot move into itself"
        case .tooManyLinks: "it has too many names"
        case .noAttribute: "there is no such extended attribute"
        case .attributeExists: "there is such an extended attribute"
        case .tooLarge: "it is too large"
        case .notPermitted: "that is not permitted"
        case .readOnly: "the share is read-only here"
        case .notSupported: "that is not supported"
        case .stale: "it was removed"
        case .unreachable: "bytes of it are neither here nor with any peer that answers"
        case .storage(let error): "\(error)"
        }
    }
}
