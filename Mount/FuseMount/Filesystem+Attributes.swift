internal import Base
internal import CFuse3
internal import Share
internal import Synchronization

extension Filesystem {
    func getattr(_ id: InodeID, _ reply: consuming FuseReply) {
        if id.isVirtual { return virtualAttributes(id, reply) }
        let result = Result { () throws(VolumeError) in try attributes(of: try inode(id)) }
        switch result {
        case .success(let attributes):
            reply.attributes(status(attributes), cacheSeconds: options.cacheSeconds)
        case .failure(let error): refuse(reply, error)
        }
    }

    /// - Parameter hasHandle: whether the caller changes an open file, whose close publishes it.
    func setattr(
        _ id: InodeID, _ wanted: stat, _ valid: Int32, hasHandle: Bool, _ reply: consuming FuseReply
    ) {
        let caller = reply.caller
        if replay.isOwn(caller) { return replayChange(id, wanted, valid, reply) }
        let result = Result { () throws(VolumeError) in
            try setattr(id, wanted, valid, hasHandle: hasHandle, by: caller)
        }
        switch result {
        case .success(let attributes):
            refusals.forget(caller)
            reply.attributes(status(attributes), cacheSeconds: options.cacheSeconds)
        case .failure(let error): refuse(reply, error)
        }
    }

    /// As the call of that name.
    func setattr(
        _ id: InodeID, _ wanted: stat, _ valid: Int32, hasHandle: Bool, by caller: Caller
    ) throws(VolumeError) -> Attributes {
        if valid & FUSE_SET_ATTR_SIZE != 0 {
            guard wanted.st_size >= 0 else { throw .notSupported }
            let isTimed = valid & FUSE_SET_ATTR_MTIME != 0 && valid & FUSE_SET_ATTR_MTIME_NOW == 0
            try truncate(
                id, to: UInt64(wanted.st_size), publishes: !hasHandle,
                modified: isTimed ? Timestamp(wanted.st_mtim) : nil, by: caller)
        }
        let inode = try inode(id)
        var change = AttributeChange()
        let now = Clock.wallTime()
        if valid & FUSE_SET_ATTR_MODE != 0 { change.mode = UInt32(wanted.st_mode) & 0o7777 }
        if valid & FUSE_SET_ATTR_UID != 0 { change.uid = wanted.st_uid }
        if valid & FUSE_SET_ATTR_GID != 0 { change.gid = wanted.st_gid }
        if valid & FUSE_SET_ATTR_ATIME_NOW != 0 {
            change.accessed = now
        } else if valid & FUSE_SET_ATTR_ATIME != 0 {
            change.accessed = Timestamp(wanted.st_atim)
        }
        if valid & FUSE_SET_ATTR_MTIME_NOW != 0 {
            change.modified = now
        } else if valid & FUSE_SET_ATTR_MTIME != 0 {
            change.modified = Timestamp(wanted.st_mtim)
        }
        let told = change.modified
        let isKnown = told.map { table.hasTime(id, $0) } ?? false
        var isOwed = false
        if change.uid != nil || change.gid != nil, change.mode == nil {
            // Who gives a file away gives no privileges away with it.
            let attributes = try attributes(of: inode)
            let mode = attributes.modeWithoutPrivileges
            if mode != attributes.mode { change.mode = mode }
            keepRecordedOwner(of: attributes, in: &change)
        }
        if change.mode != nil { inode.file?.expectPrivileges() }
        if let orphan = inode.orphan {
            inode.file.flatMap { file in change.modified.map { (file, $0) } }
                .map { (file, time) in _ = file.setModified(time, wallTime: now) }
            try self.change(orphan, of: inode.node, change)
            return try attributes(of: inode)
        }
        if let time = change.modified, let file = inode.file {
            switch file.setModified(time, wallTime: now, isKnown: isKnown) {
            case .nextVersion: change.modified = nil
            case .lastVersion: isOwed = true
            case .nothing: break
            }
        }
        if writeBack.isUsed, let time = change.modified, change == AttributeChange(modified: time) {
            // The kernel also sends the time of modification when only that of change is another: the one that
            // it was told, though another device may have written since.
            let attributes = try attributes(of: inode)
            if time == attributes.modified || isKnown && !isOwed { change.modified = nil }
        }
        if let told { table.noteTime(id, told) }
        guard change != AttributeChange() else { return try attributes(of: inode) }
        let before = changes.now
        do {
            return try patched(try set(change, of: id), of: id, readAt: before)
        } catch {
            // Who has it open may go on with it, as with a file without a name; no call by descriptor comes again.
            guard error == .notFound || error == .stale,
                let kept = inode.file?.attributesWithoutName
            else { throw error }
            return kept
        }
    }

    /// Notes when a file was written last, unless somebody has set a time since that was asked.
    func setUntold(_ time: Timestamp, of file: FileState) throws(VolumeError) {
        // Whoever sets a time from now on waits for the lock, or for the state's.
        try table.meaning.withLock { _ throws(VolumeError) in
            guard file.takesUntold(time, wallTime: Clock.wallTime()) else { return }
            try tell(time, of: file)
        }
    }

    /// Notes when a file was written last, as the kernel has kept it: it tells that once. Another device's version is
    /// known by its own time.
    func setKept(_ time: Timestamp, of file: FileState) throws(VolumeError) {
        try table.meaning.withLock { _ throws(VolumeError) in
            let isKnown = table.hasTime(file.id, time)
            guard
                file.setModified(time, wallTime: Clock.wallTime(), isKnown: isKnown)
                    == .lastVersion,
                file.shows(try volume.openContent(of: file.node).versions)
            else { return }
            try tell(time, of: file)
        }
    }

    /// Under the lock of meanings.
    private func tell(_ time: Timestamp, of file: FileState) throws(VolumeError) {
        guard try volume.attributes(of: file.node).modified != time else { return }
        _ = try setInTurn(AttributeChange(modified: time), of: file.id)
    }

    /// Changes what has a name; a conflict copy becomes another object.
    func set(_ change: AttributeChange, of id: InodeID) throws(VolumeError) -> Attributes {
        try table.meaning.withLock { _ throws(VolumeError) in try setInTurn(change, of: id) }
    }

    /// As `set`, under the lock of meanings.
    private func setInTurn(_ change: AttributeChange, of id: InodeID) throws(VolumeError)
        -> Attributes
    {
        let inode = try self.inode(id)
        let attributes = try volume.setAttributes(of: inode.node, to: change)
        if attributes.node != inode.node {
            table.rebind(id, to: attributes.node)
            if let file = inode.file {
                try publisher.rebind(file, to: attributes.node, parents: nil)
            }
        }
        return attributes
    }

    /// Who sets the owner that is shown anyway, as programs do that copy what they see, does not take
    /// over what another device has recorded.
    private func keepRecordedOwner(of attributes: Attributes, in change: inout AttributeChange) {
        let shown = owner(of: attributes)
        if change.uid == shown.user, shown.user != attributes.uid { change.uid = nil }
        if change.gid == shown.group, shown.group != attributes.gid { change.gid = nil }
    }

    /// - Parameter modified: the time that the version is to carry, where the kernel keeps it.
    private func truncate(
        _ id: InodeID, to size: UInt64, publishes: Bool, modified: Timestamp?, by caller: Caller
    ) throws(VolumeError) {
        guard size <= MountLimits.fileSizeMax else { throw .tooLarge }
        let file = try pinLoaded(id)
        defer { table.unpin(file) }
        try change(file, by: caller) { () throws(StorageError) in
            try file.truncate(to: size, in: depot, chunks: chunks)
        }
        if let modified { _ = file.setModified(modified, wallTime: Clock.wallTime()) }
        if publishes { try publisher.publish(file) }
    }

    func readlink(_ id: InodeID, _ reply: consuming FuseReply) {
        if id.isVirtual { return virtualLink(id, reply) }
        let result = Result { () throws(VolumeError) in
            let inode = try inode(id)
            let target = try volume.readLink(inode.node)
            if let symlinks {
                let links = try attributes(of: inode).links
                guard
                    try symlinks.isContained(target, of: inode.node, links: links, in: volume)
                else { throw .notPermitted }
            }
            return target
        }
        switch result {
        case .success(let target): reply.link(target)
        case .failure(let error): refuse(reply, error)
        }
    }

    /// With `default_permissions` the kernel checks; this only says whether the inode is there.
    func access(_ id: InodeID, _ reply: consuming FuseReply) {
        if id.isVirtual || table.find(id) != nil { reply.succeed() } else { refuse(reply, .stale) }
    }

    func statfs(_ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) in try volume.statistics() }
        switch result {
        case .success(let statistics):
            // Used is what the share holds, free is what the disk below has for this user: what is stored
            // once for many, or not here, makes the two differ from the disk's own account.
            let block: UInt64 = 4096
            let used = statistics.bytes &+ publisher.unpublishedBytes
            var answer = statvfs()
            answer.f_bsize = UInt(block)
            answer.f_frsize = UInt(block)
            answer.f_bfree = fsblkcnt_t(statistics.diskBytesFree / block)
            answer.f_bavail = answer.f_bfree
            answer.f_blocks = fsblkcnt_t(used / block &+ min(used % block, 1)) &+ answer.f_bfree
            // A file takes none of the disk's inodes: as many as there is room for.
            answer.f_ffree = fsfilcnt_t(statistics.diskBytesFree / block)
            answer.f_files = fsfilcnt_t(statistics.files) &+ answer.f_ffree
            answer.f_favail = answer.f_ffree
            answer.f_namemax = UInt(MountLimits.nameSizeMax)
            reply.statistics(answer)
        case .failure(let error): refuse(reply, error)
        }
    }
}

extension Attributes {
    mutating func apply(_ change: AttributeChange, now: Timestamp) {
        if let value = change.mode { mode = value }
        if let value = change.uid { uid = value }
        if let value = change.gid { gid = value }
        if let value = change.modified { modified = value }
        if let value = change.accessed { accessed = value }
        changed = now
    }
}
