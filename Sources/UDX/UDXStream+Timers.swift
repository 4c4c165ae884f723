package import Base

/// What time brings about.
extension UDXStream {
    /// When `advance` and `flush` must be called next; in the past if at once.
    package var deadline: Instant {
        guard route != nil else { return .distantFuture }
        if isAcknowledgementDue || isDrainedDue || maySendNew { return Instant(nanoseconds: now) }
        return .distantFuture
    }

    /// Does what is due. Call `flush` afterwards.
    package mutating func advance(now: Instant, events: inout [UDXEvent]) {
        observe(now)
        guard !isClosed, route != nil else { return }
        reportProgress(events: &events)
    }
}
