package import Base
import CLinux
import Glibc

/// A mount of ours as the kernel has it, from outside the daemon that serves it.
package enum KernelMount {
    /// Where Debian and everybody else put it; nothing is looked up in a path (threat T32).
    package static let fusermount = "/usr/bin/fusermount3"

    /// The type of our own mounts, as `FuseMount` names them.
    package static let ownType = "fuse.holdfast"

    /// What stands at a mount point.
    package enum State: Equatable, Sendable {
        case missing
        case notDirectory
        case plain(isEmpty: Bool)
        /// A FUSE mount that a process answers for.
        case mounted(type: String)
        /// A FUSE mount whose process is gone.
        case stale(type: String)
        /// A mount of another kind.
        case otherMount(type: String)
    }

    /// - Parameter path: absolute, without a trailing slash.
    package static func state(of path: String) throws(HostError) -> State {
        var status = stat()
        // The path is a terminated copy for the time of the call; the status is a local.
        guard unsafe stat(path, &status) == 0 else {
            switch errno {
            case ENOENT, ENOTDIR: return .missing
            // The second while the kernel is still giving up what was asked of the dead process.
            case ENOTCONN, ECONNABORTED:
                return .stale(type: try MountTable.current().entry(at: path)?.type ?? "")
            case let code: throw .system(code: code, action: "looking at \(path)")
            }
        }
        if let entry = try MountTable.current().entry(at: path) {
            guard entry.type.hasPrefix("fuse") else { return .otherMount(type: entry.type) }
            // The kernel answers stat from its cache for a day; statfs always asks the process.
            var space = statvfs()
            let isAnswered =
                unsafe statvfs(path, &space) == 0 || (errno != ENOTCONN && errno != ECONNABORTED)
            return isAnswered ? .mounted(type: entry.type) : .stale(type: entry.type)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return .notDirectory }
        return .plain(isEmpty: try isEmpty(path))
    }

    package static func isMounted(_ path: String) throws(HostError) -> Bool {
        try MountTable.current().entry(at: path) != nil
    }

    /// Gives an error to whoever waits for an answer from a mount of ours; for a daemon that is gone.
    package static func abort(_ path: String) throws(HostError) {
        guard let entry = try MountTable.current().entry(at: path), entry.type == ownType else {
            return
        }
        FuseConnection(device: entry.device).abort()
    }

    /// Takes a mount away at once, whatever is open in it; for a daemon that is gone.
    package static func detach(_ path: String) throws(HostError) {
        try abort(path)
        try unmount(path, isLazy: true)
    }

    /// Takes a mount away as umount(8) does: its daemon goes on saving.
    ///
    /// - Parameter isLazy: at once for whoever looks for it, later for who is inside; else it is
    ///   refused while anybody is.
    package static func unmount(_ path: String, isLazy: Bool) throws(HostError) {
        let arguments = ["fusermount3", "-u"] + (isLazy ? ["-z"] : []) + ["--", path]
        var child = ChildProcess(executable: fusermount, arguments: arguments, environment: [])
        child.errors = .null
        let code = ChildProcess.waitForExit(try child.start())
        let isGone = try !isMounted(path)
        guard code == 0 || isGone else {
            throw .system(code: EBUSY, action: "unmounting \(path)")
        }
    }

    /// Changes what the kernel lets programs do with a mount, as `mount -o remount` asks; only root may.
    ///
    /// - Parameter options: of mount(8), the last of two that say the opposite holds; what is not
    ///   named stays as it is.
    package static func change(_ path: String, options: [String]) throws(HostError) {
        try change(path, options: options, isPlace: false)
    }

    /// Shows a mount at another place, too, as Linux mounts a disk a second time; only root may.
    ///
    /// - Parameter options: as `change` has them, for that place.
    package static func show(_ path: String, at other: String, options: [String])
        throws(HostError)
    {
        // Both paths are terminated copies for the time of the call.
        guard unsafe holdfast_bind(path, other) == 0 else {
            throw .system(code: errno, action: "mounting \(path) at \(other), too")
        }
        try change(other, options: options, isPlace: true)
    }

    private static func change(_ path: String, options: [String], isPlace: Bool)
        throws(HostError)
    {
        guard try MountTable.current().entry(at: path)?.type == ownType else {
            throw .system(code: EINVAL, action: "no share is mounted at \(path)")
        }
        var (set, cleared): (UInt, UInt) = (0, 0)
        for option in options {
            guard let (flag, isSet) = flag(option) else { continue }
            if isSet {
                (set, cleared) = (set | flag, cleared & ~flag)
            } else {
                (set, cleared) = (set & ~flag, cleared | flag)
            }
        }
        // The path is a terminated copy for the time of the call.
        guard unsafe holdfast_remount(path, set, cleared, isPlace ? 1 : 0) == 0 else {
            throw .system(code: errno, action: "changing the mount at \(path)")
        }
    }

    /// The flag of mount(2) that an option of mount(8) sets or clears.
    private static func flag(_ option: String) -> (flag: UInt, isSet: Bool)? {
        switch option {
        case "ro": (UInt(MS_RDONLY), true)
        case "rw": (UInt(MS_RDONLY), false)
        case "nosuid": (UInt(MS_NOSUID), true)
        case "suid": (UInt(MS_NOSUID), false)
        case "nodev": (UInt(MS_NODEV), true)
        case "dev": (UInt(MS_NODEV), false)
        case "noexec": (UInt(MS_NOEXEC), true)
        case "exec": (UInt(MS_NOEXEC), false)
        case "sync": (UInt(MS_SYNCHRONOUS), true)
        case "async": (UInt(MS_SYNCHRONOUS), false)
        default: nil
        }
    }

    /// Waits until nothing is mounted at a path.
    ///
    /// - Returns: false at the deadline.
    package static func waitUntilGone(_ path: String, deadline: Instant) throws(HostError) -> Bool {
        let opened = unsafe open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)
        let descriptor = try Descriptor(opened, "opening /proc/self/mountinfo")
        while try isMounted(path) {
            let rest = deadline - monotonicNow()
            guard rest > .zero else { return false }
            // The kernel signals each change of the table with POLLPRI; the limit is for one that
            // came between the look and the wait.
            var poller = pollfd(fd: descriptor.number, events: Int16(POLLPRI), revents: 0)
            let milliseconds = Int32(
                clamping: min(rest, .milliseconds(50)).nanosecondsClamped / 1_000_000)
            unsafe _ = poll(&poller, 1, max(1, milliseconds))
        }
        return true
    }

    private static func isEmpty(_ path: String) throws(HostError) -> Bool {
        // The stream is closed below; entries are read one after the other by this thread alone.
        guard let stream = unsafe opendir(path) else {
            throw .system(code: errno, action: "looking into \(path)")
        }
        defer { unsafe closedir(stream) }
        while let entry = unsafe readdir(stream) {
            let (first, second, third) = unsafe (
                entry.pointee.d_name.0, entry.pointee.d_name.1, entry.pointee.d_name.2
            )
            let dot = CChar(UInt8(ascii: "."))
            if first == dot, second == 0 || (second == dot && third == 0) { continue }
            return false
        }
        return true
    }
}

/// Waits for the end of a process that is no child of this one.
///
/// - Returns: false at the deadline; true as well when it cannot be watched.
package func waitForEnd(of process: Int32, deadline: Instant) -> Bool {
    guard process > 0 else { return true }
    guard let descriptor = try? Descriptor(holdfast_pidfd_open(process), "watching a process")
    else { return true }
    do throws(HostError) {
        try wait(descriptor.number, POLLIN, deadline)
        return true
    } catch {
        return false
    }
}
