package import Base
package import UDX
internal import Wire

/// Two UDX streams at the ends of a simulated link, in virtual time: the same seed, the same run.
package struct UDXLink: Sendable {
    /// One end, and what it has seen.
    package struct End: Sendable {
        package var stream: UDXStream
        package var events: [UDXEvent] = []
        /// What came in since it was last taken.
        package var received: [UInt8] = []
        /// Times that the owner of the stream had to act.
        package fileprivate(set) var turns = 0
        fileprivate var batch = DatagramBatch()
        fileprivate var outgoing: UDXLinkPipe

        /// Advances, flushes, and hands what leaves to the link.
        package mutating func act(now: Instant) {
            turns += 1
            stream.advance(now: now, events: &events)
            batch.removeAll()
            stream.flush(now: now, into: &batch)
            for entry in batch.entries {
                outgoing.send(Array(batch.bytes[entry.range]), now: now)
            }
        }

        package mutating func setConditions(_ change: (inout UDXLinkConditions) -> Void) {
            change(&outgoing.conditions)
        }
    }

    package private(set) var now = Instant(nanoseconds: 1_000_000_000)
    package var a: End
    package var b: End

    /// - Parameter acknowledgements: the link from b to a; as from a to b if nil.
    package init(
        _ conditions: UDXLinkConditions, acknowledgements: UDXLinkConditions? = nil, seed: UInt64,
        configuration: UDXConfiguration = UDXConfiguration(), firstSequence: UInt32 = 0
    ) {
        func end(_ id: UInt32, _ other: UInt32, _ conditions: UDXLinkConditions) -> End {
            var stream = UDXStream(
                localID: id, configuration: configuration, firstSequence: firstSequence,
                firstExpected: firstSequence)
            stream.connect(
                remoteID: other, remote: NetworkEndpoint(address: .v4(other), port: 1),
                via: .server, now: Instant(nanoseconds: 1_000_000_000))
            return End(
                stream: stream,
                outgoing: UDXLinkPipe(conditions, seed: seed &* 2 &+ UInt64(id & 1)))
        }
        a = end(1, 2, conditions)
        b = end(2, 1, acknowledgements ?? conditions)
    }

    /// Goes to the next thing that happens: a delivery or a deadline.
    ///
    /// - Returns: false if nothing will ever happen again, or nothing before `limit`.
    package mutating func step(until limit: Instant = .distantFuture) -> Bool {
        let next = min(
            min(a.stream.deadline, b.stream.deadline),
            min(a.outgoing.nextDelivery, b.outgoing.nextDelivery))
        guard next < .distantFuture, next <= limit else { return false }
        now = max(now, next)
        Self.deliver(from: &a, to: &b, now: now)
        Self.deliver(from: &b, to: &a, now: now)
        if a.stream.deadline <= now { a.act(now: now) }
        if b.stream.deadline <= now { b.act(now: now) }
        return true
    }

    /// Static: a method would be called on a copy of the whole link, and every buffer be copied with it.
    private static func deliver(
        from sender: inout End, to receiver: inout End, now: Instant
    ) {
        var isAny = false
        while let datagram = sender.outgoing.receive(now: now) {
            receiver.stream.receive(
                datagram.span, now: now, received: &receiver.received, events: &receiver.events)
            isAny = true
        }
        if isAny { receiver.act(now: now) }
    }
}

/// How a transfer over a simulated link went.
package struct UDXLinkReport: Equatable, Sendable {
    /// Bytes of the stream that arrived, and the virtual time that took.
    package var bytes: Int
    package var duration: Duration
    /// Bits of stream data per second, as a share of the link's bandwidth.
    package var share: Double
    package var retransmitted: UInt64
    package var roundTrip: Duration?

    package init(
        bytes: Int, duration: Duration, bitsPerSecond: Double, retransmitted: UInt64,
        roundTrip: Duration?
    ) {
        self.bytes = bytes
        self.duration = duration
        let seconds = Double(duration.nanosecondsClamped) / 1e9
        share = seconds > 0 ? Double(bytes) * 8 / seconds / bitsPerSecond : 0
        self.retransmitted = retransmitted
        self.roundTrip = roundTrip
    }
}

extension UDXLink {
    /// How much of the link a writer that always has more to write gets in so long a time, from its
    /// first packet on.
    package static func measure(
        _ conditions: UDXLinkConditions, for duration: Duration, seed: UInt64,
        configuration: UDXConfiguration = UDXConfiguration()
    ) -> UDXLinkReport {
        var link = UDXLink(conditions, seed: seed, configuration: configuration)
        let start = link.now
        let piece = [UInt8](repeating: 0x55, count: configuration.sendQueueHighWater)
        var bytes = 0
        link.a.stream.write(piece.span)
        link.a.act(now: start)
        while link.step(until: start + duration) {
            bytes += link.b.received.count
            link.b.received.removeAll(keepingCapacity: true)
            if link.a.stream.queuedBytes < piece.count / 2 { link.a.stream.write(piece.span) }
        }
        return UDXLinkReport(
            bytes: bytes, duration: duration, bitsPerSecond: conditions.bitsPerSecond,
            retransmitted: link.a.stream.statistics.packetsRetransmitted,
            roundTrip: link.a.stream.roundTripTime)
    }
}
