internal import Wire

/// What the other side says it has.
extension UDXStream {
    mutating func acknowledge(
        _ header: UDXHeader, _ body: Span<UInt8>, events: inout [UDXEvent]
    ) {
        let acknowledgement = header.acknowledgement
        guard !sent.next.precedes(acknowledgement) else {
            statistics.packetsRefused += 1
            return
        }
        guard !acknowledgement.precedes(sent.oldest) else { return }
        takeWindow(header)
        while sent.oldest != acknowledgement {
            let sequence = sent.oldest
            if sent[sequence].state != .delivered { deliver(sequence) }
            outgoing.discard(to: sent[sequence].offset + UInt64(sent[sequence].size))
            sent.removeOldest()
        }
    }

    private mutating func deliver(_ sequence: UInt32) {
        sent.markDelivered(sequence)
    }

    /// Windows come with packets that may overtake each other: only a newer packet's counts.
    private mutating func takeWindow(_ header: UDXHeader) {
        let isNewer =
            windowSequence.precedes(header.sequence)
            || (windowSequence == header.sequence
                && !header.acknowledgement.precedes(windowAcknowledgement))
        guard isNewer else { return }
        windowSequence = header.sequence
        windowAcknowledgement = header.acknowledgement
        sendWindow = Int(header.window)
    }

    /// Events that depend on what has arrived on either side.
    mutating func reportProgress(events: inout [UDXEvent]) {
        if formerRoute != nil, !sent.oldest.precedes(routeSequence) {
            formerRoute = nil
            events.append(.remoteChanged)
        }
        noteDrained()
        if isDrainedDue {
            isDrainedDue = false
            events.append(.drained)
        }
        if isRemoteEnded, isEndSent, sent.isEmpty, !isClosed {
            close(.finished)
            isAcknowledgementDue = true
            events.append(.closed(.finished))
        }
    }
}
