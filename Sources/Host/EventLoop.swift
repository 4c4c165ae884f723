package import Base
import CLinux
import Glibc
import Synchronization

/// Something with a descriptor that the loop watches. Confined to the loop's thread.
protocol EventSource: AnyObject {
    func ready(_ events: Readiness)
}

/// What a descriptor is ready for.
struct Readiness: OptionSet {
    let rawValue: UInt32
    static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    /// An error, or both sides closed: the next call on the descriptor tells.
    static let failed = Readiness(rawValue: EPOLLERR.rawValue | EPOLLHUP.rawValue)
}

/// Something that has work to do at certain times. Confined to the loop's thread.
package protocol LoopMember: AnyObject {
    /// Does what is due. Called in every round of the loop, so it must be quick when nothing is.
    ///
    /// - Returns: when to be called again at the latest.
    func run(now: Instant) -> Instant
}

/// One thread that waits on epoll for all sockets, timers and calls from other threads.
///
/// Sources, members and everything they own belong to the loop's thread; other threads use
/// `submit`, `wake` and `stop` only. That confinement, checked where it is cheap, is why the
/// class and its neighbours are `@unchecked Sendable`.
@safe
package final class EventLoop: @unchecked Sendable {
    private struct Inbox {
        var jobs: [@Sendable () -> Void] = []
        var isStopped = false
    }

    private let inbox = Mutex(Inbox())
    /// Set while the bell has been rung and not been heard: more rings cost nothing.
    private let isRung = Atomic<Bool>(false)
    private let isJoined = Atomic<Bool>(false)
    private let thread = Mutex<HostThread?>(nil)
    private let epoll: Descriptor
    private let bell: Descriptor

    // Confined to the loop's thread from here on.
    private var sources: [UInt64: any EventSource] = [:]
    private var members: [any LoopMember] = []
    private var lastToken: UInt64 = 0
    private var isStopping = false
    /// What members asked for after they had run in this round.
    private var earliest = Instant.distantFuture
    /// In no order: there are few.
    private var delayed: [(due: Instant, job: () -> Void)] = []
    /// Reads of all streams go through this one buffer, one after the other.
    let readBuffer: UnsafeMutableRawBufferPointer

    private static let readBufferBytes = 256 << 10
    private static let eventsPerRound = 128

    package init() throws(HostError) {
        epoll = try Descriptor(epoll_create1(Int32(EPOLL_CLOEXEC)), "making an epoll")
        bell = try Descriptor(
            eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)), "making an eventfd")
        // Freed in deinit; used within one call of `ready` at a time.
        unsafe readBuffer = .allocate(byteCount: Self.readBufferBytes, alignment: 16)
        try control(EPOLL_CTL_ADD, bell.number, token: 0, .readable)
    }

    deinit { unsafe readBuffer.deallocate() }

    /// Starts the thread. Call it once.
    package func start() throws(HostError) {
        // Under the lock, so that the thread itself can already tell that it is the loop's.
        try thread.withLock { thread throws(HostError) in
            thread = try HostThread(name: "loop") { self.loop() }
        }
    }

    /// Ends the loop after the jobs submitted so far; waits for that, unless called on the loop.
    package func stop() {
        submit { self.isStopping = true }
        guard !isOnLoop, !isJoined.exchange(true, ordering: .acquiringAndReleasing) else { return }
        thread.withLock({ $0 })?.join()
    }

    /// Runs a job on the loop's thread, soon. After `stop` it is dropped.
    package func submit(_ job: @escaping @Sendable () -> Void) {
        inbox.withLock { if !$0.isStopped { $0.jobs.append(job) } }
        wake()
    }

    /// Runs a job on the loop's thread and waits for its result; at once if this is that thread.
    ///
    /// - Returns: nil if the loop has stopped.
    package func perform<Result: Sendable>(
        _ job: @escaping @Sendable () -> Result
    ) -> Result? {
        if isOnLoop { return job() }
        let gate = Gate<Result?>(nil)
        let isQueued = inbox.withLock { inbox in
            guard !inbox.isStopped else { return false }
            inbox.jobs.append {
                let result = job()
                gate.update { $0 = result }
            }
            return true
        }
        guard isQueued else { return nil }
        wake()
        return gate.wait { $0 }
    }

    package var isOnLoop: Bool { thread.withLock { $0?.isCurrent ?? false } }

    /// Makes every member run soon. Cheap, from any thread.
    package func wake() {
        guard !isRung.exchange(true, ordering: .acquiringAndReleasing) else { return }
        var one: UInt64 = 1
        // Eight bytes of a local; fails only when the counter is full, and then it is rung.
        unsafe _ = write(bell.number, &one, 8)
    }

    /// Adds something to run in every round. On the loop's thread, or before `start`.
    package func add(_ member: any LoopMember) { members.append(member) }

    /// Runs a job later. On the loop's thread.
    func submit(after delay: Duration, _ job: @escaping () -> Void) {
        delayed.append((monotonicNow() + delay, job))
        callAgain()
    }

    /// Runs all members again at `instant` at the latest: for a member that another one has given
    /// something to do. On the loop's thread.
    package func callAgain(by instant: Instant = .zero) { earliest = min(earliest, instant) }

    package func remove(_ member: any LoopMember) { members.removeAll { $0 === member } }
}

// Descriptors, on the loop's thread.
extension EventLoop {
    /// Watches a descriptor; the source is held until `unwatch`.
    ///
    /// - Returns: the token for the other calls; never used again.
    func watch(
        _ descriptor: Int32, for readiness: Readiness, _ source: any EventSource
    ) throws(HostError) -> UInt64 {
        lastToken += 1
        try control(EPOLL_CTL_ADD, descriptor, token: lastToken, readiness)
        sources[lastToken] = source
        return lastToken
    }

    func change(_ token: UInt64, _ descriptor: Int32, to readiness: Readiness) {
        // Cannot fail for a watched descriptor but for want of kernel memory; then the stream
        // stalls and its deadline ends it.
        try? control(EPOLL_CTL_MOD, descriptor, token: token, readiness)
    }

    /// Call it before the descriptor is closed.
    func unwatch(_ token: UInt64, _ descriptor: Int32) {
        sources[token] = nil
        try? control(EPOLL_CTL_DEL, descriptor, token: token, [])
    }

    private func control(
        _ operation: Int32, _ descriptor: Int32, token: UInt64, _ readiness: Readiness
    ) throws(HostError) {
        try check(
            holdfast_epoll_control(
                epoll.number, operation, descriptor, token, readiness.rawValue),
            "watching a descriptor")
    }
}

// The rounds.
extension EventLoop {
    private func loop() {
        var events = unsafe [epoll_event](
            repeating: epoll_event(), count: Self.eventsPerRound)
        while !isStopping {
            runJobs()
            let now = monotonicNow()
            var deadline = Instant.distantFuture
            earliest = .distantFuture
            deadline = min(deadline, runDelayed(now: now))
            for member in members { deadline = min(deadline, member.run(now: now)) }
            if isStopping { break }
            unsafe wait(until: min(deadline, earliest), &events)
        }
        // What was submitted meanwhile still runs, as somebody may wait for it; nothing after.
        inbox.withLock { $0.isStopped = true }
        runJobs()
        sources = [:]
        members = []
        delayed = []
    }

    private func runJobs() {
        let jobs = inbox.withLock { inbox in
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
        for job in jobs { job() }
    }

    /// - Returns: when the next one is due.
    private func runDelayed(now: Instant) -> Instant {
        guard !delayed.isEmpty else { return .distantFuture }
        let due = delayed.filter { $0.due <= now }
        delayed.removeAll { $0.due <= now }
        for row in due { row.job() }
        return delayed.map(\.due).min() ?? .distantFuture
    }

    private func wait(until deadline: Instant, _ events: inout [epoll_event]) {
        let capacity = Int32(unsafe events.count)
        let nanoseconds =
            deadline == .distantFuture ? -1 : max(0, (deadline - monotonicNow()).nanosecondsClamped)
        // The kernel writes at most `capacity` events.
        let count = unsafe epollWait(&events, capacity, nanoseconds)
        guard count > 0 else { return }
        for index in 0..<Int(count) {
            // Any bits make a UInt64.
            let token = unsafe events[index].data.u64
            let ready = Readiness(rawValue: unsafe events[index].events)
            if token == 0 {
                hearBell()
            } else {
                // Gone if an earlier event of this round closed it.
                sources[token]?.ready(ready)
            }
        }
    }

    private func epollWait(
        _ events: UnsafeMutablePointer<epoll_event>, _ capacity: Int32, _ nanoseconds: Int64
    ) -> Int32 {
        let count = unsafe holdfast_epoll_wait(epoll.number, events, capacity, nanoseconds)
        guard count < 0, errno == ENOSYS else { return count }
        // Before Linux 5.11: whole milliseconds, rounded up so as not to spin.
        let milliseconds =
            nanoseconds < 0 ? -1 : min(Int64(Int32.max), nanoseconds / 1_000_000 + 1)
        return unsafe epoll_wait(epoll.number, events, capacity, Int32(milliseconds))
    }

    private func hearBell() {
        var count: UInt64 = 0
        // Eight bytes into a local.
        unsafe _ = read(bell.number, &count, 8)
        // After the read: whoever rings from here on is heard in the next wait.
        isRung.store(false, ordering: .sequentiallyConsistent)
    }
}
