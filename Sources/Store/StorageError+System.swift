internal import Base
internal import Glibc

extension StorageError {
    /// The error of the system call that just failed, from `errno`.
    ///
    /// - Parameter action: what was being done to what, as in `writing /home/ada/…/000001.pack`.
    static func system(_ action: @autoclosure () -> String) -> StorageError {
        of(code: errno, action())
    }

    /// An errno as an error: no space and no quota are one thing to whoever must free some.
    static func of(code: Int32, _ action: @autoclosure () -> String) -> StorageError {
        switch code {
        case ENOSPC, EDQUOT: .full
        default: .io(code: code, action: action())
        }
    }
}
