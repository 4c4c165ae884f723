internal import Base
internal import Chunks
internal import Share
internal import Synchronization

/// One file that is open or has bytes no version holds yet: the version below, what was written over
/// it, and where publishing that stands.
///
/// The lock of its state is held while staging is read or written, never while the volume or the table
/// is called.
/// `pin` and `unpin` belong to `InodeTable`.
final class FileState: Sendable {
    /// How far publishing has come. The number tells a job whether the file still waits for it.
    enum Publication: Equatable {
        case idle
        /// Nobody may begin: the file's name is being taken away.
        case held
        case queued(UInt64)
        case running(UInt64)
        /// The bytes are in chunks; whoever takes the file's name away need not wait for the rest.
        case stored(UInt64)
        /// The job waits for chunks of the base from the network.
        case fetching(UInt64)
    }

    struct State {
        var node: NodeID
        var reader: ContentReader?
        /// The versions whose bytes are shown: the parents of the next one.
        var parents: [UInt64] = []
        var overlay = Overlay(base: .empty)
        /// Counts changes of content; equal to `published` when a version holds everything.
        var generation: UInt64 = 0
        var published: UInt64 = 0
        var recorded: UInt64 = 0
        /// Over the base as it is, what the last record whose bytes were synced said.
        var syncedRecord: StagedFile.Synced?
        /// The newest generation that a record, or the journal over one, and synced bytes hold.
        var synced: UInt64 = 0
        /// What was written since the last record whose bytes were synced, or the last entry of the
        /// journal; nil if more changed than an entry can say.
        var unsynced: RangeSet?
        /// Counts what makes the journal's entries worthless: records, and other content below.
        var recordings: UInt64 = 0
        /// Whether the last record is on the disk: only then the journal may go on from it.
        var isRecordDurable = false
        var hasRecord = false
        var modified = Timestamp.epoch
        var changed = Timestamp.epoch
        /// Counts explicit settings of `modified`.
        var modifiedSettings: UInt64 = 0
        /// The kernel has not told the time of the last write yet.
        var isTimeUntold = false
        var lastWrite = Instant.zero
        var unrecordedSince = Instant.zero
        var retryAt = Instant.zero
        /// A job was overtaken by writes: until then another would be, too, and saves aside in vain.
        var overtaken = Instant.zero
        var publication = Publication.idle
        /// What the job works on: the bytes as they were when it was asked for.
        var work: Work?
        var isCancelled = false
        /// Publish again as soon as the publication under way has ended.
        var isWanted = false
        var waiting: [@Sendable (VolumeError?) -> Void] = []
        var isOrphan = false
        /// It was removed elsewhere when all its bytes were in versions: what is written since is not to bring it back.
        var isGoneElsewhere = false
        /// What was shown before the content that the kernel is being made to show.
        var before: Before?
        /// Bytes that the kernel had counted in did not arrive.
        var isKernelSizeWrong = false
        /// Counts remote changes of the content, so that a load that they overtook is repeated.
        var remoteChanges: UInt64 = 0
        /// A remote change could not be shown because the file was dirty.
        var isOutdated = false
        /// The kernel may have pages of an earlier content.
        var arePagesOld = false
        /// Setuid or setgid bits may have to be cleared by a write of an ordinary user.
        var mayHaveSetID = true
        /// A capability may have to be removed by a write.
        var mayHaveCapability = true
        /// The kernel was shown attributes that no version has yet.
        var wasShown = false
        /// What stat showed last: for a file that was removed elsewhere and is open here.
        var lastAttributes: Attributes?

        var isDirty: Bool { generation != published }
        var isLoaded: Bool { reader != nil }
    }

    /// A version that another is taking the place of.
    struct Before {
        let reader: ContentReader?
        let parents: [UInt64]
        let overlay: Overlay
        let modified: Timestamp
        let isTimeUntold: Bool
    }

    let id: InodeID
    let hasKernelTimes: Bool
    private let pins = Atomic<Int>(0)
    private let writers = Atomic<Int>(0)
    private let busy = Atomic<Bool>(false)
    /// Held while the volume is told of the file's bytes, so that it hears records, versions and the
    /// end of both in the order in which they were made. Taken before the state's lock.
    let telling = Mutex<Void>(())
    private let state: Mutex<State>

    /// - Parameter hasKernelTimes: whether the kernel sets the time of modification itself, and tells.
    init(id: InodeID, node: NodeID, hasKernelTimes: Bool = false) {
        self.id = id
        self.hasKernelTimes = hasKernelTimes
        state = Mutex(State(node: node))
    }

    // MARK: Lifetime

    /// Only under the table's lock.
    func pin() { pins.wrappingAdd(1, ordering: .acquiringAndReleasing) }
    func unpin() { pins.wrappingSubtract(1, ordering: .acquiringAndReleasing) }

    var isPinned: Bool { pins.load(ordering: .acquiring) > 0 }

    /// Opens that may write; while there is one, the kernel may have bytes that we have not.
    var hasWriters: Bool { writers.load(ordering: .acquiring) > 0 }
    func beginWriting() { writers.wrappingAdd(1, ordering: .acquiringAndReleasing) }
    func endWriting() { writers.wrappingSubtract(1, ordering: .acquiringAndReleasing) }

    /// Whether the times that the kernel shows are those of bytes written here, or may become that.
    var hasOwnTimes: Bool { isDirty || hasWriters }

    /// Whether nothing would be lost by forgetting this.
    var isIdle: Bool { !isPinned && !busy.load(ordering: .acquiring) }

    /// Every access goes through here, so that `busy` is kept.
    func access<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try state.withLock { (state) throws(Failure) in
            defer {
                let isBusy = state.isDirty || state.publication != .idle
                busy.store(isBusy, ordering: .releasing)
            }
            // The lock's closure wants a result that nobody else holds; all of ours are Sendable or
            // made inside.
            nonisolated(unsafe) let result = try body(&state)
            return unsafe result
        }
    }

    var node: NodeID { access { $0.node } }
    var isDirty: Bool { access { $0.isDirty } }

    /// Bytes that no version holds yet: at least 1 while there is anything to publish.
    var unpublishedBytes: UInt64 {
        access { state in
            guard state.isDirty, !state.isOrphan else { return 0 }
            let bytes = state.overlay.memory.map { UInt64($0.count) }
            return max(1, bytes ?? state.overlay.dirty.byteCount)
        }
    }
    var isOrphan: Bool { access { $0.isOrphan } }
    var isGoneElsewhere: Bool { access { $0.isGoneElsewhere } }
}
