internal import CFuse3
internal import Glibc
internal import Synchronization

/// The threads that serve the kernel's requests: one reads, the leader, and answers what it read; others
/// wait to take its place (leader and followers: Schmidt, Stal, Rohnert, Buschmann, 2000).
///
/// The leader hands its seat over before it answers if further requests wait, or if the answer takes long
/// by its kind; and it is taken from the leader who has been at work for a tick or two, since an answer
/// may wait for the disk, for peers, or for another request. So a program that asks for one thing after
/// the other always meets the same thread, awake a moment ago and alone: waking a thread per request,
/// as a pool of readers does, costs as much as most answers.
@safe final class SessionLoop: @unchecked Sendable {
    private let session: OpaquePointer
    private let device: Int32
    private let seat = LeaderSeat()
    private let watch = LeaderWatch()
    /// The thread that is in `read`, for a signal to find it.
    private let reader = Atomic<Int32>(0)
    private let threads = Mutex(0)
    private let done = Latch()

    /// - Parameter session: mounted, with the hook that counts requests; outlives the loop.
    init(_ session: OpaquePointer) {
        unsafe self.session = session
        device = unsafe fuse_session_fd(session)
    }

    /// Serves until the session has ended and all threads are gone.
    func run() throws(MountError) {
        try watch.begin { [self] in leave() }
        defer { watch.end() }
        try startServing()
        done.wait()
    }

    /// Makes the thread that waits for a request look up to see whether the session has ended. Not sure to:
    /// the thread may be about to wait. So it is called until all is over.
    func wakeReader() {
        holdfast_wake_thread(reader.load(ordering: .relaxed))
    }

    private func startServing() throws(MountError) {
        threads.withLock { $0 += 1 }
        do throws(MountError) {
            try startThread(name: "fuse") { [self] in
                serve()
                let left = threads.withLock { count in
                    count -= 1
                    return count
                }
                if left == 0 { done.open() }
            }
        } catch {
            threads.withLock { $0 -= 1 }
            throw error
        }
    }

    /// Gives the leader's seat to whoever waits, or to a new thread.
    private func leave() {
        guard !seat.leave(), threads.withLock({ $0 < MountLimits.threadsMax }) else { return }
        // Without one, the next thread that has answered leads.
        try? startServing()
    }

    private func serve() {
        holdfast_take_wakes()
        let thread = holdfast_thread()
        var buffer = RequestBuffer()
        var busyWait = BusyWait()
        while case .leads = seat.take(idleMax: MountLimits.idleThreadsMax) {
            reader.store(thread, ordering: .relaxed)
            var leads = true
            while leads {
                busyWait.wait(for: device)
                let size = unsafe buffer.receive(from: session)
                if size == -EINTR, unsafe fuse_session_exited(session) == 0 { continue }
                guard size > 0 else { return seat.end() }
                let request = unsafe RequestHead(buffer.buffer)
                if request.isWaitedFor { busyWait.note(from: request.caller) }
                if handsOver(request) {
                    leave()
                    unsafe fuse_session_process_buf(session, &buffer.buffer)
                    leads = false
                } else {
                    let work = watch.begin()
                    unsafe fuse_session_process_buf(session, &buffer.buffer)
                    leads = watch.end(work)
                }
            }
        }
    }

    /// Whether another thread should read while this request is answered.
    private func handsOver(_ request: RequestHead) -> Bool {
        if request.takesLong { return true }
        // What nobody waits for is over before another thread is awake. And the kernel does not say whether
        // what waits behind a program's removals is more than what it forgets of them.
        guard request.isWaitedFor, !request.isForgottenAfter else { return false }
        var state = pollfd(fd: device, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&state, 1, 0) > 0
    }
}
