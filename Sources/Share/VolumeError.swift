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
