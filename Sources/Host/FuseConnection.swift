import CLinux
import Glibc

/// The kernel's end of a FUSE mount, from outside of the process that serves it.
///
/// Aborting it gives every program that waits for an answer an error, now and from then on. That is what
/// happens by itself when the last descriptor of the session is closed; but a thread of the process
/// that waits in the kernel for such an answer, or for a lock that somebody holds who does, keeps
/// it open even when the process has been killed.
struct FuseConnection: ~Copyable {
    /// As in `MountEntry`.
    private let device: String
    /// The connection's own switch (fusectl), of this connection and no later one of the same number;
    /// nil where that file system is not mounted, as in most containers.
    private let control: Int32?

    /// - Parameter device: as in `MountEntry`.
    init(device: String) {
        self.device = device
        let number = device.split(separator: ":").last.flatMap { UInt32($0) } ?? 0
        // The path is a terminated copy for the time of the call.
        let opened = unsafe open(
            "/sys/fs/fuse/connections/\(number)/abort", O_WRONLY | O_CLOEXEC)
        control = opened >= 0 ? opened : nil
    }

    deinit {
        if let control { close(control) }
    }

    /// The mount stays where it is, dead: programs must not write into the folder below.
    func abort() {
        if let control {
            let word: [UInt8] = [UInt8(ascii: "1")]
            // One byte of a local.
            if unsafe write(control, word, 1) == 1 { return }
        }
        guard let entry = try? MountTable.current().entries.last(where: { $0.device == device }),
            entry.type == KernelMount.ownType
        else { return }
        // Found without asking who serves it; while it is open the kernel aborts without unmounting.
        let place = unsafe open(entry.mountPoint, 0o10000000 /* O_PATH */ | O_CLOEXEC)
        // Only root may; the path is a terminated copy.
        unsafe _ = holdfast_force_unmount(entry.mountPoint)
        if place >= 0 { close(place) }
    }
}
