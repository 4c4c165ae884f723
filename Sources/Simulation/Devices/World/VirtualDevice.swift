internal import Base
internal import Chunks
internal import Crypto
internal import FileTree
internal import Hypercore
internal import Share

/// A device of a simulated share: the product's `ShareVolume` on a disk that may fail, with a clock
/// that may be wrong.
final class VirtualDevice: ShareEnvironment, @unchecked Sendable {
    let index: Int
    let name: String
    let key: KeyPair
    let keys: ShareKeys
    /// How the share came here; the disk may never have got it.
    let origin: ShareOrigin
    /// Which device's folder this one was copied from.
    let original: Int?
    unowned let world: DeviceWorld

    let disk: DeviceDisk
    private(set) var volume: ShareVolume?
    private(set) var storage: DiskStorage?
    private(set) var chunks: DiskChunks?
    private(set) var staging: DiskStaging?
    private var random: SeededRandom

    /// How far the wall clock is ahead.
    var clockAhead: Int64 = 0
    /// What a look at the clock costs: a slow machine.
    var lookCost: Duration = .zero
    private var local = Instant(nanoseconds: 0)
    /// When to call `advance` at the latest.
    var due = Instant(nanoseconds: 0)
    /// How often on end it wanted another turn at once, though nothing had come.
    var restlessTurns = 0
    var isOnline = true
    var isPaused = false

    /// Own blocks that a finished `sync` covers.
    var syncedLength: UInt64 = 0
    /// Files that are held open: the node, and what was shown.
    var handles: [(node: NodeID, opened: OpenedContent, seen: Set<Int>)] = []
    /// Saves in staging files, by file.
    var stagedSaves: [UInt64: StagedSave] = [:]

    struct StagedSave {
        let bytes: [UInt8]
        let marker: String
        let seen: Set<Int>
        /// Whether a sync said that it stays.
        var isSynced = false
    }

    init(
        index: Int, name: String, key: KeyPair, keys: ShareKeys, origin: ShareOrigin,
        world: DeviceWorld, seed: UInt64, disk: DeviceDisk = DeviceDisk(), original: Int? = nil
    ) {
        self.index = index
        self.name = name
        self.key = key
        self.keys = keys
        self.origin = origin
        self.world = world
        self.disk = disk
        self.original = original
        random = SeededRandom(seed: seed)
    }

    /// Often enough to matter within minutes; what is settled is left out, and given back, after hours. Every
    /// other world forgets as fast as it can.
    private var checkpoints: CheckpointPolicy {
        CheckpointPolicy(
            growthMin: world.isForgetful ? 1024 : 4096, quiet: .seconds(5), turns: .seconds(10),
            grace: .milliseconds(Int64(Self.graceMilliseconds)), objectsPerTurn: 5,
            history: .seconds(world.isForgetful ? 60 : 3600))
    }
    static let graceMilliseconds: UInt64 = 6 * 3600 * 1000

    // MARK: Environment

    func now() -> Instant {
        local = max(local, world.now) + lookCost
        return local
    }

    /// When this device has done what it was last given.
    var busyUntil: Instant { local }

    func wallTime() -> Timestamp {
        let nanoseconds = max(local, world.now).nanoseconds
        return Timestamp(
            seconds: 1_732_147_200 + Int64(nanoseconds / 1_000_000_000) + clockAhead,
            nanoseconds: UInt32(nanoseconds % 1_000_000_000))
    }

    func randomBytes(_ count: Int) -> [UInt8] { random.bytes(count) }

    func wake() { due = min(due, world.now) }

    // MARK: Life

    /// Opens the share with what is on the disk.
    func start() throws(StorageError) {
        let isNew = disk.transactions.isEmpty
        let storage = try DiskStorage(disk)
        let chunks = DiskChunks(disk)
        let volume = try ShareVolume(
            ShareIdentity(keys: keys, device: key, deviceName: name),
            origin: isNew ? origin : .stored, storage: storage, chunks: chunks,
            environment: self, diskSpace: { (1 << 40, 1 << 39) }, checkpoints: checkpoints)
        self.storage = storage
        self.chunks = chunks
        staging = DiskStaging(disk)
        self.volume = volume
        due = world.now
        do {
            _ = try volume.collectChunksIfDue()
        } catch .full where disk.power.isFull {}
        if isPaused { volume.setPaused(true) }
    }

    /// Lets go of the volume, which holds on to this device.
    func close() {
        volume = nil
        storage = nil
        chunks = nil
        staging = nil
    }

    /// Nothing in memory stays.
    func lose(_ stop: Stop) {
        close()
        handles = []
        disk.settle(after: stop, using: &random)
        disk.power.restore()
    }

    // MARK: Logs

    var ownLog: Bytes32 {
        Manifest(publicKey: key.publicKey, namespace: keys.logNamespace(generation: 0)).hash
    }

    /// How many blocks of a log are here.
    func length(of log: Bytes32) throws(StorageError) -> UInt64 {
        let rows: DiskRows
        if let storage { rows = storage.rows } else { rows = try disk.rows() }
        guard let place = rows.writers.firstIndex(of: log) else { return 0 }
        let slot = WriterSlot(rawValue: UInt16(place + 1))
        return try rows.logs.header(slot)?.length ?? 0
    }

    /// A version's identity, as all devices know it.
    func name(of version: UInt64) -> VersionName? {
        guard let id = OperationID(rawValue: version), id.writer != .none, let storage else {
            return nil
        }
        let place = Int(id.writer.rawValue) - 1
        // A log that came to be known a moment ago is stored with the next commit.
        if place >= storage.rows.writers.count { try? volume?.sync() }
        guard place < storage.rows.writers.count else { return nil }
        return VersionName(
            log: storage.rows.writers[place], block: id.block, index: id.index)
    }

    /// What a version carries; another with the same is the same save, whoever wrote it again.
    func content(of version: UInt64) -> [UInt8]? {
        guard let id = OperationID(rawValue: version), let storage else { return nil }
        do throws(StorageError) {
            return try storage.version(id)?.content
        } catch {
            return nil
        }
    }

    /// Every log's blocks, decrypted, as far as `lengths` goes; those that were given back too.
    func blocks(upTo lengths: [String: UInt64]) throws(StorageError)
        -> [(key: Bytes32, blocks: [[UInt8]])]
    {
        guard let storage else { return [] }
        let archive = disk.blocksEverStored()
        var result: [(key: Bytes32, blocks: [[UInt8]])] = []
        for (place, key) in storage.rows.writers.enumerated() {
            guard let length = lengths[key.hex], length > 0 else { continue }
            let slot = WriterSlot(rawValue: UInt16(place + 1))
            let cipher = BlockCipher(encryptionKey: keys.logEncryptionKey, logKey: key)
            let log = try Log(storage: storage, slot: slot, key: key, cipher: cipher)
            var blocks: [[UInt8]] = []
            for number in 0..<length {
                let cleared = archive[slot]?[number].flatMap { cipher.open($0, index: number) }
                guard let block = try log.block(at: number) ?? cleared else { break }
                blocks.append(block)
            }
            result.append((key, blocks))
        }
        return result
    }
}
