internal import Base
internal import CFuse3
internal import Chunks
internal import Share

/// copy_file_range(2).
extension Filesystem {
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
}
