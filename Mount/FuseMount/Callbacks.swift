internal import CFuse3

/// The table of libfuse's callbacks: each makes Swift values of C's and calls one method.
///
/// Not there, so that the kernel does it locally and right: flock and POSIX locks.
enum Callbacks {
    static func table() -> fuse_lowlevel_ops {
        var table = fuse_lowlevel_ops()
        setNames(&table)
        setAttributes(&table)
        setFiles(&table)
        setDirectories(&table)
        unsafe table.`init` = { userdata, connection in
            guard let userdata = unsafe userdata, let connection = unsafe connection else { return }
            unsafe negotiate(&connection.pointee, with: filesystem(of: userdata))
        }
        return table
    }

    private static func setNames(_ table: inout fuse_lowlevel_ops) {
        unsafe table.lookup = { request, parent, name in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).lookup(InodeID(parent), name, FuseReply(request))
        }
        unsafe table.forget = { request, id, count in
            guard let request = unsafe request else { return }
            unsafe filesystem(request).forget(InodeID(id), count, FuseReply(request))
        }
        unsafe table.forget_multi = { request, count, forgets in
            guard let request = unsafe request else { return }
            // libfuse says how many there are.
            let list = unsafe UnsafeBufferPointer(start: forgets, count: count)
            unsafe filesystem(request).forget(list, FuseReply(request))
        }
        unsafe table.mknod = { request, parent, name, mode, device in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).mknod(
                InodeID(parent), name, mode: mode, device: UInt64(device), FuseReply(request))
        }
        unsafe table.mkdir = { request, parent, name, mode in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).mkdir(InodeID(parent), name, mode: mode, FuseReply(request))
        }
        unsafe table.symlink = { request, target, parent, name in
            guard let request = unsafe request, let target = unsafe target,
                let name = unsafe name
            else { return }
            unsafe filesystem(request).symlink(target, InodeID(parent), name, FuseReply(request))
        }
        unsafe table.link = { request, id, parent, name in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).link(InodeID(id), InodeID(parent), name, FuseReply(request))
        }
        unsafe table.unlink = { request, parent, name in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).unlink(InodeID(parent), name, FuseReply(request))
        }
        unsafe table.rmdir = { request, parent, name in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).rmdir(InodeID(parent), name, FuseReply(request))
        }
        unsafe table.rename = { request, parent, name, newParent, newName, flags in
            guard let request = unsafe request, let name = unsafe name,
                let newName = unsafe newName
            else { return }
            unsafe filesystem(request).rename(
                InodeID(parent), name, InodeID(newParent), newName, flags: flags,
                FuseReply(request))
        }
    }

    private static func setAttributes(_ table: inout fuse_lowlevel_ops) {
        unsafe table.getattr = { request, id, _ in
            guard let request = unsafe request else { return }
            unsafe filesystem(request).getattr(InodeID(id), FuseReply(request))
        }
        unsafe table.setattr = { request, id, wanted, valid, info in
            guard let request = unsafe request, let wanted = unsafe wanted else { return }
            unsafe filesystem(request).setattr(
                InodeID(id), wanted.pointee, valid, hasHandle: info != nil, FuseReply(request))
        }
        unsafe table.readlink = { request, id in
            guard let request = unsafe request else { return }
            unsafe filesystem(request).readlink(InodeID(id), FuseReply(request))
        }
        unsafe table.access = { request, id, _ in
            guard let request = unsafe request else { return }
            unsafe filesystem(request).access(InodeID(id), FuseReply(request))
        }
        unsafe table.statfs = { request, _ in
            guard let request = unsafe request else { return }
            unsafe filesystem(request).statfs(FuseReply(request))
        }
        unsafe table.getxattr = { request, id, name, size in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).getxattr(
                InodeID(id), name, size: size, FuseReply(request))
        }
        unsafe table.listxattr = { request, id, size in
            guard let request = unsafe request else { return }
            unsafe filesystem(request).listxattr(InodeID(id), size: size, FuseReply(request))
        }
        unsafe table.setxattr = { request, id, name, value, size, flags in
            guard let request = unsafe request, let name = unsafe name else { return }
            // libfuse says how long the value is.
            let bytes = unsafe UnsafeRawBufferPointer(start: value, count: size)
            unsafe filesystem(request).setxattr(
                InodeID(id), name, bytes, flags: flags, FuseReply(request))
        }
        unsafe table.removexattr = { request, id, name in
            guard let request = unsafe request, let name = unsafe name else { return }
            unsafe filesystem(request).removexattr(InodeID(id), name, FuseReply(request))
        }
    }

    private static func setFiles(_ table: inout fuse_lowlevel_ops) {
        unsafe table.open = { request, id, info in
            guard let request = unsafe request, let info = unsafe info else { return }
            unsafe filesystem(request).open(InodeID(id), info.pointee, FuseReply(request))
        }
        unsafe table.create = { request, parent, name, mode, info in
            guard let request = unsafe request, let name = unsafe name, let info = unsafe info
            else { return }
            unsafe filesystem(request).create(
                InodeID(parent), name, mode: mode, info.pointee, FuseReply(request))
        }
        unsafe table.read = { request, _, size, offset, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            let offset = UInt64(max(offset, 0))
            if let handle = unsafe file(info) {
                unsafe filesystem(request).read(handle, at: offset, count: size, reply)
            } else if let handle = unsafe virtual(info) {
                unsafe filesystem(request).readBytes(of: handle, at: offset, count: size, reply)
            } else {
                reply.fail(EBADF)
            }
        }
        unsafe table.write = { request, _, bytes, size, offset, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            guard let info = unsafe info, let handle = unsafe file(info) else {
                return reply.fail(EBADF)
            }
            // libfuse says how many bytes there are.
            let buffer = unsafe UnsafeRawBufferPointer(start: bytes, count: size)
            unsafe filesystem(request).write(
                handle, buffer, at: UInt64(max(offset, 0)), isPage: info.pointee.writepage != 0,
                reply)
        }
        unsafe table.flush = { request, _, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            guard let handle = unsafe file(info) else { return unsafe synced(info, reply) }
            unsafe filesystem(request).flush(handle, reply)
        }
        unsafe table.release = { request, _, info in
            guard let request = unsafe request, let info = unsafe info else { return }
            let number = unsafe info.pointee.fh
            let filesystem = unsafe filesystem(request)
            // Nobody waits for the answer.
            unsafe FuseReply(request).succeed()
            filesystem.release(number)
        }
        unsafe table.fsync = { request, _, _, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            guard let handle = unsafe file(info) else { return unsafe synced(info, reply) }
            unsafe filesystem(request).fsync(handle, reply)
        }
        unsafe table.lseek = { request, _, offset, whence, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            let offset = UInt64(max(offset, 0))
            if let handle = unsafe file(info) {
                unsafe filesystem(request).lseek(handle, from: offset, whence: whence, reply)
            } else if let handle = unsafe virtual(info) {
                unsafe filesystem(request).lseek(handle, from: offset, whence: whence, reply)
            } else {
                reply.fail(EBADF)
            }
        }
        unsafe table.fallocate = { request, _, mode, offset, count, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            guard let handle = unsafe file(info) else { return reply.fail(EBADF) }
            unsafe filesystem(request).fallocate(
                handle, mode: mode, at: UInt64(max(offset, 0)), count: UInt64(max(count, 0)),
                reply)
        }
        unsafe table.copy_file_range = {
            request, _, offset, info, _, newOffset, newInfo, count, _ in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            guard let handle = unsafe file(info) else {
                // The kernel copies by reading and writing then.
                return reply.fail(unsafe virtual(info) == nil ? EBADF : EOPNOTSUPP)
            }
            guard let newInfo = unsafe newInfo,
                let newHandle = unsafe file(newInfo)
            else { return reply.fail(EBADF) }
            unsafe filesystem(request).copyFileRange(
                from: .init(handle: handle, offset: UInt64(max(offset, 0))),
                to: .init(handle: newHandle, offset: UInt64(max(newOffset, 0))), count: count,
                reply)
        }
    }

    private static func setDirectories(_ table: inout fuse_lowlevel_ops) {
        unsafe table.opendir = { request, id, info in
            guard let request = unsafe request, let info = unsafe info else { return }
            unsafe filesystem(request).opendir(InodeID(id), info.pointee, FuseReply(request))
        }
        unsafe table.readdir = { request, id, size, offset, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            guard let handle = unsafe directory(info) else { return reply.fail(EBADF) }
            unsafe filesystem(request).readdir(
                InodeID(id), handle, size: size, from: offset, plus: false, reply)
        }
        unsafe table.readdirplus = { request, id, size, offset, info in
            guard let request = unsafe request else { return }
            let reply = unsafe FuseReply(request)
            guard let handle = unsafe directory(info) else { return reply.fail(EBADF) }
            unsafe filesystem(request).readdir(
                InodeID(id), handle, size: size, from: offset, plus: true, reply)
        }
        unsafe table.releasedir = { request, _, info in
            guard let request = unsafe request, let info = unsafe info else { return }
            unsafe filesystem(request).releasedir(info.pointee.fh)
            unsafe FuseReply(request).succeed()
        }
        unsafe table.fsyncdir = { request, _, _, _ in
            guard let request = unsafe request else { return }
            unsafe filesystem(request).fsyncdir(FuseReply(request))
        }
    }
}

private func negotiate(_ connection: inout fuse_conn_info, with filesystem: Filesystem) {
    // We see every change and invalidate what comes from elsewhere: the kernel must not drop
    // pages because a time differs. Symlinks never change; but what a contained mount says of one
    // depends on where it stands.
    let wanted =
        UInt32(FUSE_CAP_EXPLICIT_INVAL_DATA) | UInt32(FUSE_CAP_EXPORT_SUPPORT)
        | (filesystem.symlinks == nil ? UInt32(FUSE_CAP_CACHE_SYMLINKS) : 0)
        | UInt32(FUSE_CAP_SPLICE_WRITE)
        | (filesystem.options.wantsWriteBack ? UInt32(FUSE_CAP_WRITEBACK_CACHE) : 0)
    // What a read finds in a pack is spliced: a quarter less time for a cold sequential read.
    // Splicing requests in would cost each a call more, for one of three copies of what is written.
    // The first version of KILLPRIV is replaced by the second, which the hook asks for. When direct I/O of aio(7) completes on its own,
    // the kernel leaves pages that were read meanwhile (xfstests generic/451): one must wait for it.
    let refused =
        UInt32(FUSE_CAP_AUTO_INVAL_DATA) | UInt32(FUSE_CAP_SPLICE_READ)
        | UInt32(FUSE_CAP_SPLICE_MOVE)
        | UInt32(FUSE_CAP_HANDLE_KILLPRIV) | UInt32(FUSE_CAP_ASYNC_DIO)
    connection.want |= wanted & connection.capable
    connection.want &= ~refused
    filesystem.writeBack.use(connection.want & UInt32(FUSE_CAP_WRITEBACK_CACHE) != 0)
    connection.max_background = MountLimits.backgroundRequestsMax
    connection.congestion_threshold = MountLimits.backgroundRequestsMax * 3 / 4
}

/// The object that answers; it outlives the session.
private func filesystem(_ request: fuse_req_t) -> Filesystem {
    unsafe filesystem(of: fuse_req_userdata(request))
}

private func filesystem(of userdata: UnsafeMutableRawPointer) -> Filesystem {
    // `FuseMount` gives the session a pointer to this structure, which it frees last.
    let session = unsafe userdata.assumingMemoryBound(to: holdfast_session.self)
    return unsafe Unmanaged<Filesystem>.fromOpaque(session.pointee.filesystem)
        .takeUnretainedValue()
}

private func file(_ info: UnsafeMutablePointer<fuse_file_info>?) -> FileHandle? {
    guard let info = unsafe info else { return nil }
    return unsafe KernelHandle.object(info.pointee.fh) as? FileHandle
}

private func virtual(_ info: UnsafeMutablePointer<fuse_file_info>?) -> VirtualHandle? {
    guard let info = unsafe info else { return nil }
    return unsafe KernelHandle.object(info.pointee.fh) as? VirtualHandle
}

/// What is never written is always on disk.
private func synced(
    _ info: UnsafeMutablePointer<fuse_file_info>?, _ reply: consuming FuseReply
) {
    if unsafe virtual(info) == nil { reply.fail(EBADF) } else { reply.succeed() }
}

private func directory(_ info: UnsafeMutablePointer<fuse_file_info>?) -> DirectoryHandle? {
    guard let info = unsafe info else { return nil }
    return unsafe KernelHandle.object(info.pointee.fh) as? DirectoryHandle
}

extension InodeID {
    fileprivate init(_ id: fuse_ino_t) { self.init(rawValue: id) }
}
