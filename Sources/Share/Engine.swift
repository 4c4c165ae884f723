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
        /// An open block is sealed when it holds this much, or has waited long enough. Sealing takes a
        /// signature and a transaction, which the call that filled the block waits for.
        static let blockSize = 256 * 1024
        /// A block is applied whole, while callers wait: some 10 to 20 ms for so many.
        static let blockOperations = 1024
        static let sealAfterIdle = Duration.milliseconds(3)
        static let sealAfter = Duration.milliseconds(250)
        /// From one block to the next, unless it is full: a burst of changes becomes few transactions.
        static let sealInterval = Duration.milliseconds(50)
        /// Received changes are committed this long after the first.
        static let commitAfter = Duration.milliseconds(50)
        /// How long one round of applying received blocks is to keep callers waiting, with all that follows
        /// from them; a single block may take longer.
        static let applyTime = Duration.milliseconds(16)
        /// What of it goes to the blocks themselves, at least: what late moves of directories cost does not
        /// depend on how many there are.
        static let applyTimeLeast = Duration.milliseconds(2)
        /// How long a device that has just started is connected before it lets anybody in and shows what others lack
        /// of its log.
        static let listeningTime = Duration.seconds(5)
        /// Blocks of a log that waits which are looked at in one go.
        static let lookedAhead: UInt64 = 64
        /// Milliseconds by which blocks may be dated ahead of this device's clock before `status` says so.
        static let clockLead: UInt64 = 10 * 60_000
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
    /// Whether others could have said what they have of the own log, for how long and since when this device has been
    /// connected to anybody until then, and the devices that said so: see `hasListened`.
    var hasHeardOthers: Bool
    var listened = Duration.zero
    var listeningSince: Instant?
    var heard: Set<Bytes32> = []
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
    /// How long blocks are applied in one round, so that the round takes `Limits.applyTime`.
    var applyShare = Limits.applyTimeLeast
    var appliedChanged: Set<WriterSlot> = []
    /// Counts the blocks of others applied since the start.
    var appliedBlocks: UInt64 = 0
    var hybrid: HybridClock

    var open: OpenBlock?
    /// Whether nothing has been authored yet for the call being served: then another block may begin without
    /// parting what belongs together.
    var isFirstOfCall = false
    /// When a block of the own log was last committed in this run.
    var ownCommitAt: Instant?
    /// When a block that had to be sealed before its time would have been: it is committed then.
    var sealedDeadline: Instant?
    /// Since when something waits for a commit.
    var dirtySince: Instant?
    /// What the kernel must forget, collected until the caller has left the lock.
    var changes: [ViewChange] = []
    /// Chunks that applied blocks made necessary, for the fetcher to take.
    var newlyWanted: [WantedChunk] = []
    /// Files with several heads, and what is to be made of them.
    var merges = MergeQueue()
    /// What merges changed: the caller that brought them about does not know.
    var mergeChanges: [ViewChange] = []
    /// The event loop must be woken to merge.
    var mustMerge = false
    /// Names under which saves have put other objects, whose inodes the kernel has there already.
    private var exchangedNames: [OwnName] = []
    /// Files made here since the start, and in which order remote versions came in between.
    var recent = RecentFiles()
    /// Files whose last name was removed here lately: what is still staged of them is nobody's.
    var removedHere = RecentNodes()
    /// Files that are gone with blocks that do not count, and where directories were that are; and which
    /// files stand for them. Since the start.
    var vanished: [ObjectID: VanishedFile] = [:]
    var vanishedDirectories: [ObjectID: ObjectID] = [:]
    var displaced: [ObjectID: ObjectID] = [:]
    /// How much of other logs counts, once some have ended.
    var bounds = LogBounds()
    /// Of retired logs, how much is taken.
    var limits: [WriterSlot: UInt64] = [:]
    /// Not stored yet.
    var limitsChanged = false
    /// More can be applied than before.
    var limitsRose = false
    /// Where logs have been read beyond what counts of them.
    var readPast: [WriterSlot: BlockCodec] = [:]
    /// Something in the view does not count any more.
    var mustRebuild = false
    var isRebuilding = false
    var hasToldOwnEnd = false
    /// What a member says of how the own log ended, or that of who let this device in: the blocks that say it may
    /// be gone.
    var toldEnd: ToldEnd?
    /// The retired log without which this device is no member, if nobody whom the others count is known to have taken
    /// as much of it.
    var unheardAdmitter: Bytes32?
    /// Logs with a block that cannot be decoded: they go no further.
    var stopped: Set<WriterSlot> = []
    /// Why nothing can be changed any more until the share is opened anew: memory and storage may
    /// differ. Nothing is committed any more either.
    var failure: StorageError?
    /// The last error told, so that one that stays is told once.
    var toldFailure: StorageError?
    /// Counts the transactions that ended.
    var commits: UInt64 = 0
    /// Which log is the own one, and how many blocks of it the storage has committed.
    var committed: (slot: WriterSlot, length: UInt64) = (.none, 0)
    /// Counts the commits that changed that.
    var ownCommits: UInt64 = 0
    /// How much of which own log members are known to have as it is here, since the start.
    var shared: (slot: WriterSlot, length: UInt64) = (.none, 0)
    /// Logs with two histories.
    var forks: [LogFork] = []
    /// How far logs that wait have been looked at for whom they let in, by key.
    var lookedAhead: [Bytes32: UInt64] = [:]
    /// How many admissions there were when `letInAgain` last had nothing more to say.
    var lookedAtAdmissions: Int?
    /// What the own log has seen of others, once its view was made anew while it had another history.
    var seenByOwn = Clock()
    /// Whom the own log's other history is fetched from.
    var branchSource: BranchSource?
    /// Those that did not have it.
    var triedBranchSources: Set<ConnectionID> = []
    /// Why the own log's two histories cannot be brought together by this version, for people.
    var forkHindrance: String?
    /// Digests of other devices that were not this view's, though both had seen the same.
    var divergences: [Divergence] = []
    /// How many digests could be compared since the start.
    var comparedCheckpoints: UInt64 = 0
    let checkpointPolicy: CheckpointPolicy
    /// Published ones, by time.
    var checkpoints: [PublishedCheckpoint] = []
    /// Not stored yet.
    var checkpointsChanged = false
    /// The one that this device is about to publish.
    var publishing: CheckpointPublishing?
    /// What was last offered to new devices.
    var offered: (checkpoint: PublishedCheckpoint, point: StartingPoint)?
    /// Set while this device is new and knows no block.
    var starting: Starting?
    /// Set while this device goes over to a checkpoint because what it lacks was given back by all.
    var resumption: Resumption?
    var chances = ResumptionChances()
    /// Why a checkpoint was not taken, for people.
    var startRefusal: String?
    /// The checkpoint that this device started from, or went on from later; nil if it has the first blocks.
    var base: PublishedCheckpoint?
    /// The logs' codecs at it.
    var starts: [WriterSlot: BlockCodec] = [:]
    /// What this device is to begin from once nobody needs what came before.
    var nextBase: NextBase?
    /// Set while what came before the base is being given back.
    var compaction: Compaction?
    /// When to look next whether it is time for that.
    var compactionDeadline: Instant
    /// Those who read logs from their beginning at the moment: no block goes meanwhile.
    var historyReaders = 0
    /// Channels of logs are to be opened on every connection.
    var mustOpenLogs = false
    /// When a block was last written or applied.
    var lastBlockAt: Instant
    /// Since when the logs have grown enough for a checkpoint.
    var checkpointDueSince: Instant?
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
    /// How much of the own log some peer has: the greatest ever acknowledged.
    var acknowledged: UInt64

    var ownLog: Log? { logs[ownSlot] }

    /// Whether this device's writes count.
    var isAdmitted: Bool { ownLog.map { membership.isMember(log: $0.key) } ?? false }

    var isDirty: Bool { dirtySince != nil }

    mutating func markDirty() {
        if dirtySince == nil { dirtySince = environment.now() }
    }

    /// The caller is about to learn of it from the result of its call.
    mutating func noteExchange(of name: [UInt8], in directory: ObjectID) {
        exchangedNames.append(OwnName(directory: NodeID(directory), name: name))
    }

    mutating func takeExchangedNames() -> [OwnName] {
        guard !exchangedNames.isEmpty else { return [] }
        defer { exchangedNames = [] }
        return exchangedNames
    }

    /// Runs storage work and turns its errors into the volume's.
    static func stored<Result>(_ work: () throws(StorageError) -> Result) throws(VolumeError)
        -> Result
    {
        do { return try work() } catch { throw .storage(error) }
    }
}

/// A name that a caller changes itself.
struct OwnName: Equatable {
    let directory: NodeID
    let name: [UInt8]
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
    /// When its time is of a second that has passed. What changes then is shown as changed before it was: a
    /// program that looks at the clock, calls, and looks at a file's times would be told so.
    let turnsAt: Instant
}

/// One log on one connection's channel.
struct ReplicationID: Hashable {
    let connection: ConnectionID
    let slot: WriterSlot
}

/// The last nodes that were put in.
struct RecentNodes {
    private enum Limits {
        static let count = 1024
    }

    private var nodes: Set<NodeID> = []
    private var order: [NodeID] = []

    func contains(_ node: NodeID) -> Bool { nodes.contains(node) }

    mutating func insert(_ node: NodeID) {
        guard nodes.insert(node).inserted else { return }
        order.append(node)
        guard order.count > 2 * Limits.count else { return }
        for old in order.prefix(Limits.count) { nodes.remove(old) }
        order.removeFirst(Limits.count)
    }
}
