internal import Base
internal import Glibc

extension StorageError {
    /// The error of the system call that just failed, from `errno`.
    ///
    /// - Parameter action: what was being done to what, as in `writing /home/ada/…/000001.pack`.
    static func system(_ action: @autoclosure () -> String) -> StorageError {
        of(code: errno, action())
    }

    /// An errno as an error.
    static func of(code: Int32, _ action: @autoclosure () -> String) -> StorageError {
        switch code {
        case ENOSPC: .full
        default: .io(code: code, action: action())
        }
    }
}
