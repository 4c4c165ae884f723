package import Base

/// Why a share could not be mounted; the description says what to do.
package enum MountError: Error, Equatable, Sendable {
    /// The mount point is not there.
    case missing(mountPoint: String)
    case notDirectory(mountPoint: String)
    /// A filesystem is mounted there already.
    case inUse(mountPoint: String, by: String)
    case notAllowed(mountPoint: String)
    /// `/dev/fuse` is missing or may not be opened; `code` is the errno.
    case noDevice(code: Int32)
    /// `fusermount3` is not installed, and we are not root.
    case noHelper
    /// `allow_other` needs `user_allow_other` in `/etc/fuse.conf`.
    case othersNotAllowed
    /// Only root may mount with `suid` or `dev`.
    case needsRoot(option: String)
    /// Only where the recorded owners are shown.
    case needsRecordedOwner(option: String)
    /// libfuse refused; it wrote its reason to standard error.
    case refused(mountPoint: String)
    case system(code: Int32, action: String)
    case storage(StorageError)
}

extension MountError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .missing(let path): "\(path) does not exist: create the directory, then mount again"
        case .notDirectory(let path): "\(path) is not a directory: choose a directory to mount at"
        case .inUse(let path, let type):
            "\(path) is in use (\(type) is mounted there): unmount it or choose another directory"
        case .notAllowed(let path):
            "\(path) may not be used: choose a directory that you own and may write"
        case .noDevice(2):
            "/dev/fuse does not exist: load the kernel module with `modprobe fuse`"
        case .noDevice(13):
            "/dev/fuse may not be opened: as root, run `chmod 666 /dev/fuse`"
        case .noDevice(let code): "/dev/fuse cannot be opened (errno \(code))"
        case .noHelper: "fusermount3 is not installed: install the package fuse3"
        case .othersNotAllowed:
            "allow_other is not permitted: add the line user_allow_other to /etc/fuse.conf"
        case .needsRoot(let option): "only root may mount with \(option): leave it out"
        case .needsRecordedOwner(let option):
            "\(option) names users and groups by number, which mean nothing where all files are shown to "
                + "belong to one user: mount with owner=recorded, or without \(option)"
        case .refused(let path):
            "mounting at \(path) was refused: the reason is in the line that fuse printed above"
        case .system(let code, let action): "\(action) failed (errno \(code))"
        case .storage(let error): "\(error)"
        }
    }
}
