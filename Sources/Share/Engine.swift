import Base
import Chunks
import Crypto
import FileTree
import Hypercore

/// One share on one device: its logs, what they mean, and the block being written.
///
/// Belongs to whoever holds the lock of `ShareVolume`. Everything between two commits of the
/// storage is one transaction; `commit` always seals the open block first, so a block, its
/// signature and its effect on the view land together.
struct Engine {
    enum Limits {
        /// An open block is sealed when it holds this much, or has waited long enough.
        static let blockSize = 64 * 1024
        static let blockOperations = 8192
        static let sealAfterIdle = Duration.milliseconds(3)
        static let sealAfter = Duration.milliseconds(50)
        /// Received changes are committed this long after the first.
        static let commitAfter = Duration.milliseconds(50)
        /// How long one round of applying received blocks may keep callers waiting.
        static let applyTime = Duration.milliseconds(5)
        /// Files made since the start whose birth is remembered, to tell a save by rename.
        static let recentFiles = 4096
    }

    let keys: ShareKeys
    /// What the own log is signed with: the installation's, or a successor's.
    var device: KeyPair
    /// As the user gave it; `deviceName` tells successors apart.
    let installationName: String
    var deviceName: String
    var succession: OwnSuccession?
    let storage: any ShareStorage
    let chunks: any ChunkStorage
    let environment: any ShareEnvironment

    let writers: WriterTable
    /// How many of `writers` the storage knows.
    var storedWriters: Int
    var tree: FileTree
    var membership: Membership
    var settings: SharedSettings
    var settingsChanged = false
    /// Not stored yet.
    var membershipChanged = false
    /// There may be members whose logs are not open.
    var membershipGrew = false
    /// Every log that counts, and the own one.
    var logs: [WriterSlot: Log] = [:]
    /// Channels that replicate them, by connection.
    var replications: [ReplicationID: LogReplication] = [:]
    var ownSlot: WriterSlot
    var applied: [WriterSlot: UInt64] = [:]
    var codecs: [WriterSlot: BlockCodec] = [:]
    var appliedChanged: Set<WriterSlot> = []
    var hybrid: HybridClock

    var open: OpenBlock?
    /// Since when something waits for a commit.
    var dirtySince: Instant?
    /// What the kernel must forget, collected until the caller has left the lock.
    var changes: [ViewChange] = []
    /// Chunks that applied blocks made necessary, for the fetcher to take.
    var newlyWanted: [WantedChunk] = []
    /// Files made here since the start, and in which order remote versions came in between.
    var recent = RecentFiles()
    /// Logs with a block that cannot be decoded: they go no further.
    var stopped: Set<WriterSlot> = []
    /// Logs with two histories.
    var forks: [LogFork] = []
    /// Digests of other devices that were not this view's, though both had seen the same.
    var divergences: [Divergence] = []
    /// How many digests could be compared since the start.
    var comparedCheckpoints: UInt64 = 0
    /// Since anybody wrote a digest, as far as is known since the start.
    var blocksSinceCheckpoint: UInt64 = 0
    var lastBlockAt: Instant?
    /// Slots that once were the own log's, by age.
    var retiredSlots: [RetiredSlot] = []
    /// Slots whose channels must begin anew: another log stands behind them.
    var logsToReopen: [WriterSlot] = []
    /// Peers must be told of the own new log.
    var mustIntroduce = false
    /// For the log file.
    var notices: [String] = []
    /// Operations refused because they break a rule.
    var refused: UInt64
    /// How much of the own log the storage has committed: the last block is not among them while
    /// its commit fails.
    var committedLength: UInt64 = 0
    /// How much of the own log some peer has: the greatest ever acknowledged.
    var acknowledged: UInt64

    var ownLog: Log? { logs[ownSlot] }

    /// Whether this device's writes count.
    var isAdmitted: Bool { ownLog.map { membership.isMember(log: $0.key) } ?? false }

    var isDirty: Bool { dirtySince != nil }

    mutating func markDirty() {
        if dirtySince == nil { dirtySince = environment.now() }
    }

    /// Runs storage work and turns its errors into the volume's.
    static func stored<Result>(_ work: () throws(StorageError) -> Result) throws(VolumeError)
        -> Result
    {
        do { return try work() } catch { throw .storage(error) }
    }
}

/// The block being filled: its operations are in the view already, and in no log yet.
struct OpenBlock {
    let number: UInt64
    let time: HybridTime
    let clock: Clock
    var operations: [Operation] = []
    /// A guess at the encoded size, in bytes.
    var size = 0
    let openedAt: Instant
    var touchedAt: Instant
}

/// One log on one connection's channel.
struct ReplicationID: Hashable {
    let connection: ConnectionID
    let slot: WriterSlot
}

/// What it takes to see that a rename is a save: which files were made here a moment ago, and
/// what had arrived from elsewhere since.
struct RecentFiles {
    private var sequence: UInt64 = 0
    private var births: [ObjectID: UInt64] = [:]
    private var birthOrder: [ObjectID] = []
    private var arrivals: [VersionID: UInt64] = [:]
    private var arrivalOrder: [VersionID] = []

    mutating func born(_ object: ObjectID) {
        sequence += 1
        births[object] = sequence
        birthOrder.append(object)
        if birthOrder.count > 2 * Engine.Limits.recentFiles {
            for old in birthOrder.prefix(Engine.Limits.recentFiles) { births[old] = nil }
            birthOrder.removeFirst(Engine.Limits.recentFiles)
        }
    }

    mutating func arrived(_ version: VersionID) {
        sequence += 1
        arrivals[version] = sequence
        arrivalOrder.append(version)
        if arrivalOrder.count > 2 * Engine.Limits.recentFiles {
            for old in arrivalOrder.prefix(Engine.Limits.recentFiles) { arrivals[old] = nil }
            arrivalOrder.removeFirst(Engine.Limits.recentFiles)
        }
    }

    func isRecent(_ object: ObjectID) -> Bool { births[object] != nil }

    /// Whether a version came from elsewhere after the object was made here.
    func arrived(_ version: VersionID, after object: ObjectID) -> Bool {
        guard let birth = births[object], let arrival = arrivals[version] else { return false }
        return arrival > birth
    }
}
