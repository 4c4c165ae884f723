internal import Base
internal import CFuse3
internal import Chunks
internal import Share

/// One open of a file; the kernel carries it as a number.
final class FileHandle: Sendable {
    let file: FileState
    let isWriter: Bool
    /// The thread that opened it.
    let thread: Int32

    init(file: FileState, isWriter: Bool, thread: Int32) {
        self.file = file
        self.isWriter = isWriter
        self.thread = thread
    }
}

extension Filesystem {
    // MARK: Opening and closing

    func open(_ id: InodeID, _ info: fuse_file_info, _ reply: consuming FuseReply) {
        if id.isVirtual { return virtualOpen(id, info, reply) }
        let caller = reply.caller
        let flags = info.flags
        let result = Result { () throws(VolumeError) in
            let file = try pinLoaded(id)
            do throws(VolumeError) {
                if flags & O_TRUNC != 0 {
                    try change(file, by: caller) { () throws(StorageError) in
                        try file.truncate(to: 0, in: depot, chunks: chunks)
                    }
                }
            } catch {
                table.unpin(file)
                throw error
            }
            let isWriter = flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0
            return FileHandle(file: file, isWriter: isWriter, thread: caller.thread)
        }
        switch result {
        case .success(let handle):
            let number = KernelHandle.retain(handle)
            if !reply.opened(opened(info, number, handle)) { release(number) }
        case .failure(let error): reply.fail(code(error))
        }
    }

    func create(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, mode: UInt32, _ info: fuse_file_info,
        _ reply: consuming FuseReply
    ) {
        let before = changes.now
        let caller = reply.caller
        let result = Result { () throws(VolumeError) -> (Entry, FileHandle) in
            let attributes = try unsafe make(
                parent, name, .file, mode: mode, device: 0, target: [], uid: caller.uid,
                gid: caller.gid)
            let entry = bind(attributes, readAt: before)
            let id = InodeID(rawValue: entry.id)
            do throws(VolumeError) {
                let file = try pinLoaded(id)
                file.notePrivileges(setID: mode & 0o6000 != 0, capability: false)
                return (entry, FileHandle(file: file, isWriter: true, thread: caller.thread))
            } catch {
                table.forget(id)
                throw error
            }
        }
        switch result {
        case .success((let entry, let handle)):
            let number = KernelHandle.retain(handle)
            if !reply.created(entry, opened(info, number, handle)) {
                release(number)
                table.forget(InodeID(rawValue: entry.id))
            }
        case .failure(let error): reply.fail(code(error))
        }
    }

    /// What is said of an opened file: all changes come through us or are invalidated, so the kernel
    /// may keep its pages; and who cannot write needs no flush.
    private func opened(
        _ info: fuse_file_info, _ number: UInt64, _ handle: FileHandle
    ) -> fuse_file_info {
        var info = info
        info.fh = number
        let keepsPages: Int32 = handle.file.takePages() ? 1 : 0
        unsafe holdfast_set_open_flags(&info, keepsPages, 0, handle.isWriter ? 0 : 1)
        return info
    }

    /// A descriptor was closed. The last one of the program that opened the file publishes here, so
    /// that close tells of errors; descriptors that children inherited do not.
    func flush(_ handle: FileHandle, _ reply: consuming FuseReply) {
        guard handle.isWriter, reply.caller.thread == handle.thread else { return reply.succeed() }
        answer(reply, Result { () throws(VolumeError) in try publisher.publish(handle.file) })
    }

    /// The last descriptor of an open is gone.
    func release(_ number: UInt64) {
        guard let handle = KernelHandle.release(number) as? FileHandle else { return }
        if handle.isWriter {
            do {
                try publisher.publish(handle.file)
            } catch {
                log("saving goes on later: \(error)")
            }
        }
        table.unpin(handle.file)
    }

    func fsync(_ handle: FileHandle, _ reply: consuming FuseReply) {
        answer(reply, Result { () throws(VolumeError) in try publisher.makeDurable(handle.file) })
    }

    func fsyncdir(_ reply: consuming FuseReply) {
        answer(reply, Result { () throws(VolumeError) in try volume.sync() })
    }

    private func answer(_ reply: consuming FuseReply, _ result: Result<Void, VolumeError>) {
        switch result {
        case .success: reply.succeed()
        case .failure(let error): reply.fail(code(error))
        }
    }

    // MARK: Reading

    func read(
        _ handle: FileHandle, at offset: UInt64, count: Int, _ reply: consuming FuseReply
    ) {
        let buffer = unsafe buffers.borrow(count)
        // The reply is sent before the buffer goes back.
        defer { unsafe buffers.giveBack(buffer) }
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        do {
            switch try unsafe handle.file.read(at: offset, into: part) {
            case .bytes(let count):
                unsafe reply.bytes(UnsafeRawBufferPointer(rebasing: part[..<count]))
            case .missing(let missing):
                fetch(missing, reply) { pending in
                    self.readAgain(handle, at: offset, count: count, pending)
                }
            }
        } catch {
            reply.fail(code(.storage(error)))
        }
    }

    /// - Returns: chunks that are still missing; nil when it is answered.
    private func readAgain(
        _ handle: FileHandle, at offset: UInt64, count: Int, _ pending: PendingReply
    ) -> [ChunkReference]? {
        let buffer = unsafe buffers.borrow(count)
        // As in `read`.
        defer { unsafe buffers.giveBack(buffer) }
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        do {
            switch try unsafe handle.file.read(at: offset, into: part) {
            case .bytes(let count):
                unsafe pending.take()?.bytes(UnsafeRawBufferPointer(rebasing: part[..<count]))
                return nil
            case .missing(let missing): return missing
            }
        } catch {
            pending.fail(code(.storage(error)))
            return nil
        }
    }

    func lseek(
        _ handle: FileHandle, from offset: UInt64, whence: Int32, _ reply: consuming FuseReply
    ) {
        let isData = Int(whence) == HOLDFAST_SEEK_DATA
        guard isData || Int(whence) == HOLDFAST_SEEK_HOLE else { return reply.fail(EINVAL) }
        do {
            switch try handle.file.seek(data: isData, from: offset) {
            case .offset(let found): reply.position(found)
            case .none: reply.fail(ENXIO)
            case .missing(let missing):
                fetch([missing], reply) { pending in
                    self.seekAgain(handle, from: offset, isData: isData, pending)
                }
            }
        } catch {
            reply.fail(code(.storage(error)))
        }
    }

    private func seekAgain(
        _ handle: FileHandle, from offset: UInt64, isData: Bool, _ pending: PendingReply
    ) -> [ChunkReference]? {
        do {
            switch try handle.file.seek(data: isData, from: offset) {
            case .offset(let found): pending.take()?.position(found)
            case .none: pending.fail(ENXIO)
            case .missing(let missing): return [missing]
            }
        } catch {
            pending.fail(code(.storage(error)))
        }
        return nil
    }

    // MARK: Writing

    /// - Parameter isPage: the kernel writes a mapped page back; nobody in particular is the caller.
    func write(
        _ handle: FileHandle, _ bytes: UnsafeRawBufferPointer, at offset: UInt64, isPage: Bool,
        _ reply: consuming FuseReply
    ) {
        let end = offset.addingReportingOverflow(UInt64(bytes.count))
        guard !end.overflow, end.partialValue <= MountLimits.fileSizeMax else {
            return reply.fail(EFBIG)
        }
        let file = handle.file
        do {
            try waitForRoom(reply)
            try change(file, by: isPage ? .kernel : reply.caller) { () throws(StorageError) in
                try unsafe file.write(bytes, at: offset, in: depot)
            }
        } catch {
            return reply.fail(code(error))
        }
        reply.wrote(bytes.count)
    }

    /// Blocks a writer while too much is staged; who is interrupted gets on, and all at the end.
    private func waitForRoom(_ reply: borrowing FuseReply) throws(VolumeError) {
        guard depot.bytesUsed >= depot.bytesMax else { return }
        publisher.relieve()
        try lift { () throws(StorageError) in
            try depot.waitForRoom(isInterrupted: { reply.isInterrupted || mustNotWait })
        }
    }

    /// Changes a file's content, with all that goes with it.
    ///
    /// - Parameter caller: root keeps setuid and setgid bits.
    func change(
        _ file: FileState, by caller: Caller, _ body: () throws(StorageError) -> FileState.Change
    ) throws(VolumeError) {
        try clearPrivileges(of: file, by: caller)
        let change = try lift(body)
        if change.wasClean { publisher.noteDirty(file) }
        if change.isLarge { publisher.flatten(file) }
    }

    func fallocate(
        _ handle: FileHandle, mode: Int32, at offset: UInt64, count: UInt64,
        _ reply: consuming FuseReply
    ) {
        let keepsSize = mode & FALLOC_FL_KEEP_SIZE != 0
        let end = offset.addingReportingOverflow(count)
        guard !end.overflow, end.partialValue <= MountLimits.fileSizeMax else {
            return reply.fail(EFBIG)
        }
        let caller = reply.caller
        let result = Result { () throws(VolumeError) in
            switch mode & ~FALLOC_FL_KEEP_SIZE {
            case 0:
                // Nothing is set aside; but what could never be written is refused now.
                let size = handle.file.size
                if end.partialValue > size {
                    let statistics = try volume.statistics()
                    guard end.partialValue - max(offset, size) <= statistics.diskBytesFree else {
                        throw .storage(.full)
                    }
                }
                guard !keepsSize, end.partialValue > size else {
                    return try clearPrivileges(of: handle.file, by: caller)
                }
                try change(handle.file, by: caller) { () throws(StorageError) in
                    try handle.file.truncate(to: end.partialValue, in: depot, chunks: chunks)
                }
            case FALLOC_FL_PUNCH_HOLE where keepsSize, FALLOC_FL_ZERO_RANGE:
                try change(handle.file, by: caller) { () throws(StorageError) in
                    try handle.file.zero(
                        offset..<end.partialValue, grows: !keepsSize, in: depot)
                }
            default: throw .notSupported
            }
        }
        answer(reply, result)
    }

    // MARK: Copying

    /// One end of a copy.
    struct CopyEnd: Sendable {
        let handle: FileHandle
        let offset: UInt64
    }

    func copyFileRange(
        from source: CopyEnd, to target: CopyEnd, count: Int, _ reply: consuming FuseReply
    ) {
        let caller = reply.caller
        do {
            try waitForRoom(reply)
            switch try copy(from: source, to: target, count: count, by: caller) {
            case .bytes(let copied): reply.wrote(copied)
            case .missing(let missing):
                fetch(missing, reply) { pending in
                    self.copyAgain(from: source, to: target, count: count, caller, pending)
                }
            }
        } catch {
            reply.fail(code(error))
        }
    }

    private func copyAgain(
        from source: CopyEnd, to target: CopyEnd, count: Int, _ caller: Caller,
        _ pending: PendingReply
    ) -> [ChunkReference]? {
        do {
            switch try copy(from: source, to: target, count: count, by: caller) {
            case .bytes(let copied): pending.take()?.wrote(copied)
            case .missing(let missing): return missing
            }
        } catch {
            pending.fail(code(error))
        }
        return nil
    }

    /// Shares the chunks of a whole file with an empty one; else copies as much as is here.
    private func copy(from source: CopyEnd, to target: CopyEnd, count: Int, by caller: Caller)
        throws(VolumeError) -> FileState.ReadOutcome
    {
        let size = source.handle.file.size
        guard source.offset < size else { return .bytes(0) }
        let count = min(count, Int(clamping: size - source.offset))
        let end = target.offset.addingReportingOverflow(UInt64(count))
        guard !end.overflow, end.partialValue <= MountLimits.fileSizeMax else { throw .tooLarge }
        if source.offset == 0, target.offset == 0, count == size,
            let content = source.handle.file.storedContent, content.size == size,
            source.handle.file !== target.handle.file
        {
            var isShared = false
            try change(target.handle.file, by: caller) { () throws(StorageError) in
                let change = target.handle.file.share(content, chunks: chunks)
                isShared = change != nil
                return change ?? FileState.Change()
            }
            if isShared { return .bytes(count) }
        }
        return try copyBytes(
            from: source, to: target, count: min(count, MountLimits.copySizeMax), by: caller)
    }

    private func copyBytes(from source: CopyEnd, to target: CopyEnd, count: Int, by caller: Caller)
        throws(VolumeError) -> FileState.ReadOutcome
    {
        let buffer = unsafe buffers.borrow(MountLimits.readSizeMax)
        // Used only here.
        defer { unsafe buffers.giveBack(buffer) }
        var copied = 0
        while copied < count {
            let step = min(count - copied, MountLimits.readSizeMax)
            // `step` is at most the buffer's size, and so is what was read.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<step])
            let outcome = try lift { () throws(StorageError) in
                try unsafe source.handle.file.read(
                    at: source.offset + UInt64(copied), into: part)
            }
            guard case .bytes(let read) = outcome else {
                return copied > 0 ? .bytes(copied) : outcome
            }
            guard read > 0 else { break }
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: part[..<read])
            try change(target.handle.file, by: caller) { () throws(StorageError) in
                try unsafe target.handle.file.write(
                    bytes, at: target.offset + UInt64(copied), in: depot)
            }
            copied += read
        }
        return .bytes(copied)
    }

    // MARK: Waiting for chunks

    /// Asks for chunks, then tries again; no thread waits for them.
    ///
    /// - Parameter attempt: answers through what it is given, or names the chunks it lacks.
    func fetch(
        _ missing: [ChunkReference], _ reply: consuming FuseReply,
        _ attempt: @escaping @Sendable (PendingReply) -> [ChunkReference]?
    ) {
        let pending = pending.hold(reply)
        fetch(missing, pending, rounds: MountLimits.fetchRoundsMax, attempt)
    }

    private func fetch(
        _ missing: [ChunkReference], _ pending: PendingReply, rounds: Int,
        _ attempt: @escaping @Sendable (PendingReply) -> [ChunkReference]?
    ) {
        guard !pending.isAnswered else { return }
        guard rounds > 0 else { return pending.fail(EIO) }
        volume.demand(missing) { allHere in
            guard allHere else { return pending.fail(ErrorCode.code(VolumeError.unreachable)) }
            if let missing = attempt(pending) {
                self.fetch(missing, pending, rounds: rounds - 1, attempt)
            }
        }
    }
}
