package import Base
internal import FoundationEssentials
internal import Glibc
internal import Share

/// What a user chose for one share on this device; no secrets. In `share.json`.
package struct ShareSettings: Codable, Equatable, Sendable {
    /// Which chunks to keep here, for a path of the share and all below.
    package enum Policy: String, Codable, Sendable {
        /// Always here.
        case keep
        /// Fetched when read.
        case demand
        case never
    }

    package var name: String
    /// An absolute path; empty if the share was never mounted.
    package var mountPoint: String
    /// `auto`, `hyperswarm`, `direct` or `disabled`.
    package var transport: String
    /// Addresses of peers for the direct transport, as in `host:port`.
    package var peers: [String]
    /// Where the direct transport listens, as in `host:port`; empty for everywhere.
    package var listen: String
    /// The port it had last when any free one would do: tried first, as links name it.
    package var listenPort: UInt16
    /// Nodes of the DHT to ask first, as in `host:port`; empty for those of the public network.
    package var bootstrap: [String]
    /// The key of a peer that runs a blind relay, hexadecimal; empty for none.
    package var relay: String
    /// The UDP port it had last: tried first.
    package var udpPort: UInt16
    /// Whether peers are looked for on the local network.
    package var usesLAN: Bool
    /// By path from the root of the share; the longest that fits counts.
    package var policies: [String: Policy]

    package init(
        name: String, mountPoint: String = "", transport: String = "auto", peers: [String] = [],
        listen: String = "", listenPort: UInt16 = 0, bootstrap: [String] = [],
        relay: String = "", udpPort: UInt16 = 0, usesLAN: Bool = true,
        policies: [String: Policy] = [:]
    ) {
        self.name = name
        self.mountPoint = mountPoint
        self.transport = transport
        self.peers = peers
        self.listen = listen
        self.listenPort = listenPort
        self.bootstrap = bootstrap
        self.relay = relay
        self.udpPort = udpPort
        self.usesLAN = usesLAN
        self.policies = policies
    }

    /// What is missing has its default, so that older files stay readable.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = ShareSettings(name: try values.decode(String.self, forKey: .name))
        name = defaults.name
        mountPoint = try values.decodeIfPresent(String.self, forKey: .mountPoint) ?? ""
        transport =
            try values.decodeIfPresent(String.self, forKey: .transport) ?? defaults.transport
        peers = try values.decodeIfPresent([String].self, forKey: .peers) ?? []
        listen = try values.decodeIfPresent(String.self, forKey: .listen) ?? ""
        listenPort = try values.decodeIfPresent(UInt16.self, forKey: .listenPort) ?? 0
        bootstrap = try values.decodeIfPresent([String].self, forKey: .bootstrap) ?? []
        relay = try values.decodeIfPresent(String.self, forKey: .relay) ?? ""
        udpPort = try values.decodeIfPresent(UInt16.self, forKey: .udpPort) ?? 0
        usesLAN = try values.decodeIfPresent(Bool.self, forKey: .usesLAN) ?? true
        policies = try values.decodeIfPresent([String: Policy].self, forKey: .policies) ?? [:]
    }
}

/// One share's folder, mode 0700.
///
///     share.json       the settings
///     share.key        the share key, 64 hexadecimal digits; mode 0600
///     device.key       the device's key in this share, if it is not that of the installation; mode 0600
///     share.sqlite     logs, view, records: `ShareDatabase`; beside it its WAL (-wal), and the index of that (-shm)
///     packs/           chunk bytes: `PackStore`
///     staging/         dirty bytes of files being written: `StagingDirectory`
///     control.sock     made by the daemon
///     network.json     the way to peers, as it was last known: `KnownNetwork`
///     lock             held by the one process that uses the share; has its pid
package final class ShareFolder: Sendable {
    private static let settingsName = "share.json"
    private static let keyName = "share.key"
    private static let deviceKeyName = "device.key"
    private static let packsName = "packs"
    private static let stagingName = "staging"

    /// The share's public id; of a share that was joined again, with an `r` and a number behind.
    package let id: String
    /// The share's public id.
    package var shareID: String { String(id.prefix { $0 != "r" }) }
    let directory: Directory
    package var path: String { directory.path }

    init(id: String, in directory: Directory) {
        self.id = id
        self.directory = directory
    }

    /// Whether a text can be a share's id, and so the name of its folder: letters and digits.
    static func isID(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            }
    }

    package func settings() throws(StateError) -> ShareSettings {
        let remedy = "correct it, or leave the share and join it again"
        let settings = try directory.json(
            Self.settingsName, as: ShareSettings.self, remedy: remedy)
        guard let settings else {
            throw .missing(file: "\(path)/\(Self.settingsName)", remedy: remedy)
        }
        return settings
    }

    package func setSettings(_ settings: ShareSettings) throws(StateError) {
        try directory.replaceJSON(Self.settingsName, with: settings)
    }

    package func key() throws(StateError) -> Bytes32 {
        guard let key = try directory.secret(Self.keyName) else {
            throw .missing(
                file: "\(path)/\(Self.keyName)",
                remedy: "restore it from a backup; without it nothing of the share can be read")
        }
        return key
    }

    /// What this device is known by in this share alone; nil where it has the key of the installation.
    package func deviceKey() throws(StateError) -> Bytes32? {
        try directory.secret(Self.deviceKeyName)
    }

    func createDeviceKey(_ key: Bytes32) throws(StateError) {
        try directory.createSecret(Self.deviceKeyName, key)
    }

    func createKey(_ key: Bytes32) throws(StateError) {
        try directory.createSecret(Self.keyName, key)
    }

    // MARK: What is in it

    /// Takes the share for this process until the lock is let go.
    ///
    /// - Throws: `inUse` with the pid of the process that has it.
    package func lock() throws(StateError) -> ShareLock { try ShareLock(in: directory) }

    /// - Parameter elsewhere: for what its user need not wait for; without it, he does.
    package func openDatabase(elsewhere: Elsewhere? = nil) throws(StorageError) -> ShareDatabase {
        try ShareDatabase(in: directory, elsewhere: elsewhere)
    }

    /// What a scratch database is for, and the name of its folder.
    package enum Scratch: String, Sendable {
        case check = "scratch"
        case past
        /// What does not count, and what does.
        case export
        case counted
        case firstMoment = "moment-1"
        case secondMoment = "moment-2"

        /// Those of the times that are looked at.
        package static let moments: [Self] = [.firstMoment, .secondMoment]
    }

    /// An empty database that is nobody's state; one at a time for each purpose.
    package func openScratch(_ purpose: Scratch) throws(StorageError) -> ShareDatabase {
        removeScratch(purpose)
        return try ShareDatabase(in: directory.directory(purpose.rawValue, create: true))
    }

    /// What a crash leaves of it is removed by the next `openScratch`.
    package func removeScratch(_ purpose: Scratch) {
        try? directory.directory(purpose.rawValue, create: true).removeContents()
        unsafe rmdir("\(path)/\(purpose.rawValue)")
    }

    package func openPacks() throws(StorageError) -> PackStore {
        try PackStore(in: directory.directory(Self.packsName, create: true))
    }

    package func openStaging() throws(StorageError) -> StagingDirectory {
        try StagingDirectory(in: try directory.directory(Self.stagingName, create: true))
    }

    /// Where records of staged bytes are damaged, puts the staging files that the others do not name aside. To be
    /// called before anybody forgets the damaged ones.
    ///
    /// - Returns: the names that the files have now, in the share's folder.
    package func setStagingAside(_ database: ShareDatabase) throws(StorageError) -> [String] {
        let found = try database.stagedRecords()
        guard !found.damaged.isEmpty else { return [] }
        var kept: Set<UInt64> = []
        for file in found.files {
            kept.insert(file.file)
            if let synced = file.synced { kept.insert(synced.file) }
        }
        return try openStaging().setAside(except: kept).map { "\(Self.stagingName)/\($0)" }
    }

    /// Bytes on the disk that holds the share, and those of them free for this user.
    package func diskSpace() throws(StorageError) -> (total: UInt64, free: UInt64) {
        try directory.descriptor.diskSpace()
    }

    /// Removes the share from this device: its key, its content, all of it.
    ///
    /// - Parameter lock: proves that no process uses the share.
    package func remove(_ lock: consuming ShareLock) throws(StateError) {
        try storing { () throws(StorageError) in try directory.removeContents() }
        // The lock goes with its file; an empty folder is left if another file came in between.
        guard unsafe rmdir(path) == 0 else {
            throw .storage(.system("removing \(path)"))
        }
    }
}

/// Says that this process has the share to itself, for as long as it lives.
package struct ShareLock: ~Copyable, Sendable {
    private static let name = "lock"
    private let file: FileDescriptor

    init(in directory: Directory) throws(StateError) {
        let file = try storing { () throws(StorageError) in
            try directory.file(Self.name, O_RDWR | O_CREAT)
        }
        guard flock(file.raw, LOCK_EX | LOCK_NB) == 0 else {
            guard errno == EWOULDBLOCK else {
                throw .storage(.system("locking \(directory.path)"))
            }
            let text = try storing { () throws(StorageError) in try file.read(32, at: 0) }
            let digits = String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            throw .inUse(folder: directory.path, process: Int32(digits) ?? 0)
        }
        try storing { () throws(StorageError) in
            try file.truncate(to: 0)
            try file.write(Array("\(getpid())\n".utf8).span, at: 0)
        }
        self.file = file
    }
}
