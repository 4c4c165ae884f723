package import Base
internal import Wire

/// What comes in.
extension UDXStream {
    /// Takes one datagram whose `UDXHeader.streamID` is `localID`.
    ///
    /// Call `flush` after one or more of these: acknowledgements leave with it.
    ///
    /// - Parameters:
    ///   - received: stream data that is now in order is appended.
    ///   - events: what else has happened is appended.
    package mutating func receive(
        _ datagram: Span<UInt8>, now: Instant, received: inout [UInt8], events: inout [UDXEvent]
    ) {
        observe(now)
        guard let header = UDXHeader.parse(datagram), header.streamID == localID else {
            statistics.packetsRefused += 1
            return
        }
        statistics.packetsReceived += 1
        statistics.bytesReceived += UInt64(datagram.count)
        guard !isClosed else {
            answerAfterClosing(header)
            return
        }
        let body = datagram.extracting(droppingFirst: UDXHeader.size)
        if header.kind.contains(.heartbeat) {
            isAcknowledgementDue = true
            return
        }
        guard Int(header.dataOffset) <= body.count else {
            statistics.packetsRefused += 1
            return
        }
        let payload = body.extracting(droppingFirst: Int(header.dataOffset))
        if header.kind.contains(.destroy), !header.sequence.precedes(expected) {
            close(.reset)
            events.append(.closed(.reset))
            return
        }
        if header.kind.contains(.message) { events.append(.message([UInt8](copying: payload))) }
        if header.kind.rawValue & (UDXHeader.Kind.data.rawValue | UDXHeader.Kind.end.rawValue) != 0
        {
            takeData(header, payload, received: &received, events: &events)
        }
        if route != nil { acknowledge(header, body) }
        reportProgress(events: &events)
    }

    private mutating func takeData(
        _ header: UDXHeader, _ payload: Span<UInt8>, received: inout [UInt8],
        events: inout [UDXEvent]
    ) {
        isAcknowledgementDue = true
        let sequence = header.sequence
        guard !sequence.precedes(expected) else {
            statistics.packetsDuplicate += 1
            return
        }
        guard admits(header, payload) else {
            statistics.packetsRefused += 1
            return
        }
        // Only data has a payload, whatever an END packet carries.
        let content = header.kind.contains(.data) ? payload : payload.extracting(first: 0)
        if sequence == expected, !reassembly.contains(sequence, expected: expected) {
            received.append(copying: content)
            expected &+= 1
        } else if !reassembly.insert(content, at: sequence, expected: expected) {
            statistics.packetsDuplicate += 1
            return
        } else {
            reorderedAt = now
        }
        if route == nil { unconnectedBytes += content.count }
        if header.kind.contains(.end) { remoteEnd = sequence }
        while reassembly.take(expected, into: &received) { expected &+= 1 }
        if let remoteEnd, !isRemoteEnded, remoteEnd &+ 1 == expected {
            isRemoteEnded = true
            events.append(.ended)
        }
    }

    /// Whether a packet at or after `expected` is consistent with what came before, and within bounds.
    private func admits(_ header: UDXHeader, _ payload: Span<UInt8>) -> Bool {
        if let remoteEnd {
            // Nothing comes after the end, and there is one end only.
            guard !remoteEnd.precedes(header.sequence) else { return false }
            guard header.kind.contains(.end) == (header.sequence == remoteEnd) else { return false }
        }
        guard header.kind.contains(.end) else {
            return route != nil
                || unconnectedBytes + payload.count <= configuration.limits.unconnectedBytes
        }
        // An end below what has been stored would leave that behind it.
        return reassembly.packets == 0 || !header.sequence.precedes(reassembly.end &- 1)
    }

    /// A peer that missed our last acknowledgement repeats its END: it is answered as long as the owner
    /// keeps the stream.
    private mutating func answerAfterClosing(_ header: UDXHeader) {
        guard case .closed(.finished) = phase else { return }
        if !header.kind.isDisjoint(with: [.data, .end, .heartbeat]) { isAcknowledgementDue = true }
    }

    /// What the other side may still send, in bytes.
    var receiveWindow: Int {
        max(0, configuration.receiveWindow - reassembly.charge - heldBytes)
    }

    /// There is no window update in the protocol: an acknowledgement that nobody asked for says that a
    /// window that was nearly shut is open again.
    mutating func windowMayHaveOpened() {
        let half = configuration.receiveWindow / 2
        if advertisedWindow < half, receiveWindow >= half { isAcknowledgementDue = true }
    }
}
