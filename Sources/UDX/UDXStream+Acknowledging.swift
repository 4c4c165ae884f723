internal import Wire

/// What the other side says it has.
extension UDXStream {
    /// Takes in the window, the acknowledgement and the runs of one packet.
    ///
    /// - Parameter body: what follows the header.
    mutating func acknowledge(_ header: UDXHeader, _ body: Span<UInt8>) {
        let acknowledgement = header.acknowledgement
        guard !sent.next.precedes(acknowledgement) else {
            statistics.packetsRefused += 1
            return
        }
        unansweredPolls = 0
        guard !acknowledgement.precedes(sent.oldest) else { return }
        takeWindow(header)
        let inFlight = sent.inFlightBytes
        var sample = DeliveryRate.Sample()
        while sent.oldest != acknowledgement {
            let sequence = sent.oldest
            if sent[sequence].state != .delivered { deliver(sequence, into: &sample) }
            outgoing.discard(to: sent[sequence].offset + UInt64(sent[sequence].size))
            sent.removeOldest()
        }
        if header.kind.contains(.selective) { takeRuns(header, body, into: &sample) }
        guard sample.newlyDelivered > 0 else { return }
        finish(&sample, priorInFlight: inFlight)
    }

    /// Marks what the runs name, each packet once: what is known to be delivered is skipped.
    private mutating func takeRuns(
        _ header: UDXHeader, _ body: Span<UInt8>, into sample: inout DeliveryRate.Sample
    ) {
        let offset = Int(header.dataOffset)
        let length = offset > 0 && offset < body.count ? offset : body.count
        for index in 0..<length / 8 {
            let start = UDXHeader.readUInt32(body, at: 8 * index)
            let end = UDXHeader.readUInt32(body, at: 8 * index + 4)
            guard start.precedes(end), !start.precedes(sent.oldest), start.precedes(sent.next),
                !sent.next.precedes(end)
            else { continue }
            var sequence = start
            while sequence.precedes(end) {
                if sent[sequence].state == .delivered {
                    let next = sent[sequence].deliveredTo
                    sequence = sequence.precedes(next) ? next : sequence &+ 1
                } else {
                    deliver(sequence, into: &sample)
                    sequence &+= 1
                }
            }
            sent.joinDelivered(start, end)
        }
    }

    private mutating func deliver(_ sequence: UInt32, into sample: inout DeliveryRate.Sample) {
        let packet = sent[sequence]
        sent.markDelivered(sequence)
        rack.delivered(packet, sequence, now: now, smallestRoundTrip: roundTrip.smallest)
        if packet.isProbe {
            pathMTU.probeDelivered(Int(packet.wireSize))
            adoptPathMTU()
        }
        rate.deliver(packet, now: now, into: &sample)
        let isOfThisPath = formerRoute == nil || !sequence.precedes(routeSequence)
        guard isOfThisPath else {
            sample.isUsable = false
            return
        }
        if !packet.wasRetransmitted {
            sample.roundTrip = min(sample.roundTrip ?? .max, now - packet.sentAt)
        }
    }

    /// What follows for round trip, losses and window once all that was delivered is known.
    private mutating func finish(_ sample: inout DeliveryRate.Sample, priorInFlight: Int) {
        timeoutBackoff = 0
        tailProbes = 0
        if let sampled = sample.roundTrip { roundTrip.add(sampled, now: now) }
        sample.lost = detectLosses() + unreportedLoss
        unreportedLoss = 0
        if sample.lost > 0 { enterRecovery(newlyDelivered: sample.newlyDelivered) }
        let rate = rate.rate(of: sample, now: now, smallestRoundTrip: roundTrip.smallest)
        leaveRecoveryIfDone()
        congestion.acknowledged(
            sample, rate: rate, delivered: self.rate.delivered, priorInFlight: priorInFlight,
            inFlight: sent.inFlightBytes, now: now)
        pacer.setRate(congestion.pacingRate)
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
        guard !isClosed else { return }
        if formerRoute != nil, !sent.oldest.precedes(routeSequence) {
            formerRoute = nil
            events.append(.remoteChanged)
        }
        noteDrained()
        if isDrainedDue {
            isDrainedDue = false
            events.append(.drained)
        }
        if isRemoteEnded, isEndSent, sent.isEmpty {
            close(.finished)
            isAcknowledgementDue = true
            events.append(.closed(.finished))
        }
    }
}
