package import Base
package import Wire

/// What goes out.
extension UDXStream {
    /// Appends the datagrams that may leave now: acknowledgements, what was lost, what is new.
    package mutating func flush(now: Instant, into batch: inout DatagramBatch) {
        observe(now)
        guard let route else { return }
        guard !isClosed else {
            if isAcknowledgementDue { sendAcknowledgement(to: route, into: &batch) }
            return
        }
        if isAcknowledgementDue, reassembly.packets > 0 {
            sendAcknowledgement(to: route, into: &batch)
        }
        while maySendNew { sendNew(to: route, into: &batch) }
        if isAcknowledgementDue { sendAcknowledgement(to: route, into: &batch) }
        noteDrained()
    }

    /// Whether there is data or an END in no packet yet.
    var hasUnsent: Bool { queuedBytes > 0 || (isFinishing && !isEndSent) }

    var maySendNew: Bool {
        hasUnsent && !isEndSent && sent.count < configuration.limits.packetsOutstanding
            && windowAdmits && sent.inFlightBytes < 64 << 10
    }

    /// The other side's window has room for one more packet, or is not shut and nothing is on its way.
    var windowAdmits: Bool {
        guard sendWindow > 0 else { return false }
        let size = min(queuedBytes, payloadMax)
        return sent.undeliveredBytes + size <= sendWindow || sent.undeliveredBytes == 0
    }

    mutating func sendNew(to route: Route, into batch: inout DatagramBatch) {
        var packet = SentPacket()
        let size = min(queuedBytes, payloadMax)
        packet.offset = unsentFrom
        packet.size = UInt16(size)
        unsentFrom &+= UInt64(size)
        packet.isEnd = isFinishing && queuedBytes == 0
        packet.sentAt = now
        packet.wireSize = UInt16(size + UDXHeader.size)
        if packet.isEnd { isEndSent = true }
        let sequence = sent.next
        sent.append(packet)
        write(packet, sequence, padding: 0, to: route, into: &batch)
    }

    /// One DATA or END packet, for the first time or again.
    mutating func write(
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
        count(sentBytes: UDXHeader.size + padding + Int(packet.size))
        // It carries the acknowledgement, unless there are gaps to tell of.
        if reassembly.packets == 0 { isAcknowledgementDue = false }
    }

    /// A plain acknowledgement, or one with the runs behind the first gap.
    mutating func sendAcknowledgement(to route: Route, into batch: inout DatagramBatch) {
        isAcknowledgementDue = false
        let first = reassembly.run(from: expected)
        header(first == nil ? .acknowledgement : .selective, to: route).write(into: &batch.bytes)
        var run = first
        var runs = 0
        while let (start, end) = run, runs < configuration.limits.selectiveRuns {
            append(start, to: &batch.bytes)
            append(end, to: &batch.bytes)
            runs += 1
            run = reassembly.run(from: end)
        }
        batch.close(to: route.remote, via: route.socket)
        count(sentBytes: UDXHeader.size + 8 * runs)
    }

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
        for shift: UInt32 in [0, 8, 16, 24] {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    mutating func noteDrained() {
        guard isAboveHighWater, queuedBytes < configuration.sendQueueHighWater / 2 else { return }
        isAboveHighWater = false
        isDrainedDue = true
    }
}
