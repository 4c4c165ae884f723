internal import CFuse3
internal import Synchronization

/// What the kernel keeps of the mount, and how it is told to forget.
///
/// It takes locks of directories and pages for that, which a request being answered may hold: so never
/// from a thread that answers one about the same directory or file (except where said), and with no
/// lock of ours held.
final class KernelCache: Sendable {
    @safe private struct Session: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    private let session = Mutex<Session?>(nil)
    private let table: InodeTable

    init(table: InodeTable) { self.table = table }

    /// From now on there is a kernel to tell.
    func begin(_ pointer: OpaquePointer) {
        let begun = unsafe Session(pointer: pointer)
        session.withLock { $0 = begun }
    }

    /// The session is about to be destroyed.
    func end() { session.withLock { $0 = nil } }

    /// A name, found or not. Waits for look-ups of it that are under way.
    func forgetEntry(_ place: NamePlace) {
        guard let directory = table.id(of: place.directory),
            let session = session.withLock({ $0 })
        else { return }
        unsafe place.name.withUnsafeBytes { name in
            unsafe _ = fuse_lowlevel_notify_inval_entry(
                session.pointer, directory.rawValue,
                name.baseAddress?.assumingMemoryBound(to: CChar.self), name.count)
        }
    }

    /// A directory's listing, and its times and count of links.
    @discardableResult
    func forgetListing(of directory: InodeID) -> Bool { forget(directory, from: 0) }

    /// - Returns: false if the kernel does not know the inode, or not yet.
    @discardableResult
    func forgetAttributes(of id: InodeID) -> Bool {
        table.find(id)?.file?.expectPrivileges()
        return forget(id, from: -1)
    }

    /// Has the kernel send what programs wrote into a file, and drop its pages. Waits for both, on
    /// locks of pages only: whoever answers a change of the file's attributes may call it.
    @discardableResult
    func takePages(of id: InodeID) -> Bool { forget(id, from: 0) }

    /// Has the kernel take a greater size of a file whose size it keeps by itself, in bytes. It drops the
    /// file's pages, and may wait for those that are being read.
    func extend(_ id: InodeID, to size: UInt64) {
        guard size > 0, let session = session.withLock({ $0 }) else { return }
        // It takes a size from bytes only that it is given, and whatever stands there: it is dropped at once.
        var byte: UInt8 = 0
        unsafe withUnsafeMutablePointer(to: &byte) { byte in
            var buffer = unsafe fuse_bufvec(
                count: 1, idx: 0, off: 0,
                buf: fuse_buf(
                    size: 1, flags: fuse_buf_flags(0), mem: UnsafeMutableRawPointer(byte), fd: -1,
                    pos: 0))
            unsafe _ = fuse_lowlevel_notify_store(
                session.pointer, id.rawValue, off_t(clamping: size - 1), &buffer,
                fuse_buf_copy_flags(0))
        }
        takePages(of: id)
    }

    private func forget(_ id: InodeID, from offset: off_t) -> Bool {
        guard let session = session.withLock({ $0 }) else { return true }
        return unsafe fuse_lowlevel_notify_inval_inode(session.pointer, id.rawValue, offset, 0)
            != -ENOENT
    }
}
