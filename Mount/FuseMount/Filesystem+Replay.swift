internal import Base
internal import CFuse3
internal import Share

/// Answers to the thread that replays remote changes: see `Replay`.
extension Filesystem {
    private func place(_ parent: InodeID, _ name: UnsafePointer<CChar>) throws(VolumeError)
        -> NamePlace
    {
        NamePlace(directory: try directory(parent), name: try unsafe self.name(name))
    }

    func replayLookup(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        let before = changes.now
        let result = Result { () throws(VolumeError) -> Entry? in
            let place = try unsafe self.place(parent, name)
            switch replay.expectation?.standing(at: place) ?? .truth {
            case .nothing: return nil
            case .shown(let shown):
                if shown == replay.expectation?.victim, shown.kind == .directory,
                    shows(shown.node)
                {
                    replay.noteAsked(place, isStandIn: true)
                    return standIn(for: shown)
                }
                replay.noteAsked(place, isStandIn: false)
                return try entry(of: shown, readAt: before, at: place)
            case .truth:
                return bind(
                    try volume.lookup(place.name, in: place.directory), readAt: before, at: place)
            }
        }
        switch result {
        case .success(let entry?): self.reply(reply, entry)
        case .success(nil):
            // Nobody else may be told so.
            _ = reply.entry(Entry(id: 0, status: stat(), cacheSeconds: 0))
        case .failure(let error): reply.fail(code(error))
        }
    }

    /// What stood under a name: as it is now, if it still is.
    private func entry(of shown: ViewChange.Shown, readAt before: UInt64, at place: NamePlace)
        throws(VolumeError) -> Entry
    {
        do {
            let attributes = try volume.attributes(of: shown.node)
            if attributes.links > 0 { return bind(attributes, readAt: before, at: place) }
        } catch {
            guard error == .stale || error == .notFound else { throw error }
        }
        var attributes = vague(shown)
        if let inode = table.id(of: shown.node).flatMap({ table.find($0) }),
            let kept = inode.file?.attributesWithoutName
        {
            attributes = kept
        }
        let inode = table.bind(attributes.node, showing: attributes.number)
        return Entry(id: inode.id.rawValue, status: status(attributes), cacheSeconds: 0)
    }

    /// Attributes of what the volume has none of.
    private func vague(_ shown: ViewChange.Shown) -> Attributes {
        let now = Clock.wallTime()
        return Attributes(
            node: shown.node, kind: shown.kind, mode: 0o600,
            links: shown.kind == .directory ? 2 : 1, uid: 0, gid: 0, device: 0, size: 0,
            modified: now, changed: now, accessed: now)
    }

    private func shows(_ node: NodeID) -> Bool {
        ((try? volume.attributes(of: node))?.links ?? 0) > 0
    }

    /// A directory that is nowhere, for the kernel to remove: one that it has removed is empty for it for
    /// ever, also under the name where the directory is now.
    private func standIn(for shown: ViewChange.Shown) -> Entry {
        let attributes = (try? volume.attributes(of: shown.node)) ?? vague(shown)
        let id = table.bindOrphan(Orphan(attributes: attributes, content: nil), of: shown.node)
        return Entry(id: id.rawValue, status: status(attributes), cacheSeconds: 0)
    }

    /// Whether the kernel may take away what it does by the call that is expected.
    private func leave() -> Bool {
        guard replay.hasAsked else { return false }
        guard let victim = replay.expectation?.victim, victim.kind == .directory,
            !replay.hasStandIn
        else { return true }
        guard !shows(victim.node) else { return false }
        // Should it show again, the kernel must not meet the one that it has removed.
        if let id = table.id(of: victim.node) {
            var attributes = vague(victim)
            attributes.links = 0
            table.orphan(id, Orphan(attributes: attributes, content: nil))
        }
        return true
    }

    /// mknod, mkdir, symlink: the object is there already.
    func replayMake(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        let before = changes.now
        let result = Result { () throws(VolumeError) in
            let place = try unsafe self.place(parent, name)
            guard case .create(let shown, place)? = replay.expectation else { throw .notPermitted }
            let attributes = try volume.lookup(place.name, in: place.directory)
            guard attributes.node == shown.node else { throw .notFound }
            // A program has put it there, and whoever watches has been told.
            guard isPlanned(place) || !table.hasMet(shown.node, at: place) else {
                throw .notPermitted
            }
            return (attributes, place)
        }
        switch result {
        case .success((let attributes, let place)):
            replay.meet()
            self.reply(reply, bind(attributes, readAt: before, at: place))
        case .failure(let error): reply.fail(ErrorCode.code(error))
        }
    }

    /// unlink, rmdir: it is gone already.
    func replayRemove(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        guard let place = try? unsafe place(parent, name),
            case .remove(let shown, place)? = replay.expectation
        else { return reply.fail(EPERM) }
        finishReplay(reply, left: (shown, place))
    }

    /// Whether an object stands where the plan has it: a program may have moved it on meanwhile, or put another in
    /// its place. Of that the kernel hears no more, so it must not be told the older news.
    private func stands(_ shown: ViewChange.Shown, at place: NamePlace) -> Bool {
        if isPlanned(place) { return true }
        return (try? volume.lookup(place.name, in: place.directory))?.node == shown.node
    }

    /// Whether no program has made or changed names in the directory since the plan.
    private func isPlanned(_ place: NamePlace) -> Bool {
        replay.plannedAt.map { names.isUnchanged(place.directory, since: $0) } ?? false
    }

    /// Whether a program has put something else where an object was: whoever watches has been told of that, and
    /// must not hear afterwards that it is gone.
    private func hasFollower(_ left: (shown: ViewChange.Shown, from: NamePlace)) -> Bool {
        guard !isPlanned(left.from),
            let now = try? volume.lookup(left.from.name, in: left.from.directory)
        else { return false }
        return now.node != left.shown.node
    }

    /// For ESTALE the kernel looks up again, and tries again.
    ///
    /// - Parameters:
    ///   - left: what leaves a name by the call with nothing in its place.
    ///   - moved: what the kernel has elsewhere by it.
    private func finishReplay(
        _ reply: consuming FuseReply, left: (shown: ViewChange.Shown, from: NamePlace)? = nil,
        moved: [(shown: ViewChange.Shown, to: NamePlace)] = []
    ) {
        guard left.map({ !hasFollower($0) }) ?? true,
            moved.allSatisfy({ stands($0.shown, at: $0.to) })
        else { return reply.fail(ECANCELED) }
        guard leave() else { return reply.fail(ESTALE) }
        for (shown, to) in moved { table.id(of: shown.node).map { table.notePlace($0, to) } }
        replay.meet()
        reply.succeed()
    }

    func replayRename(
        _ parent: InodeID, _ name: UnsafePointer<CChar>, _ newParent: InodeID,
        _ newName: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        guard let from = try? unsafe place(parent, name),
            let to = try? unsafe place(newParent, newName)
        else { return reply.fail(EPERM) }
        switch replay.expectation {
        case .move(let shown, from: from, to: to, over: _)?:
            finishReplay(reply, left: (shown, from), moved: [(shown, to)])
        case .exchange(let shown, from, let other, to)?:
            finishReplay(reply, moved: [(shown, to), (other, from)])
        default: reply.fail(EPERM)
        }
    }

    /// Shows attributes anew, or content: see `ContentReplay`.
    ///
    /// - Parameter valid: FUSE_SET_ATTR_ bits.
    func replayChange(
        _ id: InodeID, _ wanted: stat, _ valid: Int32, _ reply: consuming FuseReply
    ) {
        let answer: (code: Int32, attributes: Attributes?)
        do throws(VolumeError) {
            answer = try replayChange(id, wanted, valid)
        } catch {
            answer = (ErrorCode.code(error), nil)
        }
        guard let attributes = answer.attributes else { return reply.fail(answer.code) }
        reply.attributes(status(attributes), cacheSeconds: options.cacheSeconds)
    }

    private func replayChange(_ id: InodeID, _ wanted: stat, _ valid: Int32) throws(VolumeError)
        -> (code: Int32, attributes: Attributes?)
    {
        let inode = try inode(id)
        let isTimes = valid & (FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MODE) == 0
        if isTimes, valid & FUSE_SET_ATTR_ATIME == 0 {
            // Nobody's call: the kernel sends the time that it has kept, of bytes written here or of what was
            // replayed, before it changes others or takes a name away.
            if valid & FUSE_SET_ATTR_MTIME != 0, let file = inode.file {
                try setKept(Timestamp(wanted.st_mtim), of: file)
            }
            return (0, try attributes(of: inode))
        }
        guard case .change(inode.node, let content)? = replay.expectation else {
            throw .notPermitted
        }
        if valid & FUSE_SET_ATTR_SIZE != 0 {
            guard let content else { throw .notPermitted }
            return try replaySize(of: inode, content)
        }
        if isTimes {
            let modified = Timestamp(wanted.st_mtim)
            if let file = inode.file {
                let code = try replayTimes(of: file, content, modified: modified)
                guard code == 0 else { return (code, nil) }
            }
            table.noteTime(id, modified)
        }
        var attributes = try attributes(of: inode)
        if valid & FUSE_SET_ATTR_MODE != 0 { attributes.mode = UInt32(wanted.st_mode) & 0o7777 }
        return (0, attributes)
    }

    /// The kernel has sent what was written, and lets nobody write until this is answered: content that is no
    /// shorter than what it has shows from now on.
    ///
    /// - Returns: EBUSY for a file with bytes to keep; its times stay, too.
    private func replayTimes(of file: FileState, _ content: ContentReplay?, modified: Timestamp)
        throws(VolumeError) -> Int32
    {
        guard let content, !content.isShown else { return file.isDirty ? EBUSY : 0 }
        guard let kept = content.kept else { return EIO }
        if file.keepsBytes() { return EBUSY }
        content.noteSent(ContentReplay.Kept(size: kept.size, modified: modified))
        let size = try volume.attributes(of: file.node).size
        // A file gets shorter by a truncation only.
        guard !writeBack.isUsed || size >= kept.size else { return 0 }
        guard file.refresh(from: volume, chunks: chunks) else { return EBUSY }
        guard !writeBack.isUsed || file.size >= kept.size else {
            // A later version has come meanwhile, and is shorter: who appends now would write past its end.
            file.undoSwitch()
            return 0
        }
        kernel.takePages(of: file.id)
        if writeBack.isUsed, file.size > kept.size {
            kernel.extend(file.id, to: file.size)
        }
        guard file.endSwitch() else {
            // Somebody wrote meanwhile, through a map, on the old version.
            kernel.takePages(of: file.id)
            return EBUSY
        }
        if !writeBack.isUsed || content.kept?.size == file.size {
            table.noteSize(file.id, file.size)
            content.noteShown()
        }
        return 0
    }

    /// The kernel takes the size of the answer, and drops every page if that is not the one it had.
    ///
    /// - Returns: EBUSY for a file with bytes to keep, EAGAIN for one that somebody may have written to since
    ///   the kernel sent everything.
    private func replaySize(of inode: Inode, _ content: ContentReplay) throws(VolumeError)
        -> (code: Int32, attributes: Attributes?)
    {
        guard let file = inode.file, let kept = content.kept else { return (EIO, nil) }
        var attributes = try attributes(of: inode)
        if content.isShown {
            // Watchers hear of it; whatever somebody wrote meanwhile stays.
            attributes.size = kept.size
            return (0, attributes)
        }
        guard content.isUnwritten(hasWriters: file.hasWriters) else { return (EAGAIN, nil) }
        // The kernel has no page that somebody has written to, and drops them before anybody can.
        guard file.refresh(from: volume, chunks: chunks), file.endSwitch() else {
            return (EBUSY, nil)
        }
        attributes.size = file.size
        table.noteSize(inode.id, attributes.size)
        content.noteShown()
        return (0, attributes)
    }
}
