internal import Base
internal import CFuse3
internal import Chunks
internal import Synchronization

/// What the kernel is told of an entry or an inode.
struct Entry {
    /// The root's is 1; 0 says that there is nothing.
    var id: UInt64
    var status: stat
    /// How long the kernel may keep it, in seconds.
    var cacheSeconds: Double

    var parameters: fuse_entry_param {
        var parameters = fuse_entry_param()
        parameters.ino = id
        parameters.attr = status
        parameters.attr_timeout = cacheSeconds
        parameters.entry_timeout = cacheSeconds
        return parameters
    }
}

/// The duty to answer one kernel request, exactly once. A forgotten reply becomes `EIO`.
///
/// Where a reply gives the kernel something to hold, the result says whether it arrived: an
/// interrupted request is gone, and what it would have held must be taken back.
@safe struct FuseReply: ~Copyable, @unchecked Sendable {
    private let request: fuse_req_t

    init(_ request: fuse_req_t) { unsafe self.request = unsafe request }

    deinit { unsafe _ = fuse_reply_err(request, EIO) }

    /// The caller's identity; not valid for pages the kernel writes back.
    var caller: Caller {
        // libfuse keeps the context in the request, which lives until the reply.
        guard let context = unsafe fuse_req_ctx(request) else { return .kernel }
        return unsafe Caller(
            uid: context.pointee.uid, gid: context.pointee.gid, thread: context.pointee.pid,
            umask: context.pointee.umask)
    }

    /// Whether the caller was sent a signal meanwhile.
    var isInterrupted: Bool { unsafe fuse_req_interrupted(request) != 0 }

    consuming func fail(_ code: Int32) {
        unsafe _ = fuse_reply_err(request, code)
        discard self
    }

    consuming func succeed() {
        unsafe _ = fuse_reply_err(request, 0)
        discard self
    }

    /// A request that has no answer.
    consuming func none() {
        unsafe fuse_reply_none(request)
        discard self
    }

    consuming func entry(_ entry: Entry) -> Bool {
        var parameters = entry.parameters
        let result = unsafe fuse_reply_entry(request, &parameters)
        discard self
        return result == 0
    }

    consuming func created(_ entry: Entry, _ info: fuse_file_info) -> Bool {
        var parameters = entry.parameters
        var info = info
        let result = unsafe fuse_reply_create(request, &parameters, &info)
        discard self
        return result == 0
    }

    consuming func opened(_ info: fuse_file_info) -> Bool {
        var info = info
        let result = unsafe fuse_reply_open(request, &info)
        discard self
        return result == 0
    }

    consuming func attributes(_ status: stat, cacheSeconds: Double) {
        var status = status
        unsafe _ = fuse_reply_attr(request, &status, cacheSeconds)
        discard self
    }

    /// - Parameter target: without a zero byte.
    consuming func link(_ target: [UInt8]) {
        var target = target.map { CChar(bitPattern: $0) }
        target.append(0)
        // The array ends in the zero that C wants.
        unsafe _ = target.withUnsafeBufferPointer { target in
            unsafe fuse_reply_readlink(request, target.baseAddress)
        }
        discard self
    }

    @discardableResult
    consuming func bytes(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        let result = unsafe fuse_reply_buf(request, start, bytes.count)
        discard self
        return result == 0
    }

    /// Bytes that stand in files; they do not pass through this process.
    ///
    /// - Precondition: at most `MountLimits.spliceRangesMax` parts.
    consuming func stored(_ parts: [StoredRange]) {
        precondition(parts.count <= MountLimits.spliceRangesMax)
        let wanted = parts.map { part in
            holdfast_part(descriptor: part.descriptor, offset: part.offset, size: part.count)
        }
        unsafe wanted.withUnsafeBufferPointer { wanted in
            // `parts` holds the descriptors open during the call.
            withExtendedLifetime(parts) {
                unsafe _ = holdfast_reply_parts(request, wanted.baseAddress, wanted.count)
            }
        }
        discard self
    }

    consuming func bytes(_ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { bytes in
            let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            unsafe _ = fuse_reply_buf(request, start, bytes.count)
        }
        discard self
    }

    consuming func wrote(_ count: Int) {
        unsafe _ = fuse_reply_write(request, count)
        discard self
    }

    consuming func attributeSize(_ size: Int) {
        unsafe _ = fuse_reply_xattr(request, size)
        discard self
    }

    consuming func position(_ offset: UInt64) {
        unsafe _ = fuse_reply_lseek(request, off_t(clamping: offset))
        discard self
    }

    consuming func statistics(_ statistics: statvfs) {
        var statistics = statistics
        unsafe _ = fuse_reply_statfs(request, &statistics)
        discard self
    }

    /// The request itself, for `PendingReply`.
    fileprivate var pointer: fuse_req_t { unsafe request }

    /// Adds a directory entry to a reply's buffer.
    ///
    /// - Returns: the bytes it takes; more than the buffer has: it was not added.
    borrowing func add(
        _ name: UnsafePointer<CChar>, _ entry: Entry, next: Int, plus: Bool,
        to buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        let start = unsafe buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
        if plus {
            var parameters = entry.parameters
            return unsafe fuse_add_direntry_plus(
                request, start, buffer.count, name, &parameters, off_t(next))
        }
        var status = entry.status
        return unsafe fuse_add_direntry(request, start, buffer.count, name, &status, off_t(next))
    }
}

/// A reply that waits for something. Whoever takes it first answers: the one who has the bytes, or
/// the one who sees the caller interrupted.
@safe final class PendingReply: @unchecked Sendable {
    private let reply: Mutex<FuseReply?>
    private let request: fuse_req_t
    private let interrupts: SerialThread
    private let ended: @Sendable () -> Void

    /// - Parameters:
    ///   - interrupts: where interrupted callers are answered; not in libfuse's callback, which still
    ///     uses the request when it returns.
    ///   - ended: called once, when somebody has taken the reply.
    init(
        _ reply: consuming FuseReply, interrupts: SerialThread,
        ended: @escaping @Sendable () -> Void
    ) {
        unsafe request = reply.pointer
        self.reply = Mutex(reply)
        self.interrupts = interrupts
        self.ended = ended
    }

    /// Whether somebody has taken the reply.
    var isAnswered: Bool {
        reply.withLock { reply in
            switch reply {
            case .none: true
            case .some: false
            }
        }
    }

    /// To be called once, right after `init`, before anyone else has the object.
    func watchForInterrupt() {
        // The reference is given back by `take`, after which libfuse calls no more. The request
        // lives until then; and `take` on another thread waits in libfuse for this call to end.
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        unsafe fuse_req_interrupt_func(
            request,
            { _, context in
                guard let context = unsafe context else { return }
                let pending = unsafe Unmanaged<PendingReply>.fromOpaque(context)
                    .takeUnretainedValue()
                pending.interrupts.run { pending.take()?.fail(EINTR) }
            }, context)
    }

    /// The reply, for the first who asks.
    func take() -> FuseReply? {
        guard let reply = reply.withLock({ $0.take() }) else { return nil }
        unsafe fuse_req_interrupt_func(request, nil, nil)
        // Retained by `watchForInterrupt`.
        unsafe Unmanaged.passUnretained(self).release()
        ended()
        return reply
    }

    func fail(_ code: Int32) {
        take()?.fail(code)
    }
}
