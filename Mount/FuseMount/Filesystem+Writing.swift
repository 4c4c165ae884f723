internal import Base
internal import CFuse3
internal import Chunks
internal import Share

/// What changes the contents of files.
extension Filesystem {
    /// - Parameter isPage: the kernel writes a mapped page back; nobody in particular is the caller.
    func write(
        _ handle: FileHandle, _ bytes: UnsafeRawBufferPointer, at offset: UInt64, isPage: Bool,
        _ reply: consuming FuseReply
    ) {
        let end = offset.addingReportingOverflow(UInt64(bytes.count))
        let file = handle.file
        guard !end.overflow, end.partialValue <= MountLimits.fileSizeMax else {
            if isPage { file.noteLoss() }
            return reply.fail(EFBIG)
        }
        do {
            try waitForRoom(reply)
            if isPage, !file.isDirty { try requireSpace() }
            try change(file, by: isPage ? .kernel : reply.caller) { () throws(StorageError) in
                try unsafe file.write(bytes, at: offset, in: depot)
            }
        } catch {
            if isPage { file.noteLoss() }
            return reply.fail(code(error))
        }
        reply.wrote(bytes.count)
        // Now that nobody waits for it.
        if bytes.count >= MountLimits.largeWriteMin { file.letDiskBegin() }
    }

    /// The last moment to tell a program that the disk is full: its bytes become a version when nobody
    /// waits any more.
    private func requireSpace() throws(VolumeError) {
        while try volume.statistics().diskBytesFree < MountLimits.freeBytesMin {
            guard depot.dropSpares() else { throw .storage(.full) }
        }
    }

    /// Blocks a writer while too much is staged; who is interrupted gets on, and all at the end.
    func waitForRoom(_ reply: borrowing FuseReply) throws(VolumeError) {
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
}
