import CLinux
import Glibc

/// What a process does for its own safety, first of all.
package enum ProcessSafety {
    /// Opens `/dev/null` for standard descriptors that whoever started us left closed, so that no
    /// file or socket of ours can get their numbers.
    package static func openStandardDescriptors() {
        // A literal path; each open takes the lowest free number.
        while true {
            let number = unsafe open("/dev/null", O_RDWR)
            guard number >= 0, number <= 2 else {
                if number > 2 { close(number) }
                return
            }
        }
    }

    /// Allows as many open files as the system lets this user have, within reason: open files of
    /// the mount, packs and connections all count.
    package static func raiseFileLimit() {
        var limit = rlimit()
        // A local each; a limit that cannot be raised stays as it is.
        guard unsafe holdfast_get_file_limit(&limit) == 0 else { return }
        limit.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, 65_536))
        unsafe _ = holdfast_set_file_limit(&limit)
    }

    /// Keeps keys out of core dumps and other processes of this user from looking into this one
    /// (threat T23).
    package static func protectMemory() {
        // Should it fail, secrets are still kept out of dumps page by page, by Crypto.
        _ = holdfast_set_undumpable()
    }
}
