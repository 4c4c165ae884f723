internal import CFuse3

/// What stands at the beginning of a request (linux/fuse.h: fuse_in_header, fuse_read_in).
struct RequestHead {
    private let kind: RequestKind?
    /// Bytes that a read asks for, or a write brings; 0 for others.
    private let size: UInt32
    /// The thread that asks; 0 if the kernel does on its own account.
    let caller: UInt32

    /// - Parameter buffer: as it came from the kernel.
    init(_ buffer: borrowing fuse_buf) {
        unsafe self.init(UnsafeRawBufferPointer(start: buffer.mem, count: buffer.size))
    }

    /// - Parameter bytes: of the request; what is missing at its end is taken for zeros.
    init(_ bytes: UnsafeRawBufferPointer) {
        func word(at offset: Int) -> UInt32? {
            guard bytes.count >= offset + 4 else { return nil }
            return unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        }
        kind = word(at: HOLDFAST_IN_OPCODE).flatMap(RequestKind.init(rawValue:))
        caller = word(at: HOLDFAST_IN_PID) ?? 0
        size =
            kind == .read || kind == .write
            ? word(at: HOLDFAST_IN_HEADER + HOLDFAST_READ_IN_SIZE) ?? 0 : 0
    }

    /// Whether somebody waits for the answer. Nobody does for a page that the kernel writes back; and they come many
    /// at once, of one file, where threads would only wait for each other.
    var isWaitedFor: Bool { !isWrittenBack && kind?.isWaitedFor ?? true }

    private var isWrittenBack: Bool { kind == .write && caller == 0 }

    /// Whether the kernel forgets something after the answer, and so has a request that nobody waits for.
    var isForgottenAfter: Bool {
        switch kind {
        case .unlink, .rmdir, .rename, .rename2: true
        default: false
        }
    }

    /// Whether the answer takes longer than it takes another thread to wake up.
    var takesLong: Bool {
        switch kind {
        case .fsync, .fsyncdir, .syncfs, .fallocate, .copyFileRange, .setlkw: true
        case .read, .write: size > MountLimits.quickTransferMax
        default: false
        }
    }
}
