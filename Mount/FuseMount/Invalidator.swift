internal import Base
internal import CFuse3
internal import Share
internal import Synchronization

/// Tells the kernel what to forget, from a thread of its own.
///
/// The kernel takes locks of directories and pages for it, which a request being answered may hold:
/// so never from a request's thread, and with no lock of ours held.
final class Invalidator: VolumeObserver {
    @safe private struct Session: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    private enum Target: Sendable {
        case entry(InodeID, name: [UInt8])
        case attributes(InodeID)
        case content(InodeID)
    }

    private let table: InodeTable
    private let thread: SerialThread
    private let refresh: @Sendable (FileState) -> Bool
    private let session = Mutex<Session?>(nil)
    private let changes: ChangeCount

    /// - Parameter refresh: reads an open file's content anew; whether it is another now.
    init(
        table: InodeTable, changes: ChangeCount,
        refresh: @escaping @Sendable (FileState) -> Bool
    ) throws(MountError) {
        self.table = table
        self.changes = changes
        self.refresh = refresh
        thread = try SerialThread(name: "invalidator")
    }

    /// From now on there is a kernel to tell.
    func begin(_ pointer: OpaquePointer) {
        let begun = unsafe Session(pointer: pointer)
        session.withLock { $0 = begun }
    }

    /// The session is about to be destroyed.
    func end() {
        thread.stop()
        session.withLock { $0 = nil }
    }

    func volumeChanged(_ changes: [ViewChange]) {
        self.changes.increment()
        // What the kernel has never heard of it need not forget.
        let targets = changes.compactMap { change -> Target? in
            switch change {
            case .entry(let directory, let name):
                table.id(of: directory).map { .entry($0, name: name) }
            case .attributes(let node): table.id(of: node).map { .attributes($0) }
            case .content(let node): table.id(of: node).map { .content($0) }
            }
        }
        guard !targets.isEmpty else { return }
        invalidate(targets)
    }

    func forgetAttributes(of id: InodeID) {
        invalidate([.attributes(id)])
    }

    /// Shows a remote change that had to wait.
    func showContent(of file: FileState) {
        invalidate([.content(file.id)])
    }

    private func invalidate(_ targets: [Target]) {
        thread.run { [weak self] in
            guard let self else { return }
            let unknown = targets.filter { self.invalidate($0) == -ENOENT }
            // Not cached; or just being answered from what was read before the change.
            if !unknown.isEmpty { invalidateAgain(unknown) }
        }
    }

    private func invalidateAgain(_ targets: [Target]) {
        thread.run { [weak self] in
            usleep(2000)
            for target in targets { _ = self?.invalidate(target) }
        }
    }

    /// - Returns: 0 or a negative errno, if asking again may help.
    private func invalidate(_ target: Target) -> Int32 {
        guard let session = session.withLock({ $0 }) else { return 0 }
        switch target {
        case .entry(let directory, let name):
            // The call waits for look-ups of the name that are under way.
            unsafe name.withUnsafeBytes { name in
                unsafe _ = fuse_lowlevel_notify_inval_entry(
                    session.pointer, directory.rawValue,
                    name.baseAddress?.assumingMemoryBound(to: CChar.self), name.count)
            }
            // The cached listing, and the directory's times and count of links.
            return unsafe fuse_lowlevel_notify_inval_inode(
                session.pointer, directory.rawValue, 0, 0)
        case .attributes(let id):
            table.find(id)?.file?.expectPrivileges()
            return unsafe fuse_lowlevel_notify_inval_inode(session.pointer, id.rawValue, -1, 0)
        case .content(let id):
            // An open file that keeps its bytes keeps the kernel's pages: they are those bytes.
            let keepsBytes = table.find(id)?.file.map { !refresh($0) } ?? false
            return unsafe fuse_lowlevel_notify_inval_inode(
                session.pointer, id.rawValue, keepsBytes ? -1 : 0, 0)
        }
    }
}
