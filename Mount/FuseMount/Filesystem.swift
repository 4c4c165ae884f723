internal import Base
internal import CFuse3
internal import Chunks
internal import Share
internal import Synchronization

/// What the kernel's requests are answered from: the callbacks' methods are in the extensions.
///
/// Locks, in the order in which they may be held together: a file's `telling`, the publisher's, a
/// file's state. The inode table's, the staging depot's and the buffer pool's are held alone. None but
/// `telling` is held while the volume is called, and none at all while the kernel is told to forget or
/// while a request waits.
final class Filesystem: Sendable {
    let volume: any Volume
    let chunks: any ChunkStorage
    let options: MountOptions
    let table = InodeTable()
    let changes = ChangeCount()
    /// nil where links may lead anywhere.
    let symlinks: SymlinkPolicy?
    let depot: StagingDepot
    let publisher: Publisher
    let kernel: KernelCache
    let replay = Replay()
    let invalidator: Invalidator
    let writeBack: WriteBack
    let pending: PendingReplies
    let failures = RecentFailures()
    private let interrupts: SerialThread
    /// Nothing waits any more: the mount is about to go.
    private let isEnding = Atomic(false)
    let buffers = BufferPool()
    let departures = Departures()
    let names: NameChangeCounts
    let refusals = Refusals()
    /// What the mount shows of itself; nil where it shows nothing.
    let virtual: VirtualFolder?
    /// When the share was mounted.
    let began = Clock.wallTime()
    let log: @Sendable (String) -> Void
    init(
        volume: any Volume, chunks: any ChunkStorage, contentKeys: ContentKeys,
        staging: any StagingArea, options: MountOptions, virtual: (any VirtualDirectory)?,
        submit: @escaping FuseMount.Submit, log: @escaping @Sendable (String) -> Void
    ) throws(MountError) {
        self.volume = volume
        self.virtual = virtual.map { VirtualFolder($0) }
        self.chunks = chunks
        self.options = options
        self.log = log
        depot = StagingDepot(
            area: staging, bytesMax: options.stagedBytesMax,
            adoptedBytesMin: options.adoptedBytesMin)
        interrupts = try SerialThread(name: "interrupts")
        pending = try PendingReplies(interrupts: interrupts)
        symlinks = options.containSymlinks ? SymlinkPolicy() : nil
        kernel = KernelCache(table: table)
        let names = NameChangeCounts()
        self.names = names
        let writeBack = try WriteBack(kernel: kernel)
        self.writeBack = writeBack
        let invalidator = try Invalidator(
            table: table, volume: volume, kernel: kernel, changes: changes, names: names,
            replay: replay, writeBack: writeBack
        ) { file in
            file.refresh(from: volume, chunks: chunks)
        }
        self.invalidator = invalidator
        publisher = Publisher(
            volume: volume, chunks: chunks, keys: contentKeys, depot: depot, table: table,
            changes: changes, invalidator: invalidator, writeBack: writeBack, submit: submit,
            log: log)
    }

    // MARK: Ending

    /// Whether who waits for room has to get on.
    var mustNotWait: Bool { isEnding.load(ordering: .relaxed) }

    /// Lets everybody get on, or fail, who waits for something; from now on nobody waits.
    func endWaiting() {
        isEnding.store(true, ordering: .relaxed)
        pending.close()
    }

    /// The session has ended.
    func end() {
        endWaiting()
        interrupts.stop()
    }

    // MARK: Inodes

    func inode(_ id: InodeID) throws(VolumeError) -> Inode {
        guard let inode = table.find(id) else { throw id.isVirtual ? .readOnly : .stale }
        return inode
    }

    /// The directory's node; a removed one holds nothing.
    func directory(_ id: InodeID) throws(VolumeError) -> NodeID {
        let inode = try inode(id)
        guard inode.orphan == nil else { throw .notFound }
        return inode.node
    }

    /// What stat shows.
    func attributes(of inode: Inode) throws(VolumeError) -> Attributes {
        if let orphan = inode.orphan {
            var attributes = orphan.attributes.withLock { $0 }
            inode.file?.patch(&attributes)
            return attributes
        }
        let before = changes.now
        do {
            let attributes = try volume.attributes(of: inode.node)
            return try patched(attributes, of: inode.id, readAt: before)
        } catch {
            guard error == .notFound || error == .stale,
                let kept = inode.file?.attributesWithoutName
            else { throw error }
            return kept
        }
    }

    /// Puts what is not published over the volume's attributes; reads those anew if they are of
    /// before a change that has come since.
    ///
    /// - Parameter before: the count of changes before `attributes` were read.
    func patched(_ attributes: Attributes, of id: InodeID, readAt before: UInt64)
        throws(VolumeError) -> Attributes
    {
        var attributes = attributes
        var before = before
        for _ in 0..<MountLimits.answerRoundsMax {
            table.find(id)?.file?.patch(&attributes)
            let now = changes.now
            if now == before { break }
            before = now
            attributes = try volume.attributes(of: table.find(id)?.node ?? attributes.node)
        }
        return attributes
    }

    /// Counts a look-up and makes the entry of it.
    ///
    /// - Parameter before: the count of changes before `attributes` were read.
    /// - Parameter place: the name that it was looked up, or made, by; nil if by none.
    func bind(_ attributes: Attributes, readAt before: UInt64, at place: NamePlace?) -> Entry {
        // From here on a change finds the inode in the table.
        let inode = table.bind(attributes.node, showing: attributes.number)
        let shown = try? patched(attributes, of: inode.id, readAt: before)
        table.noteLookup(inode.id, shown ?? attributes, at: place)
        return Entry(
            id: inode.id.rawValue, status: status(shown ?? attributes),
            cacheSeconds: shown == nil ? 0 : options.cacheSeconds)
    }

    /// Answers with an entry; undoes its look-up if the request is gone.
    func reply(_ reply: consuming FuseReply, _ entry: Entry) {
        if !reply.entry(entry) { table.forget(InodeID(rawValue: entry.id)) }
    }

    func status(_ attributes: Attributes) -> stat {
        var status = stat()
        status.st_ino = ino_t(attributes.number.rawValue)
        status.st_mode = attributes.kind.modeBits | attributes.mode & 0o7777
        status.st_nlink = nlink_t(attributes.links)
        (status.st_uid, status.st_gid) = owner(of: attributes)
        status.st_rdev = dev_t(attributes.device)
        status.st_size = off_t(clamping: attributes.size)
        status.st_blksize = 4096
        status.st_blocks = blkcnt_t(clamping: (attributes.size &+ 511) / 512)
        status.st_atim = timespec(attributes.accessed)
        status.st_mtim = timespec(attributes.modified)
        status.st_ctim = timespec(attributes.changed)
        return status
    }

    /// Whom it is shown to belong to.
    func owner(of attributes: Attributes) -> (user: uid_t, group: gid_t) {
        guard case .user(let uid, let gid, let keepsGroups) = options.ownership else {
            return (attributes.uid, attributes.gid)
        }
        return (uid, keepsGroups && uid == attributes.uid ? attributes.gid : gid)
    }

    /// A name as the kernel gives it.
    func name(_ name: UnsafePointer<CChar>) throws(VolumeError) -> [UInt8] {
        let count = unsafe strlen(name)
        guard count <= MountLimits.nameSizeMax else { throw .nameTooLong }
        // The kernel's names end in a zero byte; `count` bytes lie before it.
        return unsafe [UInt8](UnsafeRawBufferPointer(start: name, count: count))
    }

    /// An errno; what an operator must see goes to the log.
    func code(_ error: VolumeError) -> Int32 {
        if case .storage(let error) = error {
            log("\(error)")
        }
        return ErrorCode.code(error)
    }

    /// Answers with an error. For ESTALE the kernel looks up again and calls again, but once: whoever has been
    /// told so hears then that it is not there.
    func refuse(_ reply: consuming FuseReply, _ error: VolumeError, isLookup: Bool = false) {
        let code = code(error)
        let caller = reply.caller
        guard code == ESTALE else {
            refusals.forget(caller)
            return reply.fail(code)
        }
        reply.fail(refusals.refuse(caller, isLookup: isLookup) ? ESTALE : ENOENT)
    }

    // MARK: Files

    /// Makes the kernel ask before it takes more bytes that nobody will fetch.
    func failWriters() {
        for file in table.files() where file.hasWriters { kernel.forgetAttributes(of: file.id) }
    }

    /// The inode's file state with its content loaded, kept until `table.unpin`.
    func pinLoaded(_ id: InodeID) throws(VolumeError) -> FileState {
        let inode = try inode(id)
        let isUsed = writeBack.isUsed
        guard
            let file = table.pin(
                id, make: { FileState(id: id, node: $0, hasKernelTimes: isUsed) })
        else {
            throw .stale
        }
        do {
            try file.load(
                from: volume, chunks: chunks, orphan: inode.orphan, pages: inode.pages)
        } catch {
            table.unpin(file)
            throw error
        }
        return file
    }

    /// Takes setuid and setgid bits and capabilities away before content changes, as
    /// HANDLE_KILLPRIV_V2 promises.
    func clearPrivileges(of file: FileState, by caller: Caller) throws(VolumeError) {
        guard file.mayHavePrivileges(byRoot: caller.isRoot), !file.isOrphan else { return }
        let node = file.node
        let attributes = try volume.attributes(of: node)
        var hasSetID = attributes.mode & 0o6000 != 0
        var mode = attributes.modeWithoutPrivileges
        // Outside the group the bit goes even where it means something else than setgid.
        if mode & 0o2000 != 0, !caller.isRoot, !caller.isMember(of: attributes.gid) {
            mode &= ~0o2000
        }
        if !caller.isRoot, mode != attributes.mode {
            _ = try volume.setAttributes(of: node, to: AttributeChange(mode: mode))
            invalidator.forgetAttributes(of: file.id)
            hasSetID = false
        }
        do {
            try volume.removeExtendedAttribute(ExtendedAttribute.capability, of: node)
        } catch {
            guard error == .noAttribute || error == .notSupported else { throw error }
        }
        file.notePrivileges(setID: hasSetID, capability: false)
    }
}

extension Attributes {
    /// As Linux clears them: setgid only where the group may execute; else it means something else.
    var modeWithoutPrivileges: UInt32 {
        guard kind != .directory else { return mode }
        return mode & 0o0010 != 0 ? mode & ~0o6000 : mode & ~0o4000
    }
}

extension FileKind {
    /// The type's bits in a mode.
    var modeBits: UInt32 {
        UInt32(typeBits)
    }

    private var typeBits: Int32 {
        switch self {
        case .file: S_IFREG
        case .directory: S_IFDIR
        case .symlink: S_IFLNK
        case .fifo: S_IFIFO
        case .socket: S_IFSOCK
        case .characterDevice: S_IFCHR
        case .blockDevice: S_IFBLK
        }
    }

    /// - Returns: nil for bits that name no type; none at all mean a file.
    init?(modeBits: UInt32) {
        switch Int32(bitPattern: modeBits) & S_IFMT {
        case 0, S_IFREG: self = .file
        case S_IFDIR: self = .directory
        case S_IFLNK: self = .symlink
        case S_IFIFO: self = .fifo
        case S_IFSOCK: self = .socket
        case S_IFCHR: self = .characterDevice
        case S_IFBLK: self = .blockDevice
        default: return nil
        }
    }
}

extension timespec {
    init(_ time: Timestamp) {
        self.init(tv_sec: time_t(time.seconds), tv_nsec: Int(time.nanoseconds))
    }
}

extension Timestamp {
    init(_ time: timespec) {
        self.init(seconds: Int64(time.tv_sec), nanoseconds: UInt32(clamping: time.tv_nsec))
    }
}
