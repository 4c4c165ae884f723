internal import Base
internal import Glibc
internal import Share

/// The one place where errors become errno values.
enum ErrorCode {
    static let cancelled = ECANCELED
    static let busy = EBUSY

    static func code(_ error: VolumeError) -> Int32 {
        switch error {
        case .notFound: ENOENT
        case .exists: EEXIST
        case .notDirectory: ENOTDIR
        case .isDirectory: EISDIR
        case .notEmpty: ENOTEMPTY
        case .invalidName: EINVAL
        case .nameTooLong: ENAMETOOLONG
        case .invalidMove: EINVAL
        case .tooManyLinks: EMLINK
        case .noAttribute: ENODATA
        case .attributeExists: EEXIST
        case .tooLarge: EFBIG
        case .notPermitted: EPERM
        case .readOnly: EROFS
        case .notSupported: EOPNOTSUPP
        case .stale: ESTALE
        // EIO would say that the disk is broken.
        case .unreachable: EHOSTUNREACH
        case .storage(let error): code(error)
        }
    }

    static func code(_ error: StorageError) -> Int32 {
        switch error {
        case .full: ENOSPC
        case .io(let code, _): code == ENOSPC || code == EDQUOT ? code : EIO
        case .corrupt: EIO
        }
    }
}
