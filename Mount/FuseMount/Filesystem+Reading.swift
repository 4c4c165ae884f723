internal import Base
internal import CFuse3
internal import Chunks
internal import Share

/// What programs read from.
protocol ByteSource: Sendable {
    /// Short only at the end.
    ///
    /// - Parameter buffer: filled from its start.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
        -> FileState.ReadOutcome
}

extension FileState: ByteSource {}
extension VirtualHandle: ByteSource {}

/// What programs read from files.
extension Filesystem {
    func read(
        _ handle: FileHandle, at offset: UInt64, count: Int, _ reply: consuming FuseReply
    ) {
        do {
            if let parts = try handle.file.stored(at: offset, count: count) {
                return reply.stored(parts)
            }
        } catch {
            return reply.fail(code(.storage(error)))
        }
        readBytes(of: handle.file, at: offset, count: count, reply)
    }

    /// Answers with bytes; what is not here is fetched first.
    func readBytes(
        of source: some ByteSource, at offset: UInt64, count: Int, _ reply: consuming FuseReply
    ) {
        let buffer = unsafe buffers.borrow(count)
        // The reply is sent before the buffer goes back.
        defer { unsafe buffers.giveBack(buffer) }
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        do {
            switch try unsafe source.read(at: offset, into: part) {
            case .bytes(let count):
                unsafe reply.bytes(UnsafeRawBufferPointer(rebasing: part[..<count]))
            case .missing(let missing):
                fetch(missing, reply) { pending in
                    self.readAgain(source, at: offset, count: count, pending)
                }
            }
        } catch {
            reply.fail(code(.storage(error)))
        }
    }

    /// - Returns: chunks that are still missing; nil when it is answered.
    private func readAgain(
        _ source: some ByteSource, at offset: UInt64, count: Int, _ pending: PendingReply
    ) -> [ChunkReference]? {
        let buffer = unsafe buffers.borrow(count)
        // As in `read`.
        defer { unsafe buffers.giveBack(buffer) }
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        do {
            switch try unsafe source.read(at: offset, into: part) {
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
        if writeBack.isUsed, handle.file.hasWriters {
            // The kernel asks without having sent what was written.
            let pending = pending.hold(reply)
            return writeBack.settle(handle.file) {
                let missing = self.seek(handle, from: offset, isData: isData, pending)
                guard let missing else { return }
                self.fetch(missing, pending, rounds: MountLimits.fetchRoundsMax) { pending in
                    self.seek(handle, from: offset, isData: isData, pending)
                }
            }
        }
        do {
            switch try handle.file.seek(data: isData, from: offset) {
            case .offset(let found): reply.position(found)
            case .none: reply.fail(ENXIO)
            case .missing(let missing):
                fetch([missing], reply) { pending in
                    self.seek(handle, from: offset, isData: isData, pending)
                }
            }
        } catch {
            reply.fail(code(.storage(error)))
        }
    }

    /// - Returns: chunks that are missing; nil when it is answered.
    private func seek(
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
}
