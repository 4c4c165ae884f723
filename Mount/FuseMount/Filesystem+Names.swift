internal import Base
internal import CFuse3
internal import Share

extension Filesystem {
    // MARK: Looking up

    func lookup(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        if unsafe isVirtual(name, in: parent) {
            return unsafe virtualLookup(name, in: parent, reply)
        }
        let before = changes.now
        let result = Result { () throws(VolumeError) in
            let name = try unsafe self.name(name)
            if let attributes = try exported(name, of: parent) { return attributes }
            let directory = try directory(parent)
            let attributes = try volume.lookup(name, in: directory)
            if attributes.kind == .symlink { symlinks?.note(attributes.node, in: directory) }
            return attributes
        }
        switch result {
        case .success(let attributes):
            self.reply(reply, bind(attributes, readAt: before))
        case .failure(.notFound):
            // The kernel may keep the absence too; an entry that appears elsewhere invalidates it.
            let seconds = before == changes.now ? options.cacheSeconds : 0
            _ = reply.entry(Entry(id: 0, status: stat(), cacheSeconds: seconds))
        case .failure(let error): reply.fail(code(error))
        }
    }

    /// How the kernel finds what a file handle means when it has forgotten it: by looking up `.`, and
    /// `..` for the directory above.
    private func exported(_ name: [UInt8], of id: InodeID) throws(VolumeError) -> Attributes? {
        guard name == [46] || name == [46, 46] else { return nil }
        let inode = table.find(id)
        if let inode, inode.orphan != nil { throw .stale }
        let node: NodeID
        if let inode {
            node = inode.node
        } else {
            node = try volume.node(showing: NodeID(rawValue: id.rawValue))
        }
        return try volume.attributes(of: name == [46] ? node : try volume.parent(of: node))
    }

    func forget(_ id: InodeID, _ count: UInt64, _ reply: consuming FuseReply) {
        forget(id, count: count)
        reply.none()
    }

    func forget(_ forgets: UnsafeBufferPointer<fuse_forget_data>, _ reply: consuming FuseReply) {
        // libfuse's array is there until the reply.
        for index in 0..<forgets.count {
            let forget = unsafe forgets[index]
            self.forget(InodeID(rawValue: forget.ino), count: forget.nlookup)
        }
        reply.none()
    }

    private func forget(_ id: InodeID, count: UInt64) {
        if id.isVirtual {
            virtual?.forget(id, count: count)
        } else {
            table.forget(id, count: count)
        }
    }

    // MARK: Making

    func mknod(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, mode: UInt32, device: UInt64,
        _ reply: consuming FuseReply
    ) {
        guard let kind = FileKind(modeBits: mode), kind != .directory, kind != .symlink else {
            return reply.fail(EINVAL)
        }
        // A number means something for devices only; the kernel lets any kind have one.
        let isDevice = kind == .characterDevice || kind == .blockDevice
        unsafe make(parent, name, kind, mode: mode, device: isDevice ? device : 0, reply)
    }

    func mkdir(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, mode: UInt32, _ reply: consuming FuseReply
    ) {
        unsafe make(parent, name, .directory, mode: mode, reply)
    }

    func symlink(
        _ target: UnsafePointer<CChar>, _ parent: InodeID, _ name: UnsafePointer<CChar>,
        _ reply: consuming FuseReply
    ) {
        let count = unsafe strlen(target)
        guard count > 0 else { return reply.fail(ENOENT) }
        guard count <= MountLimits.linkTargetSizeMax else { return reply.fail(ENAMETOOLONG) }
        // The kernel's strings end in a zero byte; `count` bytes lie before it.
        let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: target, count: count))
        unsafe make(parent, name, .symlink, mode: 0o777, target: bytes, reply)
    }

    private func make(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ kind: FileKind, mode: UInt32,
        device: UInt64 = 0, target: [UInt8] = [], _ reply: consuming FuseReply
    ) {
        let before = changes.now
        let caller = reply.caller
        let result = Result { () throws(VolumeError) in
            try unsafe make(
                parent, name, kind, mode: mode, device: device, target: target,
                uid: caller.uid, gid: caller.gid)
        }
        switch result {
        case .success(let attributes):
            self.reply(reply, bind(attributes, readAt: before))
        case .failure(let error): reply.fail(code(error))
        }
    }

    /// Creates an object for a caller: in a setgid directory the group is the directory's, and a
    /// directory is setgid too.
    func make(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ kind: FileKind, mode: UInt32,
        device: UInt64, target: [UInt8], uid: UInt32, gid: UInt32
    ) throws(VolumeError) -> Attributes {
        let directory = try directory(parent)
        guard unsafe !isVirtual(name, in: parent) else { throw .exists }
        let name = try unsafe self.name(name)
        var request = MakeRequest(
            kind: kind, mode: mode & 0o7777, uid: uid, gid: gid, device: device, target: target)
        let above = try volume.attributes(of: directory)
        if above.mode & 0o2000 != 0 {
            request.gid = above.gid
            if kind == .directory { request.mode |= 0o2000 }
        }
        let made = try volume.make(name, in: directory, request)
        if kind == .symlink { symlinks?.note(made.node, in: directory) }
        return made
    }

    func link(
        _ id: InodeID, _ newParent: InodeID, _ newName: UnsafePointer<CChar>,
        _ reply: consuming FuseReply
    ) {
        let before = changes.now
        let result = Result { () throws(VolumeError) in
            let inode = try inode(id)
            let directory = try directory(newParent)
            guard unsafe !isVirtual(newName, in: newParent) else { throw .exists }
            let name = try unsafe self.name(newName)
            // A file without a name cannot get one again.
            guard inode.orphan == nil else { throw .notFound }
            return try volume.link(inode.node, as: name, in: directory)
        }
        switch result {
        case .success(let attributes):
            self.reply(reply, bind(attributes, readAt: before))
        case .failure(let error): reply.fail(code(error))
        }
    }

    // MARK: Removing

    func unlink(_ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) in
            let directory = try directory(parent)
            guard unsafe !isVirtual(name, in: parent) else { throw .notPermitted }
            let name = try unsafe self.name(name)
            let victim = try volume.lookup(name, in: directory)
            let held = holdIfLastName(victim)
            defer { if let held { publisher.release(held) } }
            let removed = try volume.unlink(name, in: directory)
            if removed == victim.node, victim.links <= 1 {
                symlinks?.forget(victim.node)
                try orphan(victim, content: nil)
            }
        }
        switch result {
        case .success: reply.succeed()
        case .failure(let error): reply.fail(code(error))
        }
    }

    func rmdir(_ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) in
            let directory = try directory(parent)
            guard unsafe !isVirtual(name, in: parent) else { throw .notPermitted }
            let name = try unsafe self.name(name)
            let victim = try volume.lookup(name, in: directory)
            let removed = try volume.removeDirectory(name, in: directory)
            if removed == victim.node { try orphan(victim, content: nil) }
        }
        switch result {
        case .success: reply.succeed()
        case .failure(let error): reply.fail(code(error))
        }
    }

    /// Keeps a job from publishing an object whose last name is about to go.
    private func holdIfLastName(_ victim: Attributes) -> FileState? {
        guard victim.kind == .file, victim.links <= 1, let file = table.file(of: victim.node)
        else { return nil }
        publisher.hold(file)
        return file
    }

    /// The object has no name any more: what the kernel still holds of it lives in the table.
    ///
    /// - Parameter victim: its attributes before.
    /// - Parameter content: what its file goes on showing, if that is not the volume's.
    private func orphan(
        _ victim: Attributes, content: OpenedContent?, extended: [[UInt8]: [UInt8]]? = nil
    ) throws(VolumeError) {
        guard let id = table.id(of: victim.node) else { return }
        var attributes = victim
        attributes.links = 0
        attributes.changed = Clock.wallTime()
        let file = table.file(of: victim.node)
        file?.patch(&attributes)
        table.orphan(id, Orphan(attributes: attributes, content: content, extended: extended))
        if let content { file?.load(content, chunks: chunks) }
        if let file { try publisher.orphan(file) }
    }

    // MARK: Renaming

    /// The ends of a rename.
    struct RenameRequest: Sendable {
        let parent: InodeID
        let name: [UInt8]
        let newParent: InodeID
        let newName: [UInt8]
        let mode: RenameMode
    }

    func rename(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ newParent: InodeID,
        _ newName: UnsafePointer<CChar>, flags: UInt32, _ reply: consuming FuseReply
    ) {
        let mode: RenameMode
        switch flags {
        case 0: mode = .replace
        case UInt32(HOLDFAST_RENAME_NOREPLACE): mode = .noReplace
        case UInt32(HOLDFAST_RENAME_EXCHANGE): mode = .exchange
        default: return reply.fail(EINVAL)
        }
        let result = Result { () throws(VolumeError) -> (RenameRequest, FileState?) in
            guard !parent.isVirtual, !newParent.isVirtual else { throw .readOnly }
            guard unsafe !isVirtual(name, in: parent), unsafe !isVirtual(newName, in: newParent)
            else { throw .notPermitted }
            let request = RenameRequest(
                parent: parent, name: try unsafe self.name(name), newParent: newParent,
                newName: try unsafe self.name(newName), mode: mode)
            return (request, try unsavedSource(of: request))
        }
        switch result {
        case .failure(let error): reply.fail(code(error))
        case .success((let request, nil)): rename(request, reply)
        case .success((let request, let source?)):
            // The source's bytes must be a version before it can take the target's place.
            let pending = pending.hold(reply)
            publisher.settle(source) { error in
                guard let reply = pending.take() else { return }
                if let error { reply.fail(self.code(error)) } else { self.rename(request, reply) }
            }
        }
    }

    private func rename(_ request: RenameRequest, _ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) in try rename(request) }
        switch result {
        case .success: reply.succeed()
        case .failure(let error): reply.fail(code(error))
        }
    }

    /// The file to be published before the rename, if it would replace another.
    private func unsavedSource(of request: RenameRequest) throws(VolumeError) -> FileState? {
        guard request.mode == .replace else { return nil }
        let source = try volume.lookup(request.name, in: try directory(request.parent))
        guard let file = table.file(of: source.node), file.isDirty else { return nil }
        do {
            _ = try volume.lookup(request.newName, in: try directory(request.newParent))
            return file
        } catch {
            guard error == .notFound else { throw error }
            return nil
        }
    }

    private func rename(_ request: RenameRequest) throws(VolumeError) {
        let directory = try directory(request.parent)
        let newDirectory = try self.directory(request.newParent)
        let source = try volume.lookup(request.name, in: directory)
        var victim: Attributes?
        do {
            victim = try volume.lookup(request.newName, in: newDirectory)
        } catch {
            guard error == .notFound else { throw error }
        }
        let held = request.mode == .replace ? victim.flatMap { holdIfLastName($0) } : nil
        defer { if let held { publisher.release(held) } }
        // If this is a save, the object has the temporary file's afterwards.
        let extended = try held.map { (file) throws(VolumeError) in
            try extendedAttributes(of: file.node)
        }
        let result = try volume.rename(
            request.name, in: directory, to: request.newName, in: newDirectory, request.mode)
        switch result {
        case .unchanged: return
        case .exchanged(let moved, let other):
            try renamed(source.node, to: moved)
            if let victim { try renamed(victim.node, to: other) }
        case .moved(let moved, let replaced):
            try renamed(source.node, to: moved)
            if let victim, let replaced, replaced == victim.node,
                victim.kind == .directory || victim.links <= 1
            {
                try orphan(victim, content: nil)
            }
        case .saved(let saved, let temporary, let replacedContent):
            try save(saved, temporary, over: victim, replacedContent, extended)
        }
        if source.kind == .symlink { symlinks?.note(source.node, in: newDirectory) }
        if case .exchanged = result, let victim, victim.kind == .symlink {
            symlinks?.note(victim.node, in: directory)
        }
    }

    /// A conflict copy that gets a name of its own becomes another object.
    private func renamed(_ old: NodeID, to new: NodeID) throws(VolumeError) {
        guard old != new, let id = table.id(of: old) else { return }
        table.rebind(id, to: new)
        if let file = table.find(id)?.file {
            try publisher.rebind(file, to: new, parents: try volume.openContent(of: new).versions)
        }
    }

    /// A save by rename: the temporary file's inode becomes the saved object, whose old inode goes on
    /// without a name. Each keeps its number: `Attributes.number` has changed hands.
    private func save(
        _ saved: NodeID, _ temporary: NodeID, over victim: Attributes?, _ content: OpenedContent,
        _ extended: [[UInt8]: [UInt8]]?
    ) throws(VolumeError) {
        let source = table.id(of: temporary)
        if let victim, victim.node == saved {
            try orphan(victim, content: content, extended: extended ?? [:])
        }
        guard let source else { return }
        table.rebind(source, to: saved)
        if let file = table.find(source)?.file {
            // Whoever goes on writing to it has seen the version that this save made.
            let shown = try volume.openContent(of: saved)
            try publisher.rebind(file, to: saved, parents: shown.versions)
        }
        invalidator.forgetAttributes(of: source)
    }
}
