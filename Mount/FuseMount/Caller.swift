internal import Glibc

/// Who made a request.
struct Caller: Sendable {
    let uid: UInt32
    let gid: UInt32
    let thread: Int32
    /// In a request that makes something; 0 in others.
    var umask: UInt32 = 0

    /// Nobody in particular, as when pages are written back.
    static let kernel = Caller(uid: 0, gid: 0, thread: 0)

    var isRoot: Bool { uid == 0 }

    /// Whether a group is the caller's, or among their supplementary ones; those no request carries, so
    /// the thread is asked for them, which waits for the answer.
    func isMember(of group: UInt32) -> Bool {
        gid == group || supplementaryGroups.contains(group)
    }

    /// As `/proc/THREAD/status` has them; none if the thread is another namespace's.
    private var supplementaryGroups: [UInt32] {
        let file = unsafe open("/proc/\(thread)/status", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: MountLimits.statusSizeMax)
        // The buffer is as long as is said.
        let count = unsafe read(file, &bytes, bytes.count)
        guard count > 0 else { return [] }
        let line = bytes[..<count].split(separator: UInt8(ascii: "\n")).first {
            $0.starts(with: Array("Groups:".utf8))
        }
        return (line ?? []).split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).compactMap {
            UInt32(String(decoding: $0, as: UTF8.self))
        }
    }
}
