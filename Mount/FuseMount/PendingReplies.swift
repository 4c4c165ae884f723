internal import Base
internal import CFuse3
internal import Share
internal import Synchronization

/// The replies that wait for something that may never come. Each is answered by its deadline and at
/// the mount's end, whatever becomes of what it waits for.
final class PendingReplies: Sendable {
    private struct State {
        var waiting: [UInt64: (reply: PendingReply, deadline: Instant)] = [:]
        var lastNumber: UInt64 = 0
        /// What the thread sleeps at.
        var sleeping: Latch?
        var isClosed = false
    }

    private let state = Mutex(State())
    private let interrupts: SerialThread

    /// - Parameter interrupts: see `PendingReply`.
    init(interrupts: SerialThread) throws(MountError) {
        self.interrupts = interrupts
        try startThread(name: "deadlines") { [weak self] in
            while let (latch, until) = self?.sweep() {
                if let until { latch.wait(until: until) } else { latch.wait() }
            }
        }
    }

    deinit { state.withLock { $0.sleeping }?.open() }

    /// A reply that is answered with `VolumeError.unreachable` if nobody does it before.
    func hold(_ reply: consuming FuseReply) -> PendingReply {
        let number = state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        let pending = PendingReply(reply, interrupts: interrupts) { [weak self] in
            self?.state.withLock { $0.waiting[number] = nil }
        }
        pending.watchForInterrupt()
        let deadline = Clock.now() + MountLimits.replyPatience
        let (isClosed, sleeping) = state.withLock { state in
            if state.isClosed { return (true, Latch?.none) }
            // It may be answered already, by an interrupt: then the sweep finds it so.
            state.waiting[number] = (pending, deadline)
            guard state.waiting.count == 1 else { return (false, nil) }
            defer { state.sleeping = nil }
            return (false, state.sleeping)
        }
        sleeping?.open()
        if isClosed { pending.fail(ECONNABORTED) }
        return pending
    }

    /// Answers all that wait, and from now on whoever comes.
    func close() {
        let (waiting, sleeping) = state.withLock { state in
            state.isClosed = true
            defer { state.sleeping = nil }
            return (state.waiting.sorted { $0.key < $1.key }.map(\.value.reply), state.sleeping)
        }
        sleeping?.open()
        for reply in waiting { reply.fail(ECONNABORTED) }
    }

    /// Answers those whose time is up.
    ///
    /// - Returns: where to wait for how long; nil at the end.
    private func sweep() -> (Latch, until: Instant?)? {
        let now = Clock.now()
        let (due, next) = state.withLock { state -> ([PendingReply], (Latch, until: Instant?)?) in
            if state.isClosed { return ([], nil) }
            let due = state.waiting.filter { $0.value.deadline <= now || $0.value.reply.isAnswered }
            for number in due.keys { state.waiting[number] = nil }
            let latch = Latch()
            state.sleeping = latch
            let until = state.waiting.isEmpty ? nil : now + MountLimits.sweepInterval
            return (due.sorted { $0.key < $1.key }.map(\.value.reply), (latch, until))
        }
        for reply in due { reply.fail(ErrorCode.code(.unreachable)) }
        return next
    }
}
