internal import CFuse3
internal import Glibc

/// Where the share is mounted, as a client of it sees that: entered only while it is still ours.
struct MountedPlace: Sendable {
    let path: String
    /// Of the mount: another one's means that something lies over it, or that it is gone.
    let device: dev_t

    /// - Returns: nil if the mount is not in the kernel's table.
    init?(mountedAt path: String) {
        guard let device = MountPoint.device(mountedAt: path) else { return nil }
        self.path = path
        self.device = device
    }

    /// The root directory, to be closed soon: while it is open nobody can unmount.
    func open() -> Int32? {
        let directory = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { return nil }
        if isHere(directory) { return directory }
        close(directory)
        return nil
    }

    /// The same, through a mount of its own, in no place: nobody is kept from unmounting this one, and
    /// the session ends once the descriptor is closed. Who may not mount gets what `open` gives.
    ///
    /// For looking and syncing, which watchers of the mount are not to hear of. It costs 0.2 ms.
    func openApart() -> Int32? { openOwn() ?? open() }

    /// As `openApart`; nil for who may not mount.
    func openOwn() -> Int32? {
        let apart = unsafe holdfast_clone_mount(path)
        guard apart >= 0 else { return nil }
        defer { close(apart) }
        let directory = unsafe openat(apart, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { return nil }
        if isHere(directory) { return directory }
        close(directory)
        return nil
    }

    /// What stands at a path below, looked at without a descriptor that keeps anybody from unmounting for longer
    /// than a moment; nil if that is nothing in the mount.
    func status(of names: [[UInt8]]) -> stat? {
        let bytes = names.reduce(Array(path.utf8)) { $0 + [47] + $1 } + [0]
        let path = bytes.map { CChar(bitPattern: $0) }
        var status = stat()
        // The array ends in the zero that C wants; the structure is a local one.
        guard unsafe lstat(path, &status) == 0, status.st_dev == device else { return nil }
        return status
    }

    /// Whether a descriptor is of something in the mount.
    func isHere(_ file: Int32) -> Bool {
        var status = stat()
        // The structure is a local one.
        return unsafe fstat(file, &status) == 0 && status.st_dev == device
    }

    /// Has the kernel write back what programs wrote.
    func sync() {
        guard let directory = openApart() else { return }
        holdfast_syncfs(directory)
        close(directory)
    }
}
