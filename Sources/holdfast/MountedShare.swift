import Base
import Crypto
import FuseMount
import Glibc
import Host
import Share
import Store
import Swarm
import Synchronization

/// A share at work in this process: storage, engine, transports and mount, wired together.
final class MountedShare: RunningShare {
    private enum Limits {
        /// Threads that cut, hash and encrypt.
        static let workers = 2
        /// Threads that answer commands, but for those that take minutes.
        static let answering = 2
        static let tickInterval = Duration.milliseconds(250)
        /// How long a device waits for a member to admit it.
        static let admissionSeconds = 30
        static let firstSyncSeconds = 10
        static let historyEntries = 100
        /// Of one answer.
        static let conflicts = 10_000
    }

    private let settings: ShareSettings
    let volume: ShareVolume
    private let folder: ShareFolder
    let packs: PackStore
    private let loop: EventLoop
    private let log: Log
    private let workers: WorkerPool
    private let answering: WorkerPool
    /// One thread: there is one past to look at, and one folder to check in.
    private let lengthy: WorkerPool
    /// Does what nobody waits for.
    private let upkeep: WorkerPool
    /// Serves the kernel on one thread, and stops it from another.
    private let mounting: WorkerPool
    private let driver: ShareDriver
    private let transports: ShareTransports
    private let wayfinder: Wayfinder
    private let virtual: MountFolder
    private let mount: FuseMount
    private let mountGuard: MountGuard?
    private let isStopping = Atomic(false)
    /// Held for as long as this lives.
    private let lock: ShareLock

    /// Opens the share, connects, waits for admission if the device is new, and mounts.
    init(
        _ identity: ShareIdentity, folder: ShareFolder, lock: consuming ShareLock,
        settings: ShareSettings, mounting options: MountOptions, loop: EventLoop, log: Log
    ) throws(CommandFailure) {
        self.lock = lock
        self.settings = settings
        self.folder = folder
        self.loop = loop
        self.log = log
        let (workers, answering, lengthy, upkeep, mounting) = try hosted { () throws(HostError) in
            (
                try WorkerPool(threads: Limits.workers, name: "chunk"),
                try WorkerPool(threads: Limits.answering, name: "control"),
                try WorkerPool(threads: 1, name: "lengthy"),
                try WorkerPool(threads: 1, name: "upkeep"),
                try WorkerPool(threads: 2, name: "mount")
            )
        }
        self.workers = workers
        self.answering = answering
        self.lengthy = lengthy
        self.upkeep = upkeep
        self.mounting = mounting
        let (packs, staging, volume) = try storing { () throws(StorageError) in
            let packs = try folder.openPacks()
            let volume = try ShareVolume(
                identity, origin: .stored,
                storage: try folder.openDatabase { upkeep.trySubmit($0) },
                chunks: packs,
                environment: HostClock(loop: loop),
                diskSpace: { (try? folder.diskSpace()) ?? (total: 0, free: 0) })
            return (packs, try folder.openStaging(), volume)
        }
        self.packs = packs
        self.volume = volume
        for damage in packs.damages { log.write("packs: \(damage)") }
        try storing { () throws(StorageError) in
            let freed = try volume.collectChunksIfDue()
            if freed > 0 { log.write("packs: \(freed) bytes of unused chunks given back") }
        }

        let (known, note) = Wayfinder.read(folder, settings)
        if let note { log.write(note) }
        // A name server that does not answer must keep nobody waiting, the mount's end included: these
        // threads are never waited for.
        let resolvers = try hosted { () throws(HostError) in
            try WorkerPool(threads: 2, name: "resolver")
        }
        let transports = try ShareTransports(
            settings, nodeKey: volume.keys.nodeKey(of: volume.device),
            memory: SwarmMemory(known), loop: loop, workers: resolvers)
        self.transports = transports
        let driver = ShareDriver(
            loop: loop, handler: volume, transports: transports.all,
            topics: ShareTopics(
                data: volume.keys.dataTopic, bootstrap: volume.keys.bootstrapTopic),
            ownKey: volume.device.publicKey,
            hints: known.addresses.compactMap { PeerAddress($0) }, log: log)
        self.driver = driver
        let wayfinder = Wayfinder(folder, known, driver, transports, log)
        self.wayfinder = wayfinder
        let virtual = MountFolder(volume, scratchIn: folder)
        self.virtual = virtual
        do throws(CommandFailure) {
            try transports.attach(driver)
            try transports.rememberPorts(in: folder)
            driver.start(isMember: volume.isAdmitted)
            try Self.waitForAdmission(volume, driver)
            driver.becomeMember()
            mount = try Self.mount(
                volume, packs, staging, options, virtual, workers, log)
        } catch {
            driver.stop()
            transports.close()
            for pool in [workers, answering, lengthy, upkeep, mounting] { pool.stop() }
            throw error
        }
        let mount = mount
        do throws(HostError) {
            mountGuard = try MountGuard(of: settings.mountPoint)
        } catch {
            log.write("programs may hang if this process is killed: \(error)")
            mountGuard = nil
        }
        virtual.begin { [weak self] in self?.status }
        loop.submit { [loop] in
            loop.add(
                Ticker(interval: Limits.tickInterval) {
                    // Not behind the jobs that cut files into chunks: a crash counts the time.
                    _ = mounting.trySubmit { mount.tick() }
                })
            loop.add(
                Ticker(interval: Wayfinder.keepInterval) {
                    _ = upkeep.trySubmit { wayfinder.keep() }
                })
        }
        mounting.submit { mount.run() }
    }

    private static func mount(
        _ volume: ShareVolume, _ packs: PackStore, _ staging: StagingDirectory,
        _ options: MountOptions, _ virtual: MountFolder, _ workers: WorkerPool, _ log: Log
    ) throws(CommandFailure) -> FuseMount {
        do throws(MountError) {
            return try FuseMount(
                volume: volume, chunks: packs, contentKeys: volume.keys.contentKeys,
                staging: staging, options: options, virtual: virtual,
                submit: { work in
                    if !workers.submit(work) { work() }
                }, log: { log.write($0) })
        } catch {
            switch error {
            case .inUse: throw CommandFailure(.inUse, "\(error)")
            case .missing, .notDirectory: throw CommandFailure(.notFound, "\(error)")
            case .notAllowed, .othersNotAllowed, .needsRoot:
                throw CommandFailure(.denied, "\(error)")
            default: throw CommandFailure(.general, "\(error)")
            }
        }
    }

    // MARK: Joining

    /// Waits until a member has admitted this device, and what it has is known here.
    private static func waitForAdmission(_ volume: ShareVolume, _ driver: ShareDriver)
        throws(CommandFailure)
    {
        guard !volume.isAdmitted else { return }
        let deadline = monotonicNow() + .seconds(Limits.admissionSeconds)
        while !volume.isAdmitted {
            if let refusal = volume.refusal {
                throw CommandFailure(
                    .denied, "the share refused this device: \(EscapedText.escaped(refusal))")
            }
            guard monotonicNow() < deadline else { throw noPeer(driver) }
            usleep(10_000)
        }
        let syncDeadline = monotonicNow() + .seconds(Limits.firstSyncSeconds)
        while volume.status().pending.blocks > 0, monotonicNow() < syncDeadline { usleep(10_000) }
    }

    private static func noPeer(_ driver: ShareDriver) -> CommandFailure {
        let tried = driver.dialStates.map { state in
            "\(state.target)" + (state.problem.map { " (\($0))" } ?? "")
        }
        let problems = driver.transportProblems.map { "; \($0)" }.joined()
        return CommandFailure(
            .noPeer,
            tried.isEmpty
                ? "no member of the share was found: start one, or name the address of one with "
                    + "--peer HOST:PORT\(problems)"
                : "no member of the share answered at \(tried.joined(separator: ", ")): start one "
                    + "there, or name another with --peer HOST:PORT\(problems)")
    }

    // MARK: Life

    func stop() {
        guard !isStopping.exchange(true, ordering: .acquiringAndReleasing) else { return }
        let mount = mount
        mounting.submit { mount.stop() }
    }

    func wait() throws(CommandFailure) {
        mounting.drain()
        mountGuard?.end()
        workers.drain()
        answering.drain()
        lengthy.drain()
        virtual.end()
        defer {
            wayfinder.keep()
            driver.stop()
            transports.close()
            for pool in [workers, answering, lengthy, upkeep, mounting] { pool.stop() }
        }
        do throws(VolumeError) {
            try volume.sync()
        } catch {
            throw CommandFailure(.general, "the last changes could not be made durable: \(error)")
        }
        // Connected peers hear of the last blocks, if they listen.
        let deadline = monotonicNow() + .milliseconds(500)
        while transports.isFlushing, monotonicNow() < deadline { usleep(10_000) }
    }

    // MARK: Control

    func answer(
        _ request: ControlRequest, _ reply: @escaping @Sendable (ControlResponse) -> Void
    ) {
        // An answer may wait for the engine, so it is never given on the loop.
        let pool = request.command.takesLong ? lengthy : answering
        let isAccepted = pool.trySubmit { [self] in
            do throws(CommandFailure) {
                reply(try response(to: request))
            } catch {
                reply(ControlResponse(error: error.asControlFailure))
            }
        }
        if !isAccepted {
            let busy = CommandFailure(.temporary, "the daemon is busy: try again")
            reply(ControlResponse(error: busy.asControlFailure))
        }
    }

    private func response(to request: ControlRequest) throws(CommandFailure) -> ControlResponse {
        switch request.command {
        case .status: return ControlResponse(status: status)
        case .invite:
            return ControlResponse(link: try link(isForOwner: request.isForOwner ?? false))
        case .revoke:
            let lines = try revoke(request.device)
            mount.awaitShown()
            return ControlResponse(lines: lines)
        case .retire: return ControlResponse(lines: try retire(request.device))
        case .pause, .resume:
            let isPaused = request.command == .pause
            volume.setPaused(isPaused)
            driver.setPaused(isPaused)
            return ControlResponse(status: status)
        case .log:
            return ControlResponse(
                log: try history(request.path, limit: request.limit ?? Limits.historyEntries))
        case .conflicts:
            return ControlResponse(
                conflicts: try conflicts(
                    below: request.path, limit: request.limit ?? Limits.conflicts))
        case .resolve:
            let left = try resolve(request)
            mount.awaitShown()
            return ControlResponse(conflicts: left)
        case .explain: return ControlResponse(explanation: try explanation(of: request.path))
        case .restore:
            let report = try ShareRestore(volume: volume, folder: folder).run(request)
            // Whoever gave the command looks for it now.
            mount.awaitShown()
            return ControlResponse(restored: report)
        case .retain:
            return ControlResponse(retention: try retention(request.retention))
        case .merging:
            return ControlResponse(merging: try merging(request.mergeRules))
        case .export:
            let report = try ShareExport(
                volume: volume, folder: folder, chunks: packs, isConnected: true
            ).run(to: request.target, of: request.device)
            return ControlResponse(exported: report)
        case .check:
            let report = try storing { () throws(StorageError) in
                try ShareCheck(volume: volume, packs: packs, folder: folder).run()
            }
            return ControlResponse(lines: try report.lines())
        case .unmount:
            stop()
            return ControlResponse()
        }
    }

    private var status: ShareStatus {
        // Asked first: what is published in between is in the view then.
        let unpublished = mount.unpublishedBytes
        var status = volume.status()
        status.pending.bytes += unpublished
        status.name = settings.name
        status.mountpoint = settings.mountPoint
        status.transport = settings.transport
        status.problems += driver.transportProblems
        let links = driver.linkStates
        for index in status.peers.indices {
            let number = status.peers[index].connection
            guard let link = links.first(where: { $0.connection.rawValue == number }) else {
                continue
            }
            status.peers[index].address = link.address
            status.peers[index].path = link.path.rawValue
            status.peers[index].roundTripMilliseconds = link.roundTripTime.map {
                Double($0.nanosecondsClamped / 1000) / 1000
            }
        }
        return status
    }

    private func retention(_ policy: RetentionPolicy?) throws(CommandFailure) -> RetentionPolicy {
        guard let policy else { return volume.retention }
        do throws(VolumeError) {
            try volume.setRetention(policy)
        } catch {
            throw CommandFailure(.general, "\(error)")
        }
        return volume.retention
    }

    private func merging(_ rules: UInt64?) throws(CommandFailure) -> MergeSetting {
        guard let rules else { return volume.mergeSetting }
        do throws(VolumeError) {
            try volume.setMergeRules(rules)
        } catch {
            switch error {
            case .notSupported:
                throw CommandFailure(
                    .usage,
                    "this release knows no rules after \(volume.mergeSetting.newest), and the share has or "
                        + "would have newer ones: update holdfast on this device first")
            case .readOnly:
                throw CommandFailure(.denied, "this device is no member that may write yet")
            default: throw CommandFailure(.general, "\(error)")
            }
        }
        return volume.mergeSetting
    }

    private func link(isForOwner: Bool) throws(CommandFailure) -> String {
        let addresses = driver.addresses.map { "\($0)" } + settings.peers
        if isForOwner {
            do throws(MemberError) {
                return try volume.ownerLink(name: settings.name, addressHints: addresses).text
            } catch {
                throw Self.failure(error)
            }
        }
        let link = try storing { () throws(StorageError) in
            try volume.inviteLink(name: settings.name, addressHints: addresses)
        }
        guard let link else {
            throw CommandFailure(
                .denied,
                "this device holds no invite: ask for a link where the share was made, or where a device was"
                    + " last revoked")
        }
        return link.text
    }

    private func history(_ path: String?, limit: Int) throws(CommandFailure) -> [LogEntry] {
        let names = Self.names(of: path)
        do throws(VolumeError) {
            return try volume.history(of: names, limit: limit).map { entry in
                LogEntry(
                    time: Log.text(
                        of: Timestamp(
                            seconds: Int64(entry.time / 1000),
                            nanoseconds: UInt32(entry.time % 1000) * 1_000_000)),
                    device: entry.device, operation: entry.operation, path: entry.path,
                    detail: entry.detail, version: entry.operation == "write" ? entry.id : nil,
                    state: entry.operation == "write" ? entry.state : nil)
            }
        } catch {
            throw Self.failure(error)
        }
    }

    /// The names in a path below the mount point.
    static func names(of path: String?) -> [[UInt8]] {
        (path ?? "").split(separator: "/").map { Array($0.utf8) }
    }

    /// Why a path of the share was not told of.
    static func failure(_ error: VolumeError) -> CommandFailure {
        switch error {
        case .notFound, .notDirectory:
            CommandFailure(.notFound, "there is no such file in the share")
        default: CommandFailure(.general, "\(error)")
        }
    }
}

/// Calls something at intervals, on the event loop.
private final class Ticker: LoopMember {
    private let interval: Duration
    private let body: () -> Void
    private var due = Instant.zero

    init(interval: Duration, _ body: @escaping () -> Void) {
        self.interval = interval
        self.body = body
    }

    func run(now: Instant) -> Instant {
        if now >= due {
            due = now + interval
            body()
        }
        return due
    }
}
