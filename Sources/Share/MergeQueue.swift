import Base
import Chunks
import FileTree

/// Merges that are still to be made.
struct MergeQueue {
    enum Limits {
        /// How long a file shows one head while only the bytes of an old version are missing; then it
        /// shows all of them until these come.
        static let patience = Duration.seconds(10)
        /// Merges that saves may still refer to.
        static let remembered = 64
        /// Heads looked at in one turn, after a start, while calls wait; and how long until the next turn:
        /// in a large share the index of all heads must come from the disk.
        static let scanned = 1024
        static let scanPause = Duration.milliseconds(10)
    }

    /// One that waits for chunks.
    struct Waiting {
        var question: MergeQuestion
        var missing: [ChunkReference]
        /// When all heads are to show; nil when that is done, or when heads are missing themselves.
        var deadline: Instant?
        /// Whether all heads show, since what is missing may be gone for good.
        var showsAll = false
    }

    /// What was shown of several heads.
    struct Shown {
        var question: MergeQuestion
        var size: UInt64
        var content: [UInt8]
    }

    /// What a file with several heads showed last: while a question about it waited, too.
    struct Settled {
        var object: ObjectID
        var heads: [VersionID]
        /// Those of them that the file itself showed then.
        var shown: [VersionID]
    }

    /// To be tried, the first first.
    private(set) var ready: [MergeQuestion] = []
    private var readyHead = 0
    private(set) var waiting: [ObjectID: Waiting] = [:]
    private var objects: [Bytes32: [ObjectID]] = [:]
    /// Until when storage is left in peace after it failed.
    private var pausedUntil = Instant.zero
    /// The last error told, so that one that stays is told once.
    private var toldFailure: StorageError?
    private(set) var shown: [Shown] = []
    private var settled: [Settled] = []
    /// Where the look for questions of an earlier run has come to; nil when it is done.
    var scan: Scan? = .start
    /// When to look on.
    var scanDeadline = Instant.zero

    enum Scan: Equatable {
        case start
        case after(ObjectID)
    }

    private var hasReady: Bool { readyHead < ready.count }

    /// When there is something to do; nil if there is nothing.
    var nextTurn: Instant? {
        hasReady ? pausedUntil : scan == nil ? nil : max(scanDeadline, pausedUntil)
    }

    mutating func add(_ question: MergeQuestion) {
        forget(question.object)
        ready.append(question)
    }

    mutating func next() -> MergeQuestion? {
        guard readyHead < ready.count else { return nil }
        defer {
            readyHead += 1
            if readyHead == ready.count { (ready, readyHead) = ([], 0) }
        }
        return ready[readyHead]
    }

    /// Storage failed, as on a full disk: what is to be merged is tried again later.
    ///
    /// - Returns: whether people are to be told.
    mutating func pause(after failure: StorageError, until: Instant) -> Bool {
        pausedUntil = until
        defer { toldFailure = failure }
        return toldFailure != failure
    }

    /// Storage works.
    mutating func noteSuccess() { toldFailure = nil }

    mutating func wait(_ question: MergeQuestion, for missing: [ChunkReference], until: Instant?) {
        forget(question.object)
        waiting[question.object] = Waiting(
            question: question, missing: missing, deadline: until)
        // One of them is enough to try again by.
        if let first = missing.first { objects[first.address, default: []].append(question.object) }
    }

    /// A chunk is here: what waited for it is tried again.
    mutating func arrived(_ address: Bytes32) {
        guard !objects.isEmpty, let objects = objects.removeValue(forKey: address) else { return }
        for object in objects {
            guard let waiting = waiting.removeValue(forKey: object) else { continue }
            ready.append(waiting.question)
        }
    }

    mutating func forget(_ object: ObjectID) {
        guard let known = waiting.removeValue(forKey: object), let first = known.missing.first
        else { return }
        objects[first.address]?.removeAll { $0 == object }
        if objects[first.address]?.isEmpty == true { objects[first.address] = nil }
    }

    /// Those whose patience is at an end, in the order of identities.
    mutating func takeOverdue(now: Instant) -> [MergeQuestion] {
        let overdue = waiting.values.filter { $0.deadline.map { $0 <= now } ?? false }
            .map(\.question).sorted { $0.object.rawValue < $1.object.rawValue }
        for question in overdue {
            waiting[question.object]?.deadline = nil
            waiting[question.object]?.showsAll = true
        }
        return overdue
    }

    var deadline: Instant? { waiting.values.compactMap(\.deadline).min() }

    mutating func remember(_ answer: Settled) {
        settled.removeAll { $0.object == answer.object }
        settled.append(answer)
        if settled.count > Limits.remembered { settled.removeFirst() }
    }

    func settled(_ object: ObjectID) -> Settled? { settled.last { $0.object == object } }

    mutating func remember(_ merge: Shown) {
        shown.removeAll { $0.question == merge.question }
        shown.append(merge)
        if shown.count > Limits.remembered { shown.removeFirst() }
    }
}
