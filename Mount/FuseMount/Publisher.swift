internal import Base
internal import Chunks
internal import Share
internal import Synchronization

/// Turns dirty files into versions: small ones in the call, others by background jobs.
///
/// Locks: its own is held for moments; under it a file's may be taken, never the other way round.
final class Publisher: Sendable {
    fileprivate struct Job: Sendable {
        let file: FileState
        let number: UInt64
        /// Whether a version is made, or the bytes only leave the staging area.
        let publishes: Bool
        let byteCount: UInt64

        /// Takes long: others must get past it.
        var isLarge: Bool { byteCount >= MountLimits.largeJobBytes }
    }

    fileprivate struct State {
        var dirty: [ObjectIdentifier: FileState] = [:]
        var queue: [Job] = []
        var running = 0
        var isLargeRunning = false
        /// Before this no batch begins, unless somebody waits for one.
        var nextBatch = Instant.zero
        /// At which a worker waits for that.
        var pause: Latch?
        var lastNumber: UInt64 = 0
        var isReleasing = false
    }

    private let volume: any Volume
    private let chunks: any ChunkStorage
    private let keys: ContentKeys
    private let depot: StagingDepot
    private let table: InodeTable
    private let group: SyncGroup
    private let journal: SyncJournal
    private let submit: FuseMount.Submit
    private let log: @Sendable (String) -> Void
    private let changes: ChangeCount
    private let invalidator: Invalidator
    private let writeBack: WriteBack
    private let state = Mutex(State())

    init(
        volume: any Volume, chunks: any ChunkStorage, keys: ContentKeys, depot: StagingDepot,
        table: InodeTable, changes: ChangeCount, invalidator: Invalidator, writeBack: WriteBack,
        submit: @escaping FuseMount.Submit, log: @escaping @Sendable (String) -> Void
    ) {
        self.volume = volume
        self.chunks = chunks
        self.keys = keys
        self.depot = depot
        self.table = table
        self.submit = submit
        self.log = log
        self.changes = changes
        self.invalidator = invalidator
        self.writeBack = writeBack
        group = SyncGroup(chunks)
        journal = SyncJournal(depot.journal)
    }

    // MARK: Asking for it

    /// To be called when a clean file was changed.
    func noteDirty(_ file: FileState) {
        state.withLock { $0.dirty[ObjectIdentifier(file)] = file }
    }

    /// Publishes what is dirty: in the call if it is small, else by a job, after a record was made.
    ///
    /// - Throws: what stood in the way; the bytes stay and are tried again later.
    func publish(_ file: FileState) throws(VolumeError) {
        switch file.begin(number: nextNumber()) {
        case .nothing, .underway: return
        case .now(let ticket, let content):
            try publish(content, of: file, ticket)
        case .job(let number):
            // Bytes in memory become a version as soon as a record could be made of them.
            let recorded = Result { () throws(VolumeError) in
                if file.isWorthRecording { try record(file) }
            }
            enqueue(file, number, publishes: true)
            try recorded.get()
        }
    }

    /// Publishes what is dirty now and then calls back, on any thread.
    ///
    /// - Parameter isPatient: whether to wait for chunks from the network.
    func settle(
        _ file: FileState, isPatient: Bool = true,
        then call: @escaping @Sendable (VolumeError?) -> Void
    ) {
        let generation = file.access { $0.generation }
        settle(file, upTo: generation, isPatient, rounds: 3, then: call)
    }

    private func settle(
        _ file: FileState, upTo generation: UInt64, _ isPatient: Bool, rounds: Int,
        then call: @escaping @Sendable (VolumeError?) -> Void
    ) {
        do {
            try publish(file)
        } catch {
            return call(error)
        }
        hurry()
        let isSettled = file.access { state in
            if case .fetching = state.publication, !isPatient { return true }
            return state.published >= generation || !state.isDirty || state.isOrphan
                || state.publication == .idle && rounds == 0
        }
        if isSettled { return call(nil) }
        guard rounds > 0 else { return call(.storage(.io(code: ErrorCode.busy, action: "saving"))) }
        file.whenFree { error in
            if let error { return call(error) }
            self.settle(file, upTo: generation, isPatient, rounds: rounds - 1, then: call)
        }
    }

    /// Remembers what is staged of a file for a crash.
    func record(_ file: FileState, again: Bool = false) throws(VolumeError) {
        try record(file, again: again, isSynced: false)
    }

    /// - Returns: the record's number, if one was needed.
    @discardableResult
    private func record(_ file: FileState, again: Bool, isSynced: Bool) throws(VolumeError)
        -> UInt64?
    {
        try file.telling.withLock { _ throws(VolumeError) in
            let record = try lift { () throws(StorageError) in
                let record = try file.record(in: depot, again: again, isSynced: isSynced)
                if isSynced { try record?.bytes.sync() }
                return record
            }
            guard let record else { return nil }
            try volume.recordStaged(record.staged)
            file.recorded(record)
            return record.number
        }
    }

    /// The file's content goes on under another node.
    ///
    /// - Parameter parents: what its next version follows, if that is another too.
    func rebind(_ file: FileState, to node: NodeID, parents: [UInt64]?) throws(VolumeError) {
        let hadRecord = try file.telling.withLock { _ throws(VolumeError) in
            let old = file.node
            guard file.rebind(to: node, parents: parents) else { return false }
            try volume.forgetStaged(old)
            return true
        }
        if hadRecord { try record(file, again: true, isSynced: true) }
    }

    /// The file has no name any more: nothing of it will be published.
    func orphan(_ file: FileState) throws(VolumeError) {
        try file.telling.withLock { _ throws(VolumeError) in
            let node = file.node
            if file.makeOrphan() { try volume.forgetStaged(node) }
        }
    }

    /// What fsync asks for: everything written so far survives a crash.
    func makeDurable(_ file: FileState) throws(VolumeError) {
        // Nobody will find it after a crash.
        if file.isOrphan { return }
        if case .now(let ticket, let content) = file.beginNow(number: nextNumber()) {
            try publish(content, of: file, ticket)
            return try volume.sync()
        }
        if try lift({ () throws(StorageError) in try journal.sync(file) }) {
            return try volume.sync()
        }
        try recordDurably([file])
        do {
            try journal.emptyIfFull { files throws(VolumeError) in try recordDurably(files) }
        } catch {
            log("syncing takes longer until there is room: \(error)")
        }
    }

    private func recordDurably(_ files: [FileState]) throws(VolumeError) {
        var records: [(file: FileState, number: UInt64)] = []
        for file in files {
            let number = try record(file, again: true, isSynced: true)
            if let number { records.append((file, number)) }
        }
        try volume.sync()
        for (file, number) in records { file.recordIsDurable(number) }
    }

    /// Records and publishes files that are kept open; gives back staging space.
    func tick(now: Instant) {
        let isTight = depot.bytesUsed > depot.bytesMax / 2
        for file in dirtyFiles() {
            let due = file.due(now: now)
            do {
                if due.publish {
                    try publish(file)
                } else {
                    // A power failure may take the last second, and no more.
                    if due.record { try record(file, again: true, isSynced: true) }
                    if due.flatten || isTight && due.byteCount > 0 { flatten(file) }
                }
            } catch {
                log("saving goes on later: \(error)")
            }
        }
        let grace = isTight ? Duration.zero : MountLimits.releaseAfter
        if depot.hasRetired(by: now + (.zero - grace)) { releaseRetired() }
        depot.dropSpares(unusedSince: now + (.zero - MountLimits.spareFor))
    }

    /// Makes room in the staging area: the bytes of open files become chunks.
    func relieve() {
        let now = Clock.now()
        for file in dirtyFiles() where file.due(now: now).byteCount > 0 { flatten(file) }
        if depot.hasRetired(by: now) { releaseRetired() }
    }

    /// A file that was only emptied counts as one byte.
    var unpublishedBytes: UInt64 {
        dirtyFiles().reduce(0) { $0 + $1.unpublishedBytes }
    }

    /// Publishes everything and waits until that is done, or `deadline`; what is not is recorded.
    func flushAll(deadline: Instant) throws(VolumeError) {
        final class Settling: Sendable {
            let latch = Latch()
            let failure = Mutex<VolumeError?>(nil)
        }
        var failure: VolumeError?
        let files = dirtyFiles().map { file in
            let settling = Settling()
            settle(file, isPatient: false) { error in
                settling.failure.withLock { $0 = error }
                settling.latch.open()
            }
            return (file, settling)
        }
        for (file, settling) in files {
            settling.latch.wait(until: deadline)
            if let error = settling.failure.withLock({ $0 }) { failure = error }
            if file.isDirty { try record(file) }
        }
        try volume.sync()
        if let failure { throw failure }
    }

    /// Keeps jobs away from a file whose name is about to go, until `release`.
    func hold(_ file: FileState) {
        giveBack(file.hold(), of: file)
    }

    /// Ends `hold`, and lets go on what waited for it.
    func release(_ file: FileState) {
        finish(file, file.release(), failure: nil)
    }

    // MARK: In the call

    private func publish(_ content: Content, of file: FileState, _ ticket: FileState.Ticket)
        throws(VolumeError)
    {
        do {
            try publish(content, of: file, ticket: ticket)
        } catch {
            finish(
                file, file.endFailed(retryAt: Clock.now() + MountLimits.retryAfter), failure: error)
            throw error
        }
    }

    private func publish(_ content: Content, of file: FileState, ticket: FileState.Ticket)
        throws(VolumeError)
    {
        let ending = try file.telling.withLock { _ throws(VolumeError) in
            let particulars = file.particulars(ticket)
            let published = try volume.publish(
                Save(
                    node: particulars.node, parents: ticket.parents, content: content,
                    modified: particulars.modified, settlesStaging: particulars.settlesStaging))
            changes.increment()
            if published.node != particulars.node {
                table.rebind(file.id, to: published.node)
                if !particulars.settlesStaging { try volume.forgetStaged(particulars.node) }
            }
            return file.endPublished(
                ticket, particulars, content: content, as: published, chunks: chunks)
        }
        finish(file, ending, failure: nil)
    }

    // MARK: Jobs

    /// Lets a job take staged bytes away, though the file is still written.
    func flatten(_ file: FileState) {
        guard let number = file.beginStoring(number: nextNumber()) else { return }
        enqueue(file, number, publishes: false)
    }

    private func enqueue(_ file: FileState, _ number: UInt64, publishes: Bool) {
        enqueue(
            Job(
                file: file, number: number, publishes: publishes, byteCount: file.stagedByteCount))
    }

    private func enqueue(_ job: Job) {
        let (starts, pause) = state.withLock { state in
            state.queue.append(job)
            if job.isLarge || state.queue.count >= MountLimits.batchFilesMax {
                return (state.beginsRunning(), state.endPause())
            }
            // Whoever waits takes this one too.
            return (state.pause == nil && state.beginsRunning(), nil)
        }
        pause?.open()
        if starts { submit { self.runJobs() } }
    }

    /// Somebody waits for a version: what is queued begins now.
    private func hurry() {
        state.withLock { $0.endPause() }?.open()
    }

    private func runJobs() {
        while true {
            switch nextStep() {
            case .run(let jobs):
                run(jobs)
                if jobs.contains(where: \.isLarge) {
                    state.withLock { $0.isLargeRunning = false }
                }
            case .pause(let latch, let until):
                latch.wait(until: until)
                state.withLock { state in
                    if state.pause === latch { _ = state.endPause() }
                }
            case .end: return
            }
        }
    }

    private enum Step {
        case run([Job])
        case pause(Latch, until: Instant)
        case end
    }

    /// What a worker does next: a large job, which one of them at most has, or some small ones.
    private func nextStep() -> Step {
        let now = Clock.now()
        return state.withLock { state in
            let next = state.queue.firstIndex { !$0.isLarge || !state.isLargeRunning }
            // One waits at a time.
            guard let next, state.pause == nil else {
                state.running -= 1
                return .end
            }
            if state.queue[next].isLarge {
                state.isLargeRunning = true
                return .run([state.queue.remove(at: next)])
            }
            if now < state.nextBatch {
                let pause = Latch()
                state.pause = pause
                return .pause(pause, until: state.nextBatch)
            }
            state.nextBatch = now + MountLimits.batchInterval
            return .run(state.takeBatch())
        }
    }

    /// Makes chunks of all files, syncs once, makes the versions.
    private func run(_ jobs: [Job]) {
        var built: [(job: Job, ticket: FileState.Ticket, content: Content)] = []
        for job in jobs {
            if let (ticket, content) = build(job) { built.append((job, ticket, content)) }
        }
        guard !built.isEmpty else { return }
        let synced = Result { () throws(VolumeError) in
            try lift { () throws(StorageError) in try group.sync() }
        }
        for (job, ticket, content) in built where job.file.resumeWork(number: job.number) {
            let file = job.file
            do {
                try synced.get()
                if !job.publishes {
                    // No record of the old base may be made meanwhile.
                    let ending = file.telling.withLock { _ in
                        file.endStored(ticket, content: content, chunks: chunks)
                    }
                    finish(file, ending, failure: nil)
                } else if file.isCancelled {
                    cancel(file)
                } else {
                    try publish(content, of: file, ticket: ticket)
                }
            } catch {
                fail(file, error)
            }
        }
    }

    /// - Returns: nil if the job ended, or waits for chunks.
    private func build(_ job: Job) -> (FileState.Ticket, Content)? {
        let file = job.file
        guard let work = file.startWork(number: job.number, chunks: chunks) else {
            if let ending = file.endUnstarted(number: job.number) {
                finish(file, ending, failure: nil)
            }
            return nil
        }
        do {
            let content = try build(work, of: file)
            file.endBuilding(number: job.number)
            return (work.ticket, content)
        } catch {
            switch error {
            case .missing(let missing): fetch(missing, for: job)
            case .storage(let error): fail(file, .storage(error))
            }
            return nil
        }
    }

    private func fail(_ file: FileState, _ error: VolumeError) {
        if file.isCancelled || file.isOvertaken { return cancel(file) }
        log("saving goes on later: \(error)")
        if case .storage(.full) = error { depot.dropSpares() }
        finish(file, file.endFailed(retryAt: Clock.now() + MountLimits.retryAfter), failure: error)
    }

    private func cancel(_ file: FileState) {
        finish(file, file.endFailed(retryAt: .zero), failure: nil)
    }

    private func build(_ work: FileState.Work, of file: FileState) throws(ContentError) -> Content {
        if work.isStored { return work.reader.content }
        var builder = ContentBuilder(keys: keys, storage: chunks)
        let source = CutSource(file: file, reader: work.reader, size: work.size)
        if work.reader.size == 0 { return try builder.build(from: source) }
        return try builder.rebuild(base: work.reader.content, dirty: work.dirty, from: source)
    }

    private func fetch(_ missing: [ChunkReference], for job: Job) {
        let file = job.file
        guard let leftovers = file.awaitChunks(number: job.number) else { return cancel(file) }
        giveBack(leftovers, of: file)
        volume.demand(missing) { allHere in
            if allHere { return self.enqueue(job) }
            let ending = file.endFetching(
                number: job.number, retryAt: Clock.now() + MountLimits.retryAfter)
            if let ending { self.finish(file, ending, failure: .unreachable) }
        }
    }

    /// What the end of a publication brings with it.
    private func finish(_ file: FileState, _ ending: FileState.Ending, failure: VolumeError?) {
        do {
            // What was synced of it was so over another base.
            if ending.needsRecord { try record(file, again: true, isSynced: true) }
            // Not before: the record of before may name the staging file. Where no other can be made
            // it is left to the next start.
            giveBack(ending.leftovers, of: file)
            if let modified = ending.modified {
                _ = try volume.setAttributes(
                    of: file.node, to: AttributeChange(modified: modified))
            }
        } catch {
            log("saving goes on later: \(error)")
        }
        for call in ending.waiting { call(failure) }
        if ending.isOutdated {
            invalidator.showContent(of: file)
        } else if ending.wasShown, !writeBack.isUsed {
            // Where the kernel writes back, size and times are its own.
            invalidator.forgetAttributes(of: file.id)
        }
        if ending.isWanted {
            do {
                try publish(file)
            } catch {
                log("saving goes on later: \(error)")
            }
        }
        state.withLock { state in
            // Asked under the lock: who makes it dirty again comes here afterwards.
            if !file.isDirty || file.isOrphan { state.dirty[ObjectIdentifier(file)] = nil }
        }
        table.dropIfIdle(file)
    }

    private func giveBack(_ leftovers: Overlay.Leftovers, of file: FileState) {
        let now = Clock.now()
        if let staged = leftovers.file {
            depot.retire(staged, isSpare: !leftovers.isRecorded, now: now)
        }
        guard let staged = leftovers.partly, !leftovers.ranges.isEmpty else { return }
        let log = log
        depot.retire(now: now) {
            do {
                try file.punch(leftovers.ranges, of: staged)
            } catch {
                log("staging space is given back later: \(error)")
            }
        }
    }

    private func releaseRetired() {
        let starts = state.withLock { state in
            guard !state.isReleasing else { return false }
            state.isReleasing = true
            return true
        }
        guard starts else { return }
        submit {
            do {
                try self.depot.release(now: Clock.now()) { () throws(VolumeError) in
                    try self.volume.sync()
                }
            } catch {
                self.log("staging space is given back later: \(error)")
            }
            self.state.withLock { $0.isReleasing = false }
        }
    }

    private func dirtyFiles() -> [FileState] {
        state.withLock { state in
            state.dirty.values.sorted { $0.id.rawValue < $1.id.rawValue }
        }
    }

    private func nextNumber() -> UInt64 {
        state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
    }
}

extension Publisher.State {
    /// Whether one more worker is to begin.
    fileprivate mutating func beginsRunning() -> Bool {
        guard running < MountLimits.jobsMax else { return false }
        running += 1
        return true
    }

    /// - Returns: what a worker waits at, to be opened.
    fileprivate mutating func endPause() -> Latch? {
        nextBatch = .zero
        defer { pause = nil }
        return pause
    }

    /// Small jobs in their order, as many as one batch may have.
    fileprivate mutating func takeBatch() -> [Publisher.Job] {
        var batch: [Publisher.Job] = []
        var bytes: UInt64 = 0
        var rest: [Publisher.Job] = []
        for job in queue {
            let fits =
                batch.count < MountLimits.batchFilesMax
                && (batch.isEmpty || bytes + job.byteCount <= MountLimits.batchBytesMax)
            if job.isLarge || !fits {
                rest.append(job)
            } else {
                bytes += job.byteCount
                batch.append(job)
            }
        }
        queue = rest
        return batch
    }
}

/// The bytes of a file at the moment a job took it up.
private struct CutSource: ContentSource {
    let file: FileState
    let reader: ContentReader
    let size: UInt64

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int
    {
        guard offset < size else { return 0 }
        let count = Int(min(UInt64(buffer.count), size - offset))
        var gaps: [Range<UInt64>] = []
        let missing: [ChunkReference]?
        do {
            // `count` is at most the buffer's size.
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try unsafe file.readCut(offset..<offset + UInt64(count), into: part, gaps: &gaps)
            missing = try unsafe reader.fill(gaps, of: part, from: offset)
        } catch {
            throw .storage(error)
        }
        if let missing { throw .missing(missing) }
        return count
    }

    func zeros(from offset: UInt64) -> UInt64 {
        guard offset < size, let stretch = file.cutStretch(at: offset) else { return offset }
        switch stretch {
        case .data: return offset
        case .zeros(let until): return until
        case .base(let until):
            guard offset < reader.size else { return until }
            // A guess that fails costs reading the bytes, nothing else.
            guard let position = try? reader.seekData(from: offset) else { return offset }
            switch position {
            case .offset(let data): return min(data, until)
            case .none: return until
            case .missing: return offset
            }
        }
    }
}

/// Runs what touches only staging or chunks where a volume's errors are thrown.
func lift<Result>(_ body: () throws(StorageError) -> Result) throws(VolumeError) -> Result {
    do {
        return try body()
    } catch {
        throw .storage(error)
    }
}
