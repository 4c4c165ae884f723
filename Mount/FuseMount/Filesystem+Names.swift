internal import Base
internal import CFuse3
internal import Share
internal import Synchronization

extension Filesystem {
    // MARK: Looking up

    func lookup(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        if unsafe isVirtual(name, in: parent) {
            return unsafe virtualLookup(name, in: parent, reply)
        }
        if replay.isOwn(reply.caller) { return unsafe replayLookup(parent, name, reply) }
        let before = changes.now
        let result = Result { () throws(VolumeError) -> (Attributes, NamePlace?) in
            let name = try unsafe self.name(name)
            if let attributes = try exported(name, of: parent) { return (attributes, nil) }
            let directory = try directory(parent)
            let attributes = try volume.lookup(name, in: directory)
            if attributes.kind == .symlink { symlinks?.note(attributes.node, in: directory) }
            return (attributes, NamePlace(directory: directory, name: name))
        }
        switch result {
        case .success((let attributes, let place)):
            self.reply(reply, bind(attributes, readAt: before, at: place))
        case .failure(.notFound):
            // The kernel may keep the absence too; an entry that appears elsewhere invalidates it.
            let seconds = before == changes.now ? options.cacheSeconds : 0
            _ = reply.entry(Entry(id: 0, status: stat(), cacheSeconds: seconds))
        case .failure(let error): refuse(reply, error, isLookup: true)
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
        if replay.isOwn(caller) { return unsafe replayMake(parent, name, reply) }
        let result = Result { () throws(VolumeError) in
            let (place, request) = try unsafe makeRequest(
                parent, name, kind, mode: mode, device: device, target: target, by: caller)
            let made = try volume.make(place.name, in: place.directory, request)
            names.noteMade(in: place.directory)
            if kind == .symlink { symlinks?.note(made.node, in: place.directory) }
            return (made, place)
        }
        switch result {
        case .success((let attributes, let place)):
            refusals.forget(caller)
            self.reply(reply, bind(attributes, readAt: before, at: place))
        case .failure(let error): refuse(reply, error)
        }
    }

    /// What a caller makes, and where: in a setgid directory the group is the directory's, and a directory
    /// is setgid too.
    func makeRequest(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ kind: FileKind, mode: UInt32,
        device: UInt64 = 0, target: [UInt8] = [], by caller: Caller
    ) throws(VolumeError) -> (NamePlace, MakeRequest) {
        let directory = try directory(parent)
        guard unsafe !isVirtual(name, in: parent) else { throw .exists }
        let name = try unsafe self.name(name)
        var request = MakeRequest(
            kind: kind, mode: mode & 0o7777, uid: caller.uid, gid: caller.gid, device: device,
            target: target)
        let above = try volume.attributes(of: directory)
        if above.mode & 0o2000 != 0 {
            request.gid = above.gid
            if kind == .directory { request.mode |= 0o2000 }
        }
        if options.acl { try inherit(from: directory, by: caller, into: &request) }
        return (NamePlace(directory: directory, name: name), request)
    }

    /// Makes a file where its program has just taken another away: it is that one, and will be written anew.
    ///
    /// - Returns: nil if it is not.
    func makeAnew(_ place: NamePlace, _ request: MakeRequest, by caller: Caller)
        throws(VolumeError) -> Succession?
    {
        guard let former = departures.take(place.name, in: place.directory, by: caller) else {
            return nil
        }
        return try taking([], also: former) { _ throws(VolumeError) in
            let old = table.id(of: former)
            let succession = try volume.makeAnew(
                place.name, in: place.directory, request, succeeding: former)
            if let backup = succession?.backup, let old {
                table.rebind(old, to: backup.node)
                if let file = table.find(old)?.file {
                    try publisher.rebind(file, to: backup.node, parents: backup.versions)
                }
                invalidator.forgetAttributes(of: old)
            }
            return succession
        }
    }

    func link(
        _ id: InodeID, _ newParent: InodeID, _ newName: UnsafePointer<CChar>,
        _ reply: consuming FuseReply
    ) {
        let before = changes.now
        let caller = reply.caller
        let result = Result { () throws(VolumeError) -> (Attributes, NamePlace) in
            let directory = try directory(newParent)
            guard unsafe !isVirtual(newName, in: newParent) else { throw .exists }
            let place = NamePlace(directory: directory, name: try unsafe self.name(newName))
            do throws(VolumeError) {
                let linked = try table.meaning.withLock { _ throws(VolumeError) in
                    let inode = try inode(id)
                    // A file without a name cannot get one again.
                    guard inode.orphan == nil else { throw .notFound }
                    return try volume.link(inode.node, as: place.name, in: place.directory)
                }
                names.noteMade(in: directory)
                refusals.forget(caller)
                return (linked, place)
            } catch {
                // The kernel has found it under a name that another device has just taken away or given
                // to another: it looks again.
                let isFirst = !refusals.isRepeated(caller)
                throw error == .notFound && isFirst ? .stale : error
            }
        }
        switch result {
        case .success((let attributes, let place)):
            self.reply(reply, bind(attributes, readAt: before, at: place))
        case .failure(let error): refuse(reply, error)
        }
    }

    // MARK: Removing

    func unlink(_ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply) {
        if replay.isOwn(reply.caller) { return unsafe replayRemove(parent, name, reply) }
        let caller = reply.caller
        let result = Result { () throws(VolumeError) in
            let directory = try directory(parent)
            guard unsafe !isVirtual(name, in: parent) else { throw .notPermitted }
            let place = NamePlace(directory: directory, name: try unsafe self.name(name))
            try showing([place]) { () throws(VolumeError) in try unlink(place, by: caller) }
            names.noteChanged(in: directory)
        }
        switch result {
        case .success:
            refusals.forget(caller)
            reply.succeed()
        case .failure(let error): refuse(reply, error)
        }
    }

    private func unlink(_ place: NamePlace, by caller: Caller) throws(VolumeError) {
        try taking([place]) { (found) throws(VolumeError) in
            guard let victim = found[0] else { throw .notFound }
            let removed = try volume.unlink(place.name, in: place.directory)
            guard removed == victim.node, victim.links <= 1 else { return }
            symlinks?.forget(victim.node)
            try orphan(victim, content: nil)
            if victim.kind == .file {
                departures.note(victim.node, place.name, in: place.directory, by: caller)
            }
        }
    }

    /// What stands at a place, and its file if it is open or unsaved; nil if there is nothing.
    private func standing(at place: NamePlace) throws(VolumeError) -> (
        attributes: Attributes?, file: FileState?
    ) {
        try table.meaning.withLock { _ throws(VolumeError) in
            let found = try shown(at: place)
            return (found, found.flatMap { table.file(of: $0.node) })
        }
    }

    private func shown(at place: NamePlace) throws(VolumeError) -> Attributes? {
        do {
            return try volume.lookup(place.name, in: place.directory)
        } catch {
            guard error == .notFound else { throw error }
            return nil
        }
    }

    private func shown(at places: [NamePlace]) throws(VolumeError) -> [Attributes?] {
        var found: [Attributes?] = []
        for place in places { found.append(try shown(at: place)) }
        return found
    }

    /// Takes away what stands at places, or puts something else there. Meanwhile nobody publishes any of
    /// it, so that no version goes to what a file was before, and nothing else comes to stand there.
    ///
    /// - Parameter also: a node that changes its name, too.
    private func taking<Value>(
        _ places: [NamePlace], also node: NodeID? = nil,
        _ body: ([Attributes?]) throws(VolumeError) -> Value
    ) throws(VolumeError) -> Value {
        while true {
            var nodes: [NodeID?] = []
            var files: [FileState] = []
            let atOnce: Value? = try table.meaning.withLock { _ throws(VolumeError) in
                let found = try shown(at: places)
                nodes = found.map { $0?.node }
                files = (nodes + [node]).compactMap { $0.flatMap { table.file(of: $0) } }
                // Mostly nothing of it is open or unsaved, and nobody publishes it.
                return files.isEmpty ? try body(found) : nil
            }
            if let atOnce { return atOnce }
            // In one order, so that two who take the same do not wait for each other.
            var held: [FileState] = []
            for file in files.sorted(by: { $0.id.rawValue < $1.id.rawValue })
            where held.last !== file {
                publisher.hold(file)
                held.append(file)
            }
            defer { for file in held { publisher.release(file) } }
            let value: Value? = try table.meaning.withLock { _ throws(VolumeError) in
                let found = try shown(at: places)
                guard found.map({ $0?.node }) == nodes else { return nil }
                return try body(found)
            }
            if let value { return value }
        }
    }

    private func finish(
        _ reply: consuming FuseReply, _ work: () throws(VolumeError) -> Void
    ) {
        do {
            try work()
            refusals.forget(reply.caller)
            reply.succeed()
        } catch {
            refuse(reply, error)
        }
    }

    /// Does something once a file's bytes are a version, and answers.
    private func settled(
        _ file: FileState, _ reply: consuming FuseReply,
        _ work: @escaping @Sendable () throws(VolumeError) -> Void
    ) {
        let pending = pending.hold(reply)
        writeBack.settle(file) {
            self.publisher.settle(file) { error in
                guard let reply = pending.take() else { return }
                if let error { return self.refuse(reply, error) }
                self.finish(reply, work)
            }
        }
    }

    func rmdir(_ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply) {
        if replay.isOwn(reply.caller) { return unsafe replayRemove(parent, name, reply) }
        let caller = reply.caller
        let result = Result { () throws(VolumeError) in
            let directory = try directory(parent)
            guard unsafe !isVirtual(name, in: parent) else { throw .notPermitted }
            let place = NamePlace(directory: directory, name: try unsafe self.name(name))
            let victim = try volume.lookup(place.name, in: directory)
            try requireMet([(victim, place)], removed: victim, [place], by: caller)
            try showing([place]) { () throws(VolumeError) in
                let removed = try volume.removeDirectory(place.name, in: directory)
                if removed == victim.node {
                    try orphan(victim, content: nil)
                } else {
                    meetAnew(victim)
                }
            }
            names.noteChanged(in: directory)
        }
        switch result {
        case .success:
            refusals.forget(caller)
            reply.succeed()
        case .failure(let error): refuse(reply, error)
        }
    }

    /// The kernel takes away, or moves, what it has under a name: what it has not met there it cannot mean.
    /// Another device has just put it there. For ESTALE it looks again, and calls again; if others are quicker
    /// once more, it is what stands there that is meant, and the kernel looks again afterwards: but not where
    /// that would remove a directory, because the one that it has removed is empty for it for ever.
    ///
    /// - Parameters:
    ///   - removed: which of them loses its name.
    ///   - names: those of the call.
    private func requireMet(
        _ all: [(attributes: Attributes, place: NamePlace)], removed: Attributes?,
        _ names: [NamePlace], by caller: Caller
    ) throws(VolumeError) {
        let unmet = all.filter { attributes, place in
            let hasManyNames = attributes.kind != .directory && attributes.links > 1
            return !table.hasMet(attributes.node, at: hasManyNames ? nil : place)
        }
        guard !unmet.isEmpty else { return }
        let isRemovalUnmet = unmet.contains { attributes, _ in
            attributes.kind == .directory && attributes.node == removed?.node
        }
        guard refusals.isRepeated(caller), !isRemovalUnmet else { throw .stale }
        invalidator.forgetNames(names)
    }

    /// Takes names away. What shows under them afterwards, a conflict copy, the caller's kernel does not know.
    private func showing(
        _ names: [NamePlace], after body: () throws(VolumeError) -> Void
    ) throws(VolumeError) {
        let before = changes.now
        try body()
        // Else nothing but the names of the call has changed.
        guard changes.now != before else { return }
        for place in names { invalidator.showName(place) }
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

    /// Has the kernel know a directory as another inode from now on. For the one that it has it is removed, by a call
    /// that came upon another in that directory's place.
    private func meetAnew(_ directory: Attributes) {
        guard let id = table.id(of: directory.node) else { return }
        var attributes = directory
        attributes.links = 0
        table.orphan(id, Orphan(attributes: attributes, content: nil))
    }

    // MARK: Renaming

    /// The ends of a rename.
    struct RenameRequest: Sendable {
        let parent: InodeID
        let name: [UInt8]
        let newParent: InodeID
        let newName: [UInt8]
        let mode: RenameMode
        let caller: Caller
        /// What had the new name until the caller took it away, a moment ago.
        var former: NodeID?
    }

    func rename(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ newParent: InodeID,
        _ newName: UnsafePointer<CChar>, flags: UInt32, _ reply: consuming FuseReply
    ) {
        if replay.isOwn(reply.caller) {
            return unsafe replayRename(parent, name, newParent, newName, reply)
        }
        let mode: RenameMode
        let caller = reply.caller
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
            var request = RenameRequest(
                parent: parent, name: try unsafe self.name(name), newParent: newParent,
                newName: try unsafe self.name(newName), mode: mode, caller: caller)
            if mode == .replace {
                request.former = departures.take(
                    request.newName, in: try directory(newParent), by: caller)
            }
            return (request, try unsavedSource(of: request))
        }
        switch result {
        case .failure(let error): refuse(reply, error)
        case .success((let request, nil)):
            finish(reply) { () throws(VolumeError) in try rename(request) }
        case .success((let request, let source?)):
            settled(source, reply) { () throws(VolumeError) in
                try self.rename(request)
            }
        }
    }

    /// The file to be published before the rename, if it replaces another, or succeeds it: its program has
    /// closed it, but that is told a moment later.
    private func unsavedSource(of request: RenameRequest) throws(VolumeError) -> FileState? {
        guard request.mode == .replace else { return nil }
        let place = NamePlace(directory: try directory(request.parent), name: request.name)
        guard let file = try standing(at: place).file, file.isDirty || file.hasWriters else {
            return nil
        }
        guard request.former == nil else { return file }
        let target = NamePlace(directory: try directory(request.newParent), name: request.newName)
        return try standing(at: target).attributes == nil ? nil : file
    }

    private func rename(_ request: RenameRequest) throws(VolumeError) {
        let from = NamePlace(directory: try directory(request.parent), name: request.name)
        let to = NamePlace(directory: try directory(request.newParent), name: request.newName)
        // Who only gets another name goes on publishing.
        let isTaking = try standing(at: to).attributes != nil || request.former != nil
        let places = isTaking && request.mode == .replace ? [to, from] : [to]
        try showing(request.mode == .exchange ? [] : [from]) { () throws(VolumeError) in
            try taking(places, also: request.former) { (found) throws(VolumeError) in
                try rename(from, to, over: found[0], request)
            }
        }
        for place in [from, to] { names.noteChanged(in: place.directory) }
    }

    private func rename(
        _ from: NamePlace, _ to: NamePlace, over victim: Attributes?, _ request: RenameRequest
    ) throws(VolumeError) {
        let source = try volume.lookup(from.name, in: from.directory)
        do throws(VolumeError) {
            try requireMet(
                [(source, from)] + (victim.map { [($0, to)] } ?? []),
                removed: request.mode == .exchange ? nil : victim, [from, to],
                by: request.caller)
            // The kernel would take that for removed.
            if victim == nil, source.kind == .directory, invalidator.hasDirectoryYet(at: to),
                !refusals.isRepeated(request.caller)
            {
                throw .stale
            }
        } catch {
            // It comes again.
            if let former = request.former {
                departures.note(former, to.name, in: to.directory, by: request.caller)
            }
            throw error
        }
        // If this is a save, the object has the temporary file's afterwards.
        let file = victim.flatMap { $0.links <= 1 ? table.file(of: $0.node) : nil }
        let extended = try file.map { (file) throws(VolumeError) in
            try extendedAttributes(of: file.node)
        }
        let (moving, other) = (table.id(of: source.node), victim.flatMap { table.id(of: $0.node) })
        let result = try volume.rename(
            from.name, in: from.directory, to: to.name, in: to.directory, request.mode,
            succeeding: request.former)
        if let moving { table.notePlace(moving, to) }
        if case .exchanged = result, let other { table.notePlace(other, from) }
        switch result {
        case .unchanged: return
        case .exchanged(let moved, let other):
            try renamed(source.node, to: moved)
            if let victim { try renamed(victim.node, to: other) }
        case .moved(let moved, let replaced):
            try renamed(source.node, to: moved)
            if source.kind == .file, source.links <= 1, isBackup(to.name, of: from.name) {
                departures.note(moved, from.name, in: from.directory, by: request.caller)
            }
            if let victim, let replaced, replaced == victim.node,
                victim.kind == .directory || victim.links <= 1
            {
                try orphan(victim, content: nil)
            } else if let victim, victim.kind == .directory, victim.node != replaced {
                meetAnew(victim)
            }
        case .saved(let saved, let temporary, let replacedContent):
            try save(saved, temporary, over: victim, replacedContent, extended)
        case .succeeded(let saved, let temporary, let isKept):
            let backup = isKept ? table.id(of: saved) : nil
            let source = table.id(of: temporary)
            if let source { try show(saved, as: source) }
            if let backup { try show(temporary, as: backup) }
        }
        if source.kind == .symlink { symlinks?.note(source.node, in: to.directory) }
        if case .exchanged = result, let victim, victim.kind == .symlink {
            symlinks?.note(victim.node, in: from.directory)
        }
    }

    /// Whether a name may be that of a backup of the file that had the other one: it has more to it, as
    /// `f~` and `bak_f`, or is the same in another directory. A file that got its final name has less, as
    /// `f` that was `f.lock`.
    private func isBackup(_ backup: [UInt8], of name: [UInt8]) -> Bool {
        guard backup.count >= name.count else { return false }
        return (0...backup.count - name.count).contains { backup[$0...].starts(with: name) }
    }

    /// A conflict copy that gets a name of its own becomes another object.
    private func renamed(_ old: NodeID, to new: NodeID) throws(VolumeError) {
        guard old != new, let id = table.id(of: old) else { return }
        table.rebind(id, to: new)
        if let file = table.find(id)?.file {
            try publisher.rebind(file, to: new, parents: try volume.openContent(of: new).versions)
        }
    }

    /// What an inode stands for goes on as another object: names, numbers and handles keep what they have.
    private func show(_ node: NodeID, as id: InodeID) throws(VolumeError) {
        table.rebind(id, to: node)
        if let file = table.find(id)?.file {
            // The version just made is the latest; its bytes are what the file shows.
            let shown = try volume.openContent(of: node)
            try publisher.rebind(file, to: node, parents: Array(shown.versions.prefix(1)))
        }
        invalidator.forgetAttributes(of: id)
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
            try publisher.rebind(file, to: saved, parents: Array(shown.versions.prefix(1)))
        }
        invalidator.forgetAttributes(of: source)
    }
}
