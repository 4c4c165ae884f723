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
    /// Refuse to follow symlinks that leave the share (EPERM on reading them).
    package var containSymlinks = false
    /// How long the kernel may keep entries and attributes, in seconds. What changes elsewhere is
    /// invalidated, so this is only how long a lost invalidation would matter.
    package var cacheSeconds = 86_400.0
    /// The bound on staged bytes that no version holds yet; writers wait at it.
    package var stagedBytesMax: UInt64 = 2 << 30

    package init(mountPoint: String) { self.mountPoint = mountPoint }
}
