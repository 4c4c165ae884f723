internal import Base
internal import CSQLite
internal import Glibc

extension StorageError {
    /// A result code of SQLite as an error (https://www.sqlite.org/rescode.html).
    ///
    /// - Parameters:
    ///   - code: the extended result code.
    ///   - systemCode: the errno behind it, as `sqlite3_system_errno` tells it.
    ///   - message: `sqlite3_errmsg`.
    ///   - path: of the database file.
    static func sqlite(code: Int32, systemCode: Int32, message: String, path: String)
        -> StorageError
    {
        let action = "using \(path)"
        switch code & 0xff {
        case SQLITE_FULL:
            return .full
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return .corrupt(
                what: "\(path): \(message); keep a copy of the file, then run"
                    + " `holdfast check --rebuild`; if that fails, leave the share and join it again"
            )
        case SQLITE_IOERR, SQLITE_CANTOPEN:
            return .of(code: systemCode == 0 ? EIO : systemCode, action)
        case SQLITE_BUSY, SQLITE_LOCKED:
            return .io(code: EBUSY, action: action)
        case SQLITE_NOMEM:
            return .io(code: ENOMEM, action: action)
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
            return .io(code: EACCES, action: action)
        case SQLITE_TOOBIG:
            return .io(code: EFBIG, action: action)
        default:
            // The statements are fixed: what is left are tables other than those this version makes.
            return .corrupt(
                what: "\(path): \(message) (SQLite code \(code)); run `holdfast check --rebuild`")
        }
    }
}
