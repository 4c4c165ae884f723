/// Threads for work that blocks or takes long: hashing, chunking, resolving names.
package final class WorkerPool: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var next = 0
        var running = 0
        var isStopping = false

        var waiting: Int { jobs.count - next }

        mutating func take() -> (@Sendable () -> Void)? {
            guard next < jobs.count else { return nil }
            let job = jobs[next]
            next += 1
            // Amortised: what was taken goes when it is half of the array.
            if next * 2 >= jobs.count {
                jobs.removeFirst(next)
                next = 0
            }
            running += 1
            return job
        }
    }

    private let gate: Gate<State>
    private let threads: [HostThread]
    private let queueMax: Int

    /// - Parameters:
    ///   - threads: at least one.
    ///   - queueMax: jobs that wait; more are refused, or make `submit` wait.
    package init(threads: Int, queueMax: Int = 1024, name: String = "worker") throws(HostError) {
        precondition(threads > 0 && queueMax > 0)
        let gate = Gate(State())
        var started: [HostThread] = []
        for _ in 0..<threads {
            started.append(try HostThread(name: name) { Self.work(gate) })
        }
        self.gate = gate
        self.threads = started
        self.queueMax = queueMax
    }

    /// Queues a job if there is room; never waits.
    ///
    /// - Returns: false if the queue is full or the pool is stopping.
    package func trySubmit(_ job: @escaping @Sendable () -> Void) -> Bool {
        gate.update { state in
            guard !state.isStopping, state.waiting < queueMax else { return false }
            state.jobs.append(job)
            return true
        }
    }

    /// Queues a job, waiting for room. Not for the event loop; on a worker's own thread the job
    /// runs at once when there is no room, since nobody else may be left to make some.
    ///
    /// - Returns: false if the pool is stopping: the job will not run.
    @discardableResult
    package func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        if threads.contains(where: \.isCurrent) {
            if !trySubmit(job) { job() }
            return true
        }
        return gate.wait { state in
            if state.isStopping { return false }
            guard state.waiting < queueMax else { return nil }
            state.jobs.append(job)
            return true
        }
    }

    /// Waits until everything submitted before has run.
    package func drain() {
        gate.wait { $0.waiting == 0 && $0.running == 0 ? () : nil }
    }

    /// Refuses new jobs, runs those that wait, ends the threads. Call it once, not from a worker.
    package func stop() {
        gate.update { $0.isStopping = true }
        for thread in threads { thread.join() }
    }

    private static func work(_ gate: Gate<State>) {
        enum Step { case run(@Sendable () -> Void), end }
        while true {
            let step: Step = gate.wait { state in
                if let job = state.take() { return .run(job) }
                return state.isStopping ? .end : nil
            }
            guard case .run(let job) = step else { return }
            job()
            gate.update { $0.running -= 1 }
        }
    }
}
