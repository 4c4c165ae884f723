package import Base
package import Wire

/// What goes out.
extension UDXStream {
    /// Appends the datagrams that may leave now: acknowledgements, what was lost, what is new.
    ///
    /// One acknowledgement covers everything received since the last call.
    package mutating func flush(now: Instant, into batch: inout DatagramBatch) {
        observe(now)
        guard let route else { return }
        guard !isClosed else {
            if isAcknowledgementDue { sendAcknowledgement(to: route, into: &batch) }
            return
        }
        // With gaps to tell of, the acknowledgement goes first and by itself.
        if isAcknowledgementDue, reassembly.packets > 0 {
            sendAcknowledgement(to: route, into: &batch)
        }
        pacer.fill(now: self.now)
        if isTailProbeDue { sendTailProbe(to: route, into: &batch) }
        while maySendLost, pacer.allows, let sequence = sent.firstLost() {
            sendAgain(sequence, into: &batch)
        }
        if sent.lostCount == 0 {
            while maySendNew, pacer.allows { sendNew(to: route, into: &batch) }
        }
        pollShutWindow(to: route, into: &batch)
        keepAlive(to: route, into: &batch)
        if isAcknowledgementDue { sendAcknowledgement(to: route, into: &batch) }
        noteDrained()
        if !hasUnsent, sent.lostCount == 0, sent.inFlightBytes < congestion.window {
            rate.markApplicationLimited(inFlight: sent.inFlightBytes)
        }
    }

    // MARK: What may leave

    /// Whether there is data or an END in no packet yet.
    var hasUnsent: Bool { queuedBytes > 0 || (isFinishing && !isEndSent) }

    /// Retransmissions do not ask for the other side's window: their room is reserved.
    var maySendLost: Bool { sent.lostCount > 0 && sent.inFlightBytes < congestion.window }

    var maySendNew: Bool {
        hasUnsent && sent.inFlightBytes < congestion.window && windowAdmits
    }

    /// The other side's window has room for one more packet, or is not shut and nothing is on its way.
    private var windowAdmits: Bool {
        guard sendWindow > 0, sent.count < configuration.limits.packetsOutstanding else {
            return false
        }
        let size = min(queuedBytes, payloadMax)
        guard outgoing.count - queuedBytes + size <= configuration.limits.bytesOutstanding else {
            return false
        }
        return sent.undeliveredBytes + size <= sendWindow || sent.undeliveredBytes == 0
    }

    /// Nothing can be sent, and nothing is on its way whose answer would say when it can.
    var isWindowShut: Bool { sendWindow == 0 && hasUnsent && sent.isEmpty }

    // MARK: Packets

    private mutating func sendNew(to route: Route, into batch: inout DatagramBatch) {
        let size = min(queuedBytes, payloadMax)
        var packet = SentPacket()
        packet.offset = unsentFrom
        packet.size = UInt16(size)
        packet.isEnd = isFinishing && size == queuedBytes
        let padding = probePadding(payload: size)
        packet.isProbe = padding > 0
        packet.wireSize = UInt16(size + overhead + padding)
        if packet.isEnd { isEndSent = true }
        if sent.isEmpty, rate.isApplicationLimited { congestion.restarted(now: now) }
        rate.stamp(&packet, now: now, isIdle: sent.inFlightCount == 0)
        unsentFrom &+= UInt64(size)
        let sequence = sent.next
        sent.append(packet)
        write(packet, sequence, padding: padding, to: route, into: &batch)
    }

    /// A packet that was lost, or whose answer is overdue. It keeps its number and its payload, and
    /// loses its padding.
    private mutating func sendAgain(_ sequence: UInt32, into batch: inout DatagramBatch) {
        guard let route = self.route(for: sequence) else { return }
        let isIdle = sent.inFlightCount == 0
        if sent[sequence].isProbe { pathMTU.probeLost(Int(sent[sequence].wireSize)) }
        sent.markSent(sequence) { packet in
            rate.stamp(&packet, now: now, isIdle: isIdle)
            packet.isProbe = false
            packet.wasRetransmitted = true
            packet.wireSize = packet.size + UInt16(overhead)
        }
        statistics.packetsRetransmitted += 1
        write(sent[sequence], sequence, padding: 0, to: route, into: &batch)
    }

    /// One packet to provoke an answer when the last ones got none: a new one if there is one, else the
    /// last one again. It asks neither the congestion window nor the pacer.
    private mutating func sendTailProbe(to route: Route, into batch: inout DatagramBatch) {
        isTailProbeDue = false
        if hasUnsent, windowAdmits {
            sendNew(to: route, into: &batch)
        } else if let last = sent.lastInFlight {
            sendAgain(last, into: &batch)
        }
    }

    /// What is resent takes the path that it took before, except that every other time-out tries the new
    /// one: the former path may be gone.
    private func route(for sequence: UInt32) -> Route? {
        guard let formerRoute, sequence.precedes(routeSequence), sent[sequence].timeouts & 1 == 0
        else { return route }
        return formerRoute
    }

    /// Padding that makes a packet a probe for a larger path MTU; 0 if none is due.
    ///
    /// Only with packets waiting behind it, so that its loss shows soon.
    private mutating func probePadding(payload: Int) -> Int {
        guard payload == payloadMax, formerRoute == nil, roundTrip.smoothed != nil,
            queuedBytes >= 4 * payloadMax, case .none = recovery,
            let size = pathMTU.nextProbe(now: now)
        else { return 0 }
        pathMTU.probeSent()
        return min(max(size - payload - overhead, 0), 255)
    }

    /// One DATA or END packet, for the first time or again.
    private mutating func write(
        _ packet: SentPacket, _ sequence: UInt32, padding: Int, to route: Route,
        into batch: inout DatagramBatch
    ) {
        var kind: UDXHeader.Kind = packet.size > 0 ? .data : []
        if packet.isEnd { kind.insert(.end) }
        var header = header(kind, to: route)
        header.sequence = sequence
        header.dataOffset = UInt8(padding)
        header.write(into: &batch.bytes)
        for _ in 0..<padding { batch.bytes.append(0) }
        outgoing.copy(from: packet.offset, count: Int(packet.size), into: &batch.bytes)
        batch.close(to: route.remote, via: route.socket)
        pacer.spend(Int(packet.wireSize))
        lastSentAt = now
        count(sentBytes: UDXHeader.size + padding + Int(packet.size))
        // It carries the acknowledgement, unless there are gaps to tell of.
        if reassembly.packets == 0 { isAcknowledgementDue = false }
    }

    /// A plain acknowledgement, or one with the runs behind the first gap.
    ///
    /// If there are more runs than fit, the next acknowledgement goes on where this one stopped: what
    /// was reported once needs no repetition unless it got lost.
    private mutating func sendAcknowledgement(
        to route: Route, into batch: inout DatagramBatch
    ) {
        isAcknowledgementDue = false
        var start = expected
        if reassembly.packets > 0, expected.precedes(nextRun), nextRun.precedes(reassembly.end) {
            start = nextRun
        }
        var run = reassembly.run(from: start)
        let kind: UDXHeader.Kind = run == nil ? .acknowledgement : .selective
        header(kind, to: route).write(into: &batch.bytes)
        var runs = 0
        while let (start, end) = run, runs < configuration.limits.selectiveRuns {
            append(start, to: &batch.bytes)
            append(end, to: &batch.bytes)
            runs += 1
            run = reassembly.run(from: end)
        }
        nextRun = run?.start ?? expected
        batch.close(to: route.remote, via: route.socket)
        count(sentBytes: UDXHeader.size + 8 * runs)
    }

    /// A shut window opens without notice: it is asked for, at once, after a time-out, and then every
    /// other time-out.
    private mutating func pollShutWindow(to route: Route, into batch: inout DatagramBatch) {
        guard isWindowShut else {
            pollAt = nil
            polls = 0
            return
        }
        guard now >= pollAt ?? 0 else { return }
        send(header(.heartbeat, to: route), to: route, into: &batch)
        pollAt = now + roundTrip.timeout * (polls == 0 ? 1 : 2)
        polls += 1
        unansweredPolls += 1
    }

    private mutating func keepAlive(to route: Route, into batch: inout DatagramBatch) {
        guard let keepAliveAt, now >= keepAliveAt else { return }
        send(header(.heartbeat, to: route), to: route, into: &batch)
        lastSentAt = now
    }

    /// When an idle stream sends its next heartbeat, if it is to send any.
    var keepAliveAt: UInt64? {
        guard let interval = configuration.keepAlive, sent.isEmpty else { return nil }
        return lastSentAt + UInt64(max(1, interval.nanosecondsClamped))
    }

    // MARK: Details

    /// A header that uses no sequence number.
    mutating func header(_ kind: UDXHeader.Kind, to route: Route) -> UDXHeader {
        advertisedWindow = receiveWindow
        return UDXHeader(
            kind: kind, streamID: route.remoteID, window: UInt32(clamping: advertisedWindow),
            sequence: sent.next, acknowledgement: expected)
    }

    /// One packet without a payload.
    mutating func send(_ header: UDXHeader, to route: Route, into batch: inout DatagramBatch) {
        header.write(into: &batch.bytes)
        batch.close(to: route.remote, via: route.socket)
        count(sentBytes: UDXHeader.size)
    }

    mutating func count(sentBytes: Int) {
        statistics.packetsSent += 1
        statistics.bytesSent += UInt64(sentBytes)
    }

    private func append(_ value: UInt32, to bytes: inout [UInt8]) {
        for index in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * index))) }
    }

    /// The queue has emptied by half: the owner may write again.
    mutating func noteDrained() {
        guard isAboveHighWater, queuedBytes < configuration.sendQueueHighWater / 2 else { return }
        isAboveHighWater = false
        isDrainedDue = true
    }
}
