internal import Base
internal import Chunks
internal import Share
internal import Synchronization

/// What background workers do: they make chunks of staged bytes, and versions of the chunks.
extension Publisher {
    /// Lets a job take staged bytes away, though the file is still written.
    func flatten(_ file: FileState) {
        guard let number = file.beginStoring(number: nextNumber()) else { return }
        enqueue(file, number, publishes: false)
    }

    func enqueue(_ file: FileState, _ number: UInt64, publishes: Bool) {
        enqueue(
            JobQueue.Job(
                file: file, number: number, publishes: publishes, byteCount: file.stagedByteCount))
    }

    func enqueue(_ job: JobQueue.Job) {
        if queue.add(job) { submit { self.queue.work { self.run($0) } } }
    }

    /// Makes chunks of all files, syncs once, makes the versions.
    private func run(_ jobs: [JobQueue.Job]) {
        var built: [(job: JobQueue.Job, ticket: FileState.Ticket, content: Content)] = []
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
    private func build(_ job: JobQueue.Job) -> (FileState.Ticket, Content)? {
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
        builder.leaveInPlace(work.inPlace)
        let content = try build(work, of: file, with: &builder)
        if try adopt(builder.takeInPlace(), of: file) { return content }
        return try build(work, of: file, with: &builder)
    }

    private func build(
        _ work: FileState.Work, of file: FileState, with builder: inout ContentBuilder
    ) throws(ContentError) -> Content {
        let source = CutSource(file: file, reader: work.reader, size: work.size)
        if work.reader.size == 0 { return try builder.build(from: source) }
        return try builder.rebuild(base: work.reader.content, dirty: work.dirty, from: source)
    }

    /// Lets the chunk storage have chunks where they stand in the staging file.
    ///
    /// - Returns: false if they must be copied: somebody writes over them, or the disk cannot.
    private func adopt(_ inPlace: [InPlaceChunk], of file: FileState) throws(ContentError) -> Bool {
        guard !inPlace.isEmpty else { return true }
        let ranges = inPlace.map(\.range)
        guard let staged = file.freeze(ranges), let bytes = staged.file else { return false }
        do throws(StorageError) {
            if try chunks.adopt(inPlace, of: bytes) { return true }
        } catch {
            throw .storage(error)
        }
        staged.thaw(ranges)
        return false
    }

    private func fetch(_ missing: [ChunkReference], for job: JobQueue.Job) {
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
}
