internal import Base
internal import Synchronization

/// Jobs that wait for a background worker, and when which of them begins: large ones one at a time,
/// small ones many together, so that they share a sync.
final class JobQueue: Sendable {
    struct Job: Sendable {
        let file: FileState
        let number: UInt64
        /// Whether a version is made, or the bytes only leave the staging area.
        let publishes: Bool
        let byteCount: UInt64

        /// Takes long: others must get past it.
        var isLarge: Bool { byteCount >= MountLimits.largeJobBytes }
    }

    fileprivate struct State {
        var queue: [Job] = []
        var running = 0
        var isLargeRunning = false
        /// Before this no batch begins, unless somebody waits for one.
        var nextBatch = Instant.zero
        /// At which a worker waits for that.
        var pause: Latch?
    }

    private let state = Mutex(State())

    /// - Returns: whether one more worker is to call `work`.
    func add(_ job: Job) -> Bool {
        let (starts, pause) = state.withLock { state in
            state.queue.append(job)
            if job.isLarge || state.queue.count >= MountLimits.batchFilesMax {
                return (state.beginsRunning(), state.endPause())
            }
            // Whoever waits takes this one too.
            return (state.pause == nil && state.beginsRunning(), nil)
        }
        pause?.open()
        return starts
    }

    /// Somebody waits for a version: what is queued begins now.
    func hurry() {
        state.withLock { $0.endPause() }?.open()
    }

    /// Does jobs until there are none that another worker does not do.
    func work(_ run: ([Job]) -> Void) {
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
}

extension JobQueue.State {
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
    fileprivate mutating func takeBatch() -> [JobQueue.Job] {
        var batch: [JobQueue.Job] = []
        var bytes: UInt64 = 0
        var rest: [JobQueue.Job] = []
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
