import Base
import Chunks
import Crypto
import FuseMount
import Glibc
import Host
import Share
import Store
import Swarm

/// The shares in this device's state, on disk, mounted with FUSE.
struct LocalShares: ShareService {
    /// `--home` or HOLDFAST_HOME; nil for the default place.
    let home: String?
    let environment: [String: String]

    // MARK: What there is

    func shares() throws(CommandFailure) -> [KnownShare] {
        try stated { () throws(StateError) in
            let state = try openState()
            var known: [KnownShare] = []
            for folder in try state.shares() {
                let settings = try folder.settings()
                known.append(
                    KnownShare(
                        id: folder.id, name: settings.name, mountPoint: settings.mountPoint,
                        folder: folder.path))
            }
            return known.sorted { $0.mountPoint < $1.mountPoint }
        }
    }

    // MARK: Making and unmaking

    func create(
        name: String, mountPoint: String, options: ServeOptions
    ) throws(CommandFailure) -> KnownShare {
        var random = SecureRandom()
        let shareKey = randomKey(&random)
        return try make(
            shareKey, origin: .found(name: name, inviteSeed: randomKey(&random)),
            settings: settings(name: name, mountPoint: mountPoint, options: options),
            options: options)
    }

    func join(
        link text: String, mountPoint: String, options: ServeOptions
    ) throws(CommandFailure) -> KnownShare {
        let link: InviteLink
        do {
            link = try InviteLink(parsing: text)
        } catch {
            throw CommandFailure(.wrongLink, "\(error)")
        }
        var settings = settings(
            name: link.name.isEmpty ? PathText.lastName(of: mountPoint) : link.name,
            mountPoint: mountPoint, options: options)
        for hint in link.addressHints where !settings.peers.contains(hint) {
            settings.peers.append(hint)
        }
        return try make(
            link.shareKey,
            origin: .join(foundingLog: link.foundingLog, inviteSeed: link.inviteSeed),
            settings: settings, options: options)
    }

    private func make(
        _ shareKey: Bytes32, origin: ShareOrigin, settings: ShareSettings, options: ServeOptions
    ) throws(CommandFailure) -> KnownShare {
        let keys = ShareKeys(shareKey: shareKey)
        let id = keys.shareID.hex
        for known in try shares() where known.shareID == id && !options.isAnew {
            throw CommandFailure(
                .inUse,
                "this device has the share already: "
                    + "holdfast mount \(EscapedText.quoted(known.mountPoint)) brings it back; if it is no"
                    + " member there any more, holdfast join --anew makes it one again, beside what it has"
            )
        }
        var random = SecureRandom()
        let deviceKey = options.isAnew ? randomKey(&random) : nil
        let folder = try stated { () throws(StateError) in
            try openState().makeShare(
                id, key: shareKey, settings: settings, deviceKey: deviceKey)
        }
        let known = KnownShare(
            id: folder.id, name: settings.name, mountPoint: settings.mountPoint, folder: folder.path
        )
        do throws(CommandFailure) {
            let identity = try identity(of: folder, deviceName: options.deviceName)
            try storing { () throws(StorageError) in
                let volume = try ShareVolume(
                    identity, origin: origin, storage: try folder.openDatabase(),
                    chunks: try folder.openPacks(), environment: OfflineEnvironment(),
                    diskSpace: { (total: 0, free: 0) })
                _ = volume.status()
            }
        } catch {
            discard(known)
            throw error
        }
        return known
    }

    func move(_ share: KnownShare, to mountPoint: String) throws(CommandFailure) -> KnownShare {
        let folder = try stated { () throws(StateError) in try openState().share(share.id) }
        let lock = try lockedSoon(folder)
        try stated { () throws(StateError) in
            var settings = try folder.settings()
            settings.mountPoint = mountPoint
            try folder.setSettings(settings)
        }
        _ = consume lock
        var moved = share
        moved.mountPoint = mountPoint
        return moved
    }

    func discard(_ share: KnownShare) {
        // What cannot be removed is in the way of nothing but a second try, which says so.
        do {
            let folder = try openState().share(share.id)
            try folder.remove(try folder.lock())
        } catch {}
    }

    // MARK: Serving

    func start(
        _ share: KnownShare, options: ServeOptions, loop: EventLoop, log: Log
    ) throws(CommandFailure) -> any RunningShare {
        let folder = try stated { () throws(StateError) in try openState().share(share.id) }
        let lock = try lockedSoon(folder)
        let before = try stated { () throws(StateError) in try folder.settings() }
        let settings = try update(folder, with: options)
        let identity = try identity(of: folder, deviceName: options.deviceName)
        do throws(CommandFailure) {
            return try MountedShare(
                identity, folder: folder, lock: lock, settings: settings,
                mounting: MountOptions(settings, options), loop: loop, log: log)
        } catch {
            // An address that may be what did not work must not keep the next mount from its work.
            if settings.listen != before.listen {
                var corrected = settings
                corrected.listen = before.listen
                try? folder.setSettings(corrected)
            }
            throw error
        }
    }

    /// What was given now is remembered for the next mount.
    private func update(_ folder: ShareFolder, with options: ServeOptions)
        throws(CommandFailure) -> ShareSettings
    {
        try stated { () throws(StateError) in
            var settings = try folder.settings()
            let before = settings
            if let transport = options.transport { settings.transport = transport }
            if let peers = options.peers { settings.peers = peers.map { "\($0)" } }
            if let listen = options.listen { settings.listen = "\(listen)" }
            if let nodes = options.bootstrap { settings.bootstrap = nodes.map { "\($0)" } }
            if let relay = options.relay { settings.relay = relay }
            if options.transport != nil || options.withoutLAN {
                settings.usesLAN = !options.withoutLAN
            }
            if settings != before { try folder.setSettings(settings) }
            return settings
        }
    }

    // MARK: Checking

    private func folder(at path: String) throws(CommandFailure) -> ShareFolder {
        guard let known = try shares().first(where: { $0.folder == path }) else {
            throw CommandFailure(
                .notFound,
                "\(EscapedText.quoted(path)) is neither a mount point nor the state of a share of "
                    + "this device: holdfast status lists them")
        }
        return try stated { () throws(StateError) in try openState().share(known.id) }
    }

    func export(folder path: String, to target: String?, of device: String?) throws(CommandFailure)
        -> ExportReport
    {
        let folder = try folder(at: path)
        let lock = try locked(folder)
        let identity = try identity(of: folder, deviceName: nil)
        let (volume, packs) = try storing { () throws(StorageError) in
            let packs = try folder.openPacks()
            let volume = try ShareVolume(
                identity, origin: .stored, storage: try folder.openDatabase(), chunks: packs,
                environment: OfflineEnvironment(), diskSpace: { (total: 0, free: 0) })
            return (volume, packs)
        }
        let report = try ShareExport(
            volume: volume, folder: folder, chunks: packs, isConnected: false
        ).run(to: target, of: device)
        _ = consume lock
        return report
    }

    func check(folder path: String, rebuilds: Bool) throws(CommandFailure) -> [String] {
        let folder = try folder(at: path)
        let lock = try locked(folder)
        let identity = try identity(of: folder, deviceName: nil)
        let (report, done) = try storing { () throws(StorageError) in
            let packs = try folder.openPacks()
            let database = try folder.openDatabase()
            let staging = rebuilds ? try folder.setStagingAside(database) : []
            let volume = try ShareVolume(
                identity, origin: rebuilds ? .damaged : .stored,
                storage: database, chunks: packs,
                environment: OfflineEnvironment(), diskSpace: { (total: 0, free: 0) })
            let check = ShareCheck(volume: volume, packs: packs, folder: folder)
            let aside = staging.map {
                "\($0) may have changes to a file that were not shared; which file is not known any more"
            }
            let done = rebuilds ? try aside + check.rebuild() : []
            return (try check.run(), done)
        }
        _ = consume lock
        return try done + report.lines()
    }

    // MARK: Relaying

    func relayKey() throws(CommandFailure) -> KeyPair {
        // Apart from the device's own: who meets the relay learns nothing of the device.
        let label = Array("holdfast blind relay key".utf8)
        return KeyPair(seed: Blake2b.hash256(key: try device(named: nil).keyPair.seed, label))
    }

    // MARK: Parts

    private func openState() throws(StateError) -> StateFolder {
        var environment = environment
        if let home { environment["HOLDFAST_HOME"] = home }
        return try StateFolder(path: try StateFolder.path(environment: environment))
    }

    /// As `locked`, but waits for a daemon that is ending: umount(8) does not wait for what it saves.
    private func lockedSoon(_ folder: ShareFolder) throws(CommandFailure) -> ShareLock {
        let deadline = monotonicNow() + Self.endPatience
        while true {
            do throws(CommandFailure) {
                return try locked(folder)
            } catch {
                let mountPoint = try stated { () throws(StateError) in
                    try folder.settings().mountPoint
                }
                let isMounted = try hosted { () throws(HostError) in
                    try KernelMount.isMounted(mountPoint)
                }
                guard error.code == .inUse, !isMounted, monotonicNow() < deadline else {
                    throw error
                }
            }
            usleep(20_000)
        }
    }

    private static let endPatience = Duration.seconds(45)

    private func locked(_ folder: ShareFolder) throws(CommandFailure) -> ShareLock {
        do throws(StateError) {
            return try folder.lock()
        } catch {
            if case .inUse = error { throw CommandFailure(.inUse, "\(error)") }
            throw CommandFailure(.general, "\(error)")
        }
    }

    private func settings(name: String, mountPoint: String, options: ServeOptions)
        -> ShareSettings
    {
        ShareSettings(
            name: name, mountPoint: mountPoint, transport: options.transport ?? "auto",
            peers: options.peers?.map { "\($0)" } ?? [],
            listen: options.listen.map { "\($0)" } ?? "",
            bootstrap: options.bootstrap?.map { "\($0)" } ?? [], relay: options.relay ?? "",
            usesLAN: !options.withoutLAN)
    }

    private func identity(of folder: ShareFolder, deviceName: String?) throws(CommandFailure)
        -> ShareIdentity
    {
        let key = try stated { () throws(StateError) in try folder.key() }
        guard ShareKeys(shareKey: key).shareID.hex == folder.shareID else {
            throw CommandFailure(
                .integrity,
                "\(EscapedText.quoted(folder.path))/share.key is not the key of this share: restore it"
                    + " from a backup, or from another device of the share")
        }
        let device = try device(named: deviceName)
        let own = try stated { () throws(StateError) in try folder.deviceKey() }
        return ShareIdentity(
            keys: ShareKeys(shareKey: key), device: own.map { KeyPair(seed: $0) } ?? device.keyPair,
            deviceName: device.name)
    }

    private func device(named name: String?) throws(CommandFailure) -> Device {
        try stated { () throws(StateError) in
            let state = try openState()
            if var device = try state.device() {
                if let name, name != device.name {
                    try state.setDeviceName(name)
                    device.name = name
                }
                return device
            }
            var random = SecureRandom()
            return try state.makeDevice(named: name ?? Self.hostName, using: &random)
        }
    }

    private static var hostName: String {
        let text = (try? readWhole("/proc/sys/kernel/hostname", limitBytes: 256)) ?? []
        let name = text.prefix { $0 != UInt8(ascii: "\n") }
        return name.isEmpty ? "device" : String(decoding: name.prefix(64), as: UTF8.self)
    }

    private func randomKey(_ random: inout SecureRandom) -> Bytes32 {
        Bytes32(random.bytes(Bytes32.count)) ?? .zero
    }
}

/// Runs what may fail in the state folder's way, and fails in the command's way.
func stated<Result>(_ body: () throws(StateError) -> Result) throws(CommandFailure) -> Result {
    do throws(StateError) {
        return try body()
    } catch {
        throw CommandFailure(.general, "\(error)")
    }
}

/// Runs what may fail in the storage's way, and fails in the command's way.
func storing<Result>(_ body: () throws(StorageError) -> Result) throws(CommandFailure) -> Result {
    do throws(StorageError) {
        return try body()
    } catch {
        switch error {
        case .corrupt: throw CommandFailure(.integrity, "\(error)")
        case .full: throw CommandFailure(.temporary, "\(error)")
        case .io: throw CommandFailure(.general, "\(error)")
        }
    }
}

/// Time and randomness for work on a share that talks to nobody.
private final class OfflineEnvironment: ShareEnvironment {
    func now() -> Instant { monotonicNow() }
    func wallTime() -> Timestamp { wallNow() }
    func wake() {}
    func randomBytes(_ count: Int) -> [UInt8] {
        var random = SecureRandom()
        return random.bytes(count)
    }
}
