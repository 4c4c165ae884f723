internal import Base
internal import CFuse3
internal import Chunks
internal import Share

/// The requests about what the mount makes up. Everything that would change it ends in `inode` and
/// `directory`, which know no virtual ids and say so with EROFS.
extension Filesystem {
    /// Whether a name is the mount's own, or in a folder that is.
    func isVirtual(_ name: UnsafePointer<CChar>, in parent: InodeID) -> Bool {
        guard parent == .root else { return parent.isVirtual }
        guard virtual != nil else { return false }
        // Nearly no name gets past its first byte.
        return unsafe VirtualFolder.name.withUnsafeBufferPointer { own in
            // The kernel's names end in a zero byte, so the comparison stops there at the latest.
            for index in own.indices {
                guard unsafe UInt8(bitPattern: name[index]) == own[index] else { return false }
            }
            return unsafe name[own.count] == 0
        }
    }

    /// Keeps what comes from the root's list from standing beside the mount's own folder.
    func isVirtual(_ item: DirectoryItem, in directory: InodeID) -> Bool {
        directory == .root && virtual != nil && item.name == VirtualFolder.name
    }

    private func virtualFolder() throws(VolumeError) -> VirtualFolder {
        guard let virtual else { throw .stale }
        return virtual
    }

    func virtualLookup(
        _ name: UnsafePointer<CChar>, in parent: InodeID, _ reply: consuming FuseReply
    ) {
        let result = Result { () throws(VolumeError) in
            try virtualFolder().bind(try unsafe self.name(name), in: parent)
        }
        switch result {
        case .success(nil):
            let root = Result { () throws(VolumeError) in
                bind(try volume.attributes(of: .root), readAt: changes.now, at: nil)
            }
            switch root {
            case .success(let entry): self.reply(reply, entry)
            case .failure(let error): reply.fail(code(error))
            }
        case .success(let item?):
            // Nothing tells us when it changes: the kernel asks each time.
            let entry = Entry(
                id: item.id.rawValue, status: status(attributes(of: item)), cacheSeconds: 0)
            if !reply.entry(entry) { virtual?.forget(item.id) }
        case .failure(let error): reply.fail(code(error))
        }
    }

    func virtualAttributes(_ id: InodeID, _ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) in
            attributes(of: try virtualFolder().find(id))
        }
        switch result {
        case .success(let attributes): reply.attributes(status(attributes), cacheSeconds: 0)
        case .failure(let error): reply.fail(code(error))
        }
    }

    private func attributes(of item: VirtualFolder.Item) -> Attributes {
        let node = item.node
        var size: UInt64 = 0
        var modified = node.modified ?? began
        switch node.body {
        case .text: modified = node.modified ?? Clock.wallTime()
        case .content(let known, _): size = known
        case .link(let target): size = UInt64(target.count)
        case .directory: break
        }
        return Attributes(
            node: NodeID(rawValue: item.id.rawValue), kind: node.kind, mode: node.mode,
            links: node.kind == .directory ? 2 : 1, uid: node.owner?.user ?? geteuid(),
            gid: node.owner?.group ?? getegid(), device: 0, size: size, modified: modified,
            changed: modified, accessed: modified)
    }

    func virtualLink(_ id: InodeID, _ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) -> [UInt8] in
            guard case .link(let target) = try virtualFolder().find(id).node.body else {
                throw .notSupported
            }
            return target
        }
        switch result {
        case .success(let target): reply.link(target)
        case .failure(let error): reply.fail(code(error))
        }
    }

    // MARK: Files

    func virtualOpen(_ id: InodeID, _ info: fuse_file_info, _ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) in
            guard info.flags & O_ACCMODE == O_RDONLY, info.flags & O_TRUNC == 0 else {
                throw .readOnly
            }
            return try VirtualHandle(try virtualFolder().find(id).node, chunks: chunks)
        }
        switch result {
        case .success(let handle):
            var info = info
            info.fh = KernelHandle.retain(handle)
            // An id stands for the same bytes for ever, so its pages may be kept.
            unsafe holdfast_set_open_flags(&info, handle.isText ? 0 : 1, 0, 1)
            unsafe holdfast_set_direct(&info, handle.isText ? 1 : 0)
            let number = info.fh
            if !reply.opened(info) { _ = KernelHandle.release(number) }
        case .failure(let error): reply.fail(code(error))
        }
    }

    func lseek(
        _ handle: VirtualHandle, from offset: UInt64, whence: Int32, _ reply: consuming FuseReply
    ) {
        let isData = Int(whence) == HOLDFAST_SEEK_DATA
        guard isData || Int(whence) == HOLDFAST_SEEK_HOLE else { return reply.fail(EINVAL) }
        do {
            switch try handle.seek(data: isData, from: offset) {
            case .offset(let found): reply.position(found)
            // A list that is not here: then all of it may be data.
            case .missing where isData: reply.position(offset)
            case .none, .missing: reply.fail(ENXIO)
            }
        } catch {
            reply.fail(code(.storage(error)))
        }
    }

    // MARK: Directories

    func virtualListing(of id: InodeID) throws(VolumeError) -> DirectoryHandle.Listing {
        let folder = try virtualFolder()
        let item = try folder.find(id)
        guard case .directory(let directory) = item.node.body else { throw .notDirectory }
        return DirectoryHandle.Listing(
            node: NodeID(rawValue: id.rawValue), parent: NodeID(rawValue: item.parent.rawValue),
            items: try directory.names().map { row in
                let child = VirtualFolder.id(of: row.name, identity: row.identity, in: id)
                return DirectoryItem(
                    name: row.name, node: NodeID(rawValue: child.rawValue), kind: row.kind)
            }, readAt: changes.now)
    }
}
