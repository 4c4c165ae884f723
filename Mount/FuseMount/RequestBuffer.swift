internal import CFuse3
internal import Glibc

/// Where a thread receives requests: the bytes of a WRITE request begin at a page's start, so that they
/// can go to the disk from here.
@safe struct RequestBuffer: ~Copyable {
    /// What comes before the bytes: `fuse_in_header` and `fuse_write_in` of <linux/fuse.h>.
    private static let headSize = 40 + 40
    private static let pageSize = 4096

    /// For libfuse's calls only.
    var buffer = unsafe fuse_buf()
    private var memory: UnsafeMutableRawPointer?

    init() {}

    deinit { unsafe free(memory ?? buffer.mem) }

    /// `fuse_session_receive_buf`: the size of the request, 0 at the session's end, or an error.
    mutating func receive(from session: OpaquePointer) -> Int32 {
        let size = unsafe fuse_session_receive_buf(session, &buffer)
        if unsafe memory == nil, size > 0 { align(size) }
        return size
    }

    /// Moves the first request, which libfuse made memory for: only it knows how much.
    private mutating func align(_ size: Int32) {
        guard let first = unsafe buffer.mem else { return }
        let room = unsafe malloc_usable_size(first)
        guard
            let made = unsafe aligned_alloc(
                Self.pageSize, (room / Self.pageSize + 2) * Self.pageSize)
        else { return }
        // A page more than `room`, rounded up: `room` bytes follow the place in the first page.
        let place = unsafe made + (Self.pageSize - Self.headSize)
        unsafe place.copyMemory(from: first, byteCount: Int(size))
        unsafe free(first)
        unsafe buffer.mem = place
        unsafe memory = made
    }
}
