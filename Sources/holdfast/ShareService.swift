import Crypto
import FuseMount
import Host
import Swarm

/// A share that this device has, as its folder in the state tells.
struct KnownShare: Equatable, Sendable {
    /// Its folder's name: the share's public id, hexadecimal, and what tells it apart from another device of this
    /// installation in the same share.
    var id: String
    var shareID: String { String(id.prefix { $0 != "r" }) }
    var name: String
    /// Absolute, links resolved: as `/proc/self/mountinfo` shows it.
    var mountPoint: String
    /// The share's folder in the state: absolute.
    var folder: String

    var logFile: String { "\(folder)/daemon.log" }
}

/// What `create`, `join` and `mount` were told about serving a share; nil leaves what is stored.
struct ServeOptions: Equatable, Sendable {
    var transport: String?
    var peers: [PeerAddress]?
    var listen: PeerAddress?
    var deviceName: String?
    /// Nodes of the DHT to ask first.
    var bootstrap: [PeerAddress]?
    /// 64 hexadecimal digits.
    var relay: String?
    var withoutLAN = false
    /// `join`: as another device than this one was, or is, in the share.
    var isAnew = false
    /// How the share is shown, this time only.
    var mounting: Set<MountFlag> = []
    var look = MountLook()

    init(_ parsed: ParsedCommand) throws(CommandFailure) {
        transport = parsed.value("transport")
        peers = parsed.values["peer"] == nil ? nil : parsed.addresses("peer")
        listen = parsed.addresses("listen").first
        deviceName = parsed.value("device-name")
        bootstrap = parsed.values["bootstrap"] == nil ? nil : parsed.addresses("bootstrap")
        relay = parsed.value("relay")
        withoutLAN = parsed.isSet("no-lan")
        isAnew = parsed.isSet("anew")
        mounting = Set(MountFlag.allCases.filter { parsed.isSet($0.rawValue) })
        look = try MountLook(parsed)
        let ownership = look.ownership ?? MountOptions(mountPoint: "").ownership
        if mounting.contains(.acl), ownership != .recorded {
            throw CommandFailure(.usage, "\(MountError.needsRecordedOwner(option: "acl"))")
        }
    }

    /// The same as words of a command line, for the daemon.
    var words: [String] {
        var words: [String] = []
        if let transport { words.append("--transport=\(transport)") }
        for peer in peers ?? [] { words.append("--peer=\(peer)") }
        if let listen { words.append("--listen=\(listen)") }
        if let deviceName { words.append("--device-name=\(deviceName)") }
        for node in bootstrap ?? [] { words.append("--bootstrap=\(node)") }
        if let relay { words.append("--relay=\(relay)") }
        if withoutLAN { words.append("--no-lan") }
        words += look.words
        words += MountFlag.allCases.filter(mounting.contains).map { "--\($0.rawValue)" }
        return words
    }
}

/// A share that is mounted and served by this process.
protocol RunningShare: AnyObject, Sendable {
    /// Answers one request of the control socket but `unmount`, which becomes a `stop`. Called on
    /// the event loop: what takes long belongs on a worker.
    func answer(
        _ request: ControlRequest, _ reply: @escaping @Sendable (ControlResponse) -> Void)
    /// Begins a clean stop, as SIGTERM does. From any thread, any number of times; returns at once.
    func stop()
    /// Waits for the end: by then everything is on disk, the mount is gone, and nothing of the
    /// share runs any more. Throws if it did not end as it should.
    func wait() throws(CommandFailure)
}

/// What the commands need done with the shares of one device. The command line knows no storage,
/// no engine and no mount: this is where they are plugged in.
protocol ShareService: Sendable {
    /// Every share in the state, in the order of their mount points.
    func shares() throws(CommandFailure) -> [KnownShare]

    /// Makes the state of a new share and its device's log; nothing is mounted yet.
    func create(
        name: String, mountPoint: String, options: ServeOptions
    ) throws(CommandFailure) -> KnownShare

    /// Makes the state of a share that is known by its link only.
    ///
    /// - Throws: with `wrongLink` if the link is none, is damaged or of an unknown version.
    func join(
        link: String, mountPoint: String, options: ServeOptions
    ) throws(CommandFailure) -> KnownShare

    /// From now on a share that is not mounted belongs at `mountPoint`.
    ///
    /// - Throws: with `inUse` if it is mounted.
    func move(_ share: KnownShare, to mountPoint: String) throws(CommandFailure) -> KnownShare

    /// Takes back `create` or `join`, whose mount then failed.
    func discard(_ share: KnownShare)

    /// Opens the share's state (throws with `inUse` if another process has it), mounts it and
    /// begins to sync; returns when the mount is usable.
    ///
    /// - Parameter loop: runs already, and outlives the share.
    func start(
        _ share: KnownShare, options: ServeOptions, loop: EventLoop, log: Log
    ) throws(CommandFailure) -> any RunningShare

    /// The key under which this device works as a blind relay: always the same.
    func relayKey() throws(CommandFailure) -> KeyPair

    /// Writes what does not count of a share that is not mounted to a folder, or lists it.
    ///
    /// - Parameter folder: of the share, in the state.
    /// - Throws: with `inUse` if it is mounted.
    func export(folder: String, to target: String?, of device: String?) throws(CommandFailure)
        -> ExportReport

    /// Verifies a share's stored state, and makes the view again first if asked.
    ///
    /// - Parameter folder: of the share, in the state.
    /// - Returns: lines for people; throws with `integrity` if anything is damaged.
    func check(folder: String, rebuilds: Bool) throws(CommandFailure) -> [String]
}
