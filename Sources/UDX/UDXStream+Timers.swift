package import Base

/// What time brings about.
extension UDXStream {
    /// When `advance` and `flush` must be called next; in the past if at once, `distantFuture` if
    /// nothing will happen unless something comes in or is written.
    package var deadline: Instant {
        guard route != nil else { return .distantFuture }
        if isAcknowledgementDue { return Instant(nanoseconds: now) }
        guard !isClosed else { return .distantFuture }
        if isDrainedDue || isTailProbeDue { return Instant(nanoseconds: now) }
        var next = min(timeoutDeadline ?? .max, tailProbeDeadline ?? .max, lossDeadline ?? .max)
        if maySendLost || (maySendNew && sent.lostCount == 0) { next = min(next, pacer.nextBurst) }
        if isWindowShut { next = min(next, pollAt ?? now) }
        next = min(next, keepAliveAt ?? .max, releaseAt ?? .max)
        return Instant(nanoseconds: next)
    }

    /// Does what is due. Call `flush` afterwards.
    package mutating func advance(now: Instant, events: inout [UDXEvent]) {
        observe(now)
        guard !isClosed, route != nil else { return }
        if let releaseAt, self.now >= releaseAt { reassembly.release() }
        if let lossDeadline, self.now >= lossDeadline {
            let lost = detectLosses()
            unreportedLoss += lost
            if lost > 0 { enterRecovery(newlyDelivered: 0) }
        }
        if let timeoutDeadline, self.now >= timeoutDeadline {
            guard timeOut() else {
                giveUp(events: &events)
                return
            }
        } else if let tailProbeDeadline, self.now >= tailProbeDeadline {
            tailProbes += 1
            isTailProbeDue = true
        }
        if let pollAt, isWindowShut, self.now >= pollAt,
            unansweredPolls > configuration.limits.timeouts
        {
            giveUp(events: &events)
            return
        }
        reportProgress(events: &events)
    }

    /// When memory for packets out of order is given back: five seconds after the last one.
    private var releaseAt: UInt64? {
        reassembly.isLarge ? reorderedAt + 5 * Nanoseconds.second : nil
    }

    /// There is no state that waits after the end: a peer that has everything, and whose END has come,
    /// may be gone before the last acknowledgement arrived. That is a clean end.
    private mutating func giveUp(events: inout [UDXEvent]) {
        let reason: UDXCloseReason =
            isRemoteEnded && isEndSent && outgoing.count == 0 ? .finished : .timedOut
        close(reason)
        events.append(.closed(reason))
    }
}
