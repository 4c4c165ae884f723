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
    /// Threads that stay when there is nothing to do.
    static let idleThreadsMax = 10
    /// Read-ahead and asynchronous requests under way, so that slow fetches do not stop read-ahead.
    static let backgroundRequestsMax: UInt32 = 64
    /// Dirty ranges of one file; at so many, a background job turns them into chunks.
    static let dirtyRangesMax = 16_384
    /// Dirty bytes of one file at which a job turns them into chunks, though it is still written.
    static let flattenBytes: UInt64 = 256 << 20
    /// Background jobs at once.
    static let jobsMax = 2
    /// Staged bytes from which a job counts as large; one at a time.
    static let largeJobBytes: UInt64 = 32 << 20
    /// Times an answer is put together anew because something changed meanwhile.
    static let answerRoundsMax = 8
    /// Buffers kept for replies to reads.
    static let idleBuffersMax = 16
    /// The size of each, and of the greatest read the kernel asks for.
    static let readSizeMax = 1 << 20
    /// Bytes that one copy_file_range copies before it answers.
    static let copySizeMax = 32 << 20
    /// Times a read is tried again after its chunks came: once per level of list chunks, and more.
    static let fetchRoundsMax = 16
    /// Bytes of /proc/THREAD/status that are read: groups stand in its first lines.
    static let statusSizeMax = 16_384
    /// An extended attribute's value (Linux allows no more).
    static let attributeValueSizeMax = 65_536
    /// Bytes that are saved aside before a truncation during a job; beyond, the job starts again.
    static let preserveBytesMax: UInt64 = 64 << 20

    /// A file kept open is recorded for a crash this long after a change.
    static let recordAfter = Duration.milliseconds(700)
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
    /// How exactly.
    static let sweepInterval = Duration.seconds(1)
    /// How long the mount's end waits for the kernel to hand over what programs mapped and changed,
    /// and for the session to end by itself once it is unmounted.
    static let unmountPatience = Duration.seconds(30)
    static let endPatience = Duration.milliseconds(200)
    /// `stop` leaves what is not published after this to the next start.
    static let stopPatience = Duration.seconds(60)
}
