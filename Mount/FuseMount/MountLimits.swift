internal import Chunks

/// The named bounds of a mount.
enum MountLimits {
    /// Bytes in a name; longer ones are ENAMETOOLONG.
    static let nameSizeMax = 255
    /// Bytes in a file: what a content's size can say.
    static let fileSizeMax = ChunkLimits.fileSizeMax
    /// Bytes in a symlink's target.
    static let linkTargetSizeMax = 4095
    /// What a readdirplus entry takes at the least: attributes, and a name of up to eight bytes.
    static let plusEntrySizeMin = 160
    /// Threads that serve the kernel at once.
    static let threadsMax = 64
    /// Of these, those that may hold a writer until there is room for staged bytes. Further writers
    /// get on: the others must find a thread, and the bound is soft.
    static let waitingWritersMax = 40
    /// Threads that stay when there is nothing to do. Further ones come when all are busy, and go again:
    /// each time it costs as much as several requests.
    static let idleThreadsMax = 10
    /// Microseconds after which it is looked whether the leader is still at the same request, and how often
    /// nothing is seen to happen before nobody looks any more.
    static let leaderTick: UInt32 = 500
    static let leaderIdleTicks = 8
    /// Bytes of a read or write that the leader answers itself.
    static let quickTransferMax: UInt32 = 64 << 10
    /// Read-ahead and pages written back under way, so that slow fetches do not stop read-ahead. Fewer
    /// than the threads: pages that wait for room must leave some to answer everybody else.
    static let backgroundRequestsMax: UInt32 = 32
    /// Dirty ranges of one file; at so many, a background job turns them into chunks.
    static let dirtyRangesMax = 16_384
    /// Dirty bytes of one file at which a job turns them into chunks, though it is still written.
    static let flattenBytes: UInt64 = 1 << 30
    /// Bytes of one file, and of all, that are held in memory until a job takes them; a file that is
    /// longer, or comes when there are so many, has a staging file.
    static let stagedInMemoryMax = 128 << 10
    static let stagedMemoryMax = 32 << 20
    /// Dirty bytes of one file that are copied rather than written over while a job works on them. Who writes over
    /// parts of more, and syncs nothing, may find after a crash some of that in the version before.
    static let copiedFromCutMax: UInt64 = 1 << 20
    /// Background jobs at once.
    static let jobsMax = 2
    /// Staged bytes from which a job counts as large; one at a time.
    static let largeJobBytes: UInt64 = 32 << 20
    /// Files, and staged bytes of them, that one job makes versions of with one sync of their chunks.
    static let batchFilesMax = 128
    static let batchBytesMax: UInt64 = 8 << 20
    /// From one batch to the next, unless somebody waits: what comes meanwhile shares a sync.
    static let batchInterval = Duration.milliseconds(60)
    /// Times an answer is put together anew because something changed meanwhile.
    static let answerRoundsMax = 8
    /// Buffers kept for replies to reads.
    static let idleBuffersMax = 16
    /// The size of each, and of the greatest read the kernel asks for.
    static let readSizeMax = 1 << 20
    /// A read of so many bytes is answered without copies, if they stand in so few places of packs.
    static let splicedBytesMin = 16 << 10
    static let spliceRangesMax = 8
    /// After a write of so many bytes the disk may begin with them.
    static let largeWriteMin = 128 << 10
    /// Bytes that one copy_file_range copies before it answers.
    static let copySizeMax = 32 << 20
    /// Times a read is tried again after its chunks came: once per level of list chunks, and more.
    static let fetchRoundsMax = 16
    /// Bytes of /proc/THREAD/status that are read: groups stand in its first lines.
    static let statusSizeMax = 16_384
    /// An extended attribute's value (Linux allows no more).
    static let attributeValueSizeMax = 65_536
    /// How long a command that changed something waits until programs see that.
    static let showPatience = Duration.seconds(5)
    /// Changes of other devices that wait to be replayed; more are shown without telling watchers.
    static let replayedChangesMax = 10_000
    /// Directories below one another that one batch of changes makes or removes in order.
    static let replayDepthMax = 1000
    /// Times a change is replayed anew because a program's look-up got in between.
    static let replayRoundsMax = 3
    /// Times a change of content or attributes is tried again, some moments apart, where that failed.
    static let lateTriesMax = 20
    /// Microseconds after which a file written now has another time than one written before.
    static let clockTick: UInt32 = 10_000
    /// Staging files that nobody uses are kept for others for so long, and so many; those of so many
    /// bytes for files that are large, too.
    static let spareFor = Duration.seconds(60)
    static let sparesMax = 16
    static let largeSpareBytes: UInt64 = 1 << 20
    /// What one sync of a file may put into the journal, and how many files may have something there.
    static let journaledBytesMax: UInt64 = 128 << 10
    static let journaledRangesMax = 64
    static let journaledFilesMax = 256
    /// Bytes of disk that must be free when a program begins to write into a file.
    static let freeBytesMin: UInt64 = 4 << 20
    /// Bytes that are saved aside before a truncation during a job; beyond, the job starts again.
    static let preserveBytesMax: UInt64 = 64 << 20

    /// A file kept open is recorded for a crash this long after a change.
    static let recordAfter = Duration.milliseconds(400)
    /// The kernel is asked for written pages so long after the last time.
    static let writeBackAfter = Duration.milliseconds(500)
    /// A writer that waits for the end of a job looks so often whether it may go on.
    static let heldWriterInterval = Duration.milliseconds(50)
    /// A file kept open is published when nobody wrote to it for so long.
    static let publishAfter = Duration.milliseconds(1000)
    /// A publication that failed is tried again after this.
    static let retryAfter = Duration.seconds(10)
    /// Staged bytes are given back after the record that replaces them had so long to be committed.
    static let releaseAfter = Duration.milliseconds(1000)
    /// A writer that waits for staged bytes gets ENOSPC when so long no byte was published.
    static let writerPatience = Duration.seconds(30)
    /// What waits for bytes from the network has them, or an error, after this. Each wait for the peers
    /// is shorter; this is for peers who answer just fast enough.
    static let replyPatience = Duration.seconds(60)
    /// How exactly that is kept.
    static let sweepInterval = Duration.seconds(1)
    /// How long it is remembered that nobody brought a chunk, after a wait of at least so long, and about
    /// how many of them are.
    static let failureMemory = Duration.milliseconds(500)
    static let failureWait = Duration.milliseconds(500)
    static let failuresMax = 4096
    /// How long the mount's end waits for the kernel to hand over what programs mapped and changed,
    /// and for the session to end by itself once it is unmounted.
    static let unmountPatience = Duration.seconds(30)
    static let endPatience = Duration.milliseconds(200)
    /// `stop` leaves what is not published after this to the next start.
    static let stopPatience = Duration.seconds(60)
}
