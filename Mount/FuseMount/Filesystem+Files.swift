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

/// Opening, closing and syncing files.
extension Filesystem {
    func open(_ id: InodeID, _ info: fuse_file_info, _ reply: consuming FuseReply) {
        if id.isVirtual { return virtualOpen(id, info, reply) }
        let caller = reply.caller
        let flags = info.flags
        let isOwn = replay.isOwn(caller)
        let shown = table.find(id)
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
            return handle(file, isWriter: isWriter && !isOwn, thread: caller.thread)
        }
        switch result {
        case .success(let handle):
            refusals.forget(caller)
            let number = KernelHandle.retain(handle)
            let info = opened(info, number, handle, isOwn: isOwn)
            if !isOwn, flags & O_TRUNC == 0, shown?.file == nil, isSizeOld(handle.file) {
                return openCorrected(handle, info, reply)
            }
            if !reply.opened(info) { release(number) }
        case .failure(let error): refuse(reply, error)
        }
    }

    /// Whether the kernel keeps a size of its own, and it is not that of the content opened: another
    /// device changed it a moment ago.
    private func isSizeOld(_ file: FileState) -> Bool {
        writeBack.isUsed && table.find(file.id).map { $0.size != file.size } ?? false
    }

    private func openCorrected(
        _ handle: FileHandle, _ info: fuse_file_info, _ reply: consuming FuseReply
    ) {
        let pending = pending.hold(reply)
        invalidator.correct(handle.file.node) {
            guard let reply = pending.take(), reply.opened(info) else {
                return self.release(info.fh)
            }
        }
    }

    func create(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, mode: UInt32, _ info: fuse_file_info,
        _ reply: consuming FuseReply
    ) {
        let before = changes.now
        let caller = reply.caller
        let result = Result { () throws(VolumeError) -> (Entry, FileHandle) in
            let (place, request) = try unsafe makeRequest(
                parent, name, .file, mode: mode, by: caller)
            let succession = try makeAnew(place, request, by: caller)
            let made: Attributes
            if let succession {
                made = succession.attributes
            } else {
                made = try volume.make(place.name, in: place.directory, request)
            }
            names.noteMade(in: place.directory)
            let id = table.bind(made.node, showing: made.number).id
            do throws(VolumeError) {
                let file = try pinLoaded(id)
                file.notePrivileges(setID: mode & 0o6000 != 0, capability: false)
                if let succession {
                    // The old bytes are the volume's only, until there are new ones.
                    try publisher.rebind(file, to: made.node, parents: succession.versions)
                    try change(file, by: caller) { () throws(StorageError) in
                        try file.truncate(to: 0, in: depot, chunks: chunks)
                    }
                    // The kernel tells no time of a new file before somebody writes to it.
                    _ = file.setModified(made.modified, wallTime: Clock.wallTime())
                }
                let entry = bind(made, readAt: before, at: place)
                table.forget(id)
                table.noteSize(id, 0)
                table.noteTime(id, made.modified)
                return (entry, handle(file, isWriter: true, thread: caller.thread))
            } catch {
                table.forget(id)
                throw error
            }
        }
        switch result {
        case .success((let entry, let handle)):
            refusals.forget(caller)
            let number = KernelHandle.retain(handle)
            if !reply.created(entry, opened(info, number, handle, isOwn: false)) {
                release(number)
                table.forget(InodeID(rawValue: entry.id))
            }
        case .failure(let error): refuse(reply, error)
        }
    }

    private func handle(_ file: FileState, isWriter: Bool, thread: Int32) -> FileHandle {
        if isWriter {
            file.beginWriting()
            writeBack.opened()
        }
        return FileHandle(file: file, isWriter: isWriter, thread: thread)
    }

    /// What is said of an opened file: all changes come through us or are invalidated, so the kernel
    /// may keep its pages; and who cannot write needs no flush.
    private func opened(
        _ info: fuse_file_info, _ number: UInt64, _ handle: FileHandle, isOwn: Bool
    ) -> fuse_file_info {
        var info = info
        info.fh = number
        let keepsPages: Int32 = isOwn || handle.file.takePages() ? 1 : 0
        unsafe holdfast_set_open_flags(&info, keepsPages, 0, handle.isWriter ? 0 : 1)
        return info
    }

    /// A descriptor was closed. The last one of the program that opened the file publishes here, so
    /// that close tells of errors; descriptors that children inherited do not.
    ///
    /// Where the kernel writes back it has sent all by now, and told the program of errors: it need not
    /// ask any more, which would cost every close, also of who only read, a round trip.
    func flush(_ handle: FileHandle, _ reply: consuming FuseReply) {
        if writeBack.isUsed { return reply.fail(ENOSYS) }
        guard handle.isWriter, reply.caller.thread == handle.thread else { return reply.succeed() }
        answer(reply, Result { () throws(VolumeError) in try publisher.publish(handle.file) })
    }

    /// The last descriptor of an open is gone.
    func release(_ number: UInt64) {
        guard let handle = KernelHandle.release(number) as? FileHandle else { return }
        if handle.isWriter {
            handle.file.endWriting()
            writeBack.closed()
            do {
                try publisher.publish(handle.file)
            } catch {
                log("saving goes on later: \(error)")
            }
            if handle.file.isTimeUntold { return takeTime(of: handle.file) }
        }
        table.unpin(handle.file)
    }

    /// Has the kernel say when a file was written last.
    ///
    /// - Parameter file: is unpinned when that is done. Until then it stays, as what knows whether a
    ///   program has set another time meanwhile: most do that, or rename it, as soon as they closed it.
    private func takeTime(of file: FileState) {
        invalidator.askTime(of: file) { [weak self] time in
            guard let self else { return }
            do throws(VolumeError) {
                if let time { try setUntold(time, of: file) }
            } catch {
                log("the time of a file that a killed program wrote is lost: \(error)")
            }
            table.unpin(file)
        }
    }

    func fsync(_ handle: FileHandle, _ reply: consuming FuseReply) {
        answer(reply, Result { () throws(VolumeError) in try publisher.makeDurable(handle.file) })
    }

    func fsyncdir(_ reply: consuming FuseReply) {
        answer(reply, Result { () throws(VolumeError) in try volume.sync() })
    }

    func answer(_ reply: consuming FuseReply, _ result: Result<Void, VolumeError>) {
        switch result {
        case .success: reply.succeed()
        case .failure(let error): refuse(reply, error)
        }
    }
}
