package import Chunks
package import Share
internal import Base
internal import CFuse3
internal import Glibc
internal import Synchronization

/// A share mounted at a directory: the kernel's requests become calls of a `Volume`.
@safe package final class FuseMount: @unchecked Sendable {
    /// Runs `work` on some other thread, soon.
    package typealias Submit = @Sendable (_ work: @escaping @Sendable () -> Void) -> Void

    private enum Phase { case mounted, running, stopping, ended }

    private let options: MountOptions
    private let filesystem: Filesystem
    private let log: @Sendable (String) -> Void
    private let session: OpaquePointer
    private let loop: SessionLoop
    /// What the session's callbacks find; freed after the session.
    private let userdata: UnsafeMutablePointer<holdfast_session>
    private let phase = Mutex(Phase.mounted)
    private let ended = Latch()
    private let isTicking = Atomic<Bool>(false)
    private let place: MountedPlace?

    /// Mounts, and takes up what an earlier run left staged. The kernel's requests wait until `run`.
    ///
    /// - Parameter contentKeys: with which background work cuts files into chunks.
    /// - Parameter virtual: what `.holdfast` in the root shows: reached by name, never listed.
    /// - Parameter submit: where that work runs; it blocks on the disk.
    /// - Parameter log: one line for the operator.
    package init(
        volume: any Volume, chunks: any ChunkStorage, contentKeys: ContentKeys,
        staging: any StagingArea, options: MountOptions,
        virtual: (any VirtualDirectory)? = nil, submit: @escaping Submit,
        log: @escaping @Sendable (String) -> Void
    ) throws(MountError) {
        var options = options
        options.mountPoint = try MountPoint.prepare(options, log: log)
        self.options = options
        self.log = log
        filesystem = try Filesystem(
            volume: volume, chunks: chunks, contentKeys: contentKeys, staging: staging,
            options: options, virtual: virtual, submit: submit, log: log)
        unsafe userdata = .allocate(capacity: 1)
        unsafe userdata.initialize(to: holdfast_session())
        unsafe userdata.pointee.filesystem =
            Unmanaged.passUnretained(filesystem).toOpaque()
        unsafe userdata.pointee.wanted =
            HOLDFAST_INIT_HANDLE_KILLPRIV_V2 | (options.acl ? HOLDFAST_INIT_ACL : 0)
        do throws(MountError) {
            unsafe session = try Self.mount(options, userdata)
        } catch {
            unsafe userdata.deallocate()
            throw error
        }
        loop = unsafe SessionLoop(session)
        place = MountedPlace(mountedAt: options.mountPoint)
        // All is there: if this throws, `deinit` takes the mount away.
        try filesystem.recover()
        if let place { filesystem.writeBack.begin(at: place) }
        unsafe filesystem.kernel.begin(session)
        // Nothing can be changed through a mount that is read-only.
        filesystem.invalidator.begin(at: options.readOnly ? nil : place)
        volume.setObserver(filesystem.invalidator)
    }

    deinit {
        end()
        unsafe fuse_session_destroy(session)
        unsafe userdata.deallocate()
    }

    private static func mount(
        _ options: MountOptions, _ userdata: UnsafeMutablePointer<holdfast_session>
    ) throws(MountError) -> OpaquePointer {
        var table = Callbacks.table()
        let words = ["holdfast", "-o", MountPoint.words(options).joined(separator: ",")]
        var copies = unsafe words.map { unsafe strdup($0) }
        defer { for index in words.indices { unsafe free(copies[index]) } }
        // libfuse copies what it keeps of the arguments and of the table.
        let made = unsafe copies.withUnsafeMutableBufferPointer { words in
            var arguments = unsafe fuse_args(
                argc: Int32(words.count), argv: words.baseAddress, allocated: 0)
            let session = unsafe fuse_session_new(
                &arguments, &table, MemoryLayout<fuse_lowlevel_ops>.size, userdata)
            unsafe fuse_opt_free_args(&arguments)
            return unsafe session
        }
        guard let session = unsafe made else { throw .refused(mountPoint: options.mountPoint) }
        guard unsafe fuse_session_mount(session, options.mountPoint) == 0 else {
            unsafe fuse_session_destroy(session)
            throw .refused(mountPoint: options.mountPoint)
        }
        let code = unsafe holdfast_install_hook(session)
        guard code == 0 else {
            unsafe fuse_session_unmount(session)
            unsafe fuse_session_destroy(session)
            throw .system(code: -code, action: "preparing the fuse session")
        }
        return unsafe session
    }

    /// Serves the kernel; returns once the share is unmounted and all threads of the loop are gone.
    package func run() {
        let runs = phase.withLock { phase in
            guard case .mounted = phase else { return false }
            phase = .running
            return true
        }
        guard runs else { return ended.wait() }
        do throws(MountError) {
            try loop.run()
        } catch {
            log("serving \(options.mountPoint) ended: \(error)")
        }
        end()
    }

    /// Publishes what is dirty, then unmounts; `run` returns. From any thread, more than once.
    package func stop() {
        let before = phase.withLock { phase in
            let before = phase
            if case .ended = before { return before }
            phase = .stopping
            return before
        }
        switch before {
        case .mounted: end()
        case .stopping, .ended: ended.wait()
        case .running:
            filesystem.endWaiting()
            syncMapped()
            filesystem.writeBack.end()
            filesystem.invalidator.pause()
            flushAtEnd()
            // Where the share is mounted elsewhere too (a bind mount, another namespace), or where
            // somebody is inside, the session ends under them.
            let isAway = MountPoint.unmount(options.mountPoint)
            if isAway, ended.wait(until: Clock.now() + MountLimits.endPatience) { return }
            filesystem.failWriters()
            unsafe fuse_session_exit(session)
            loop.wakeReader()
            while !ended.wait(until: Clock.now() + MountLimits.endPatience) {
                // A thread that waits for the kernel must look up to see that it is over.
                loop.wakeReader()
            }
        }
    }

    /// Has the kernel write back what programs changed through maps; for a bounded time, since it may
    /// wait for programs, too.
    private func syncMapped() {
        let done = Latch()
        guard let place else { return }
        do throws(MountError) {
            try startThread(name: "sync") {
                // As the thread that writes back: it must not keep the session if it is killed.
                holdfast_own_files()
                place.sync()
                done.open()
            }
        } catch {
            return log("changes through maps may be lost: \(error)")
        }
        if !done.wait(until: Clock.now() + MountLimits.unmountPatience) {
            log("the kernel keeps changes that programs made through maps: they are lost")
        }
    }

    /// Publishes everything dirty and makes it durable.
    package func flushAll() throws(VolumeError) {
        // What the kernel has not sent yet comes first.
        if filesystem.writeBack.isUsed { place?.sync() }
        try filesystem.publisher.flushAll(deadline: Clock.now() + MountLimits.stopPatience)
    }

    /// Waits until programs see what the volume was changed to before this call, not by them.
    ///
    /// - Returns: false if that takes longer than a few seconds.
    @discardableResult
    package func awaitShown() -> Bool { filesystem.invalidator.awaitShown() }

    /// Records and publishes files that are kept open; to be called a few times a second.
    package func tick() {
        guard !isTicking.exchange(true, ordering: .acquiring) else { return }
        defer { isTicking.store(false, ordering: .releasing) }
        let now = Clock.now()
        filesystem.writeBack.tick(now: now)
        filesystem.invalidator.tick()
        filesystem.publisher.tick(now: now)
    }

    /// Bytes that programs wrote and no version holds yet; 0 only if there are none. What is not
    /// counted any more is in the volume's view.
    package var unpublishedBytes: UInt64 { filesystem.publisher.unpublishedBytes }

    /// How many requests of each kind the kernel has sent so far.
    package var requests: [RequestKind: UInt64] {
        var counts: [RequestKind: UInt64] = [:]
        for kind in RequestKind.allCases {
            // The structure lives as long as this object.
            let count = unsafe holdfast_request_count(userdata, kind.rawValue)
            if count > 0 { counts[kind] = count }
        }
        return counts
    }

    /// What open files still read, published or not: a collector of chunks must keep these.
    package func openContents() -> [Content] {
        filesystem.table.files().flatMap(\.contentsInUse)
    }

    private func flushAtEnd() {
        do throws(VolumeError) {
            try filesystem.publisher.flushAll(deadline: Clock.now() + MountLimits.stopPatience)
            let volume = filesystem.volume
            try filesystem.depot.release(now: Clock.now()) { () throws(VolumeError) in
                try volume.sync()
            }
            filesystem.depot.dropSpares()
        } catch {
            log("not everything was saved; the next mount goes on with it: \(error)")
        }
    }

    /// Takes the mount away whatever state it is in; the first call does it.
    private func end() {
        let isFirst = phase.withLock { phase in
            if case .ended = phase { return false }
            phase = .ended
            return true
        }
        guard isFirst else { return }
        filesystem.volume.setObserver(nil)
        filesystem.writeBack.end()
        filesystem.invalidator.end()
        // Closes the device first, so that the kernel waits for no answer; lazily.
        unsafe fuse_session_unmount(session)
        flushAtEnd()
        filesystem.end()
        ended.open()
    }
}
