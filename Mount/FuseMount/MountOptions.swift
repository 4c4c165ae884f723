internal import Glibc

/// Whom a mount says that files belong to.
package enum Ownership: Equatable, Sendable {
    /// Whoever the share has recorded; users of other machines are numbers there.
    case recorded
    /// One user, whatever is recorded. What is recorded as theirs keeps its group if that is so.
    case user(uid: UInt32, gid: UInt32, keepsGroups: Bool)
}

/// How a share is shown at a mount point.
package struct MountOptions: Equatable, Sendable {
    /// Absolute, or made so from the working directory before anything is mounted.
    package var mountPoint: String
    /// What the kernel's table of mounts shows as the source.
    package var source = "holdfast"
    /// No change through this mount; the kernel answers EROFS.
    package var readOnly = false
    /// Other users may enter; the kernel checks permissions in any case.
    package var allowOther = false
    /// Honour setuid bits; only root may ask.
    package var suid = false
    /// Open device nodes as devices; only root may ask.
    package var dev = false
    /// Let programs in it be run.
    package var exec = true
    /// Each write is durable before it returns, as with O_SYNC.
    package var sync = false
    /// An ordinary user's are theirs: the numbers of other machines' users mean nothing to them, and
    /// the kernel would keep them out of their own share. Root sees what is recorded.
    package var ownership: Ownership
    /// Keep POSIX ACLs, and have the kernel check them: it asks once for the list of each thing that one of a
    /// group, or a program, looks at. Only where files are shown to belong to whom the share has recorded:
    /// their entries name users and groups by number, too.
    package var acl = false
    /// Refuse to follow symlinks that leave the share (EPERM on reading them).
    package var containSymlinks = false
    /// How long the kernel may keep entries and attributes, in seconds. What changes elsewhere is
    /// invalidated, so this is only how long a lost invalidation would matter.
    package var cacheSeconds = 86_400.0
    /// Let the kernel gather what programs write and send it later: many small writes become few large
    /// requests. What is not synced is sent within half a second. Off for a read-only mount.
    package var writeBack = true
    /// The bound on staged bytes that no version holds yet; writers wait at it.
    package var stagedBytesMax: UInt64 = 2 << 30
    /// So many bytes written past what was there become chunks where they are staged. Fewer are copied,
    /// which is as fast and leaves fewer files.
    package var adoptedBytesMin: UInt64 = 16 << 20

    /// Whether writing back is asked for and can happen.
    var wantsWriteBack: Bool { writeBack && !readOnly }

    package init(mountPoint: String) {
        self.mountPoint = mountPoint
        ownership =
            geteuid() == 0 ? .recorded : .user(uid: geteuid(), gid: getegid(), keepsGroups: true)
    }
}
