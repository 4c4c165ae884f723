package import Base
package import Wire

/// One reliable, ordered stream of bytes in each direction over datagrams, as libudx speaks it.
///
/// A value without I/O: bytes and the time come in, datagrams and events go out. The owner hands in
/// each datagram for `localID` with `receive`, calls `advance` when `deadline` has come, and after
/// either, or after writing, calls `flush`.
///
/// There is no handshake: both ids, the address and the socket come from outside (`connect`).
/// The source address of what comes in is not compared; whoever knows the 32-bit id and a
/// plausible sequence number can disturb the stream, so the layer above must authenticate.
package struct UDXStream: Sendable {
    /// Where packets go.
    struct Route: Sendable {
        var remoteID: UInt32
        var remote: NetworkEndpoint
        var socket: SocketID
    }

    enum Phase: Sendable { case open, closed(UDXCloseReason) }

    /// What the last losses mean for sending.
    enum Recovery: Sendable {
        case none
        /// Packets were lost that later ones overtook.
        case recovering
        /// Nothing was heard for a whole time-out.
        case timedOut
    }

    /// What the other side puts into packets for this stream. Unique over all sockets of the owner.
    package let localID: UInt32
    let configuration: UDXConfiguration
    package internal(set) var statistics = UDXStatistics()
    var phase = Phase.open
    /// The latest time that was handed in.
    var now: UInt64 = 0

    // The path
    var route: Route?
    /// Where packets before `routeSequence` went, until they have all arrived.
    var formerRoute: Route?
    var routeSequence: UInt32 = 0
    var payloadMax: Int
    /// IP, UDP and our own header.
    var overhead = overheadIPv4
    var pathMTU: PathMTUSearch

    // Sending
    var outgoing = ByteRing()
    /// The first byte that is in no packet yet.
    var unsentFrom: UInt64 = 0
    var sent: SentPackets
    var isFinishing = false
    var isEndSent = false
    var isAboveHighWater = false
    var isDrainedDue = false
    /// Of the other side, in bytes, and the packet it came from.
    var sendWindow = 4 << 20
    var windowSequence: UInt32
    var windowAcknowledgement: UInt32
    var roundTrip = RoundTrip()
    var rate = DeliveryRate()
    var congestion: CongestionControl
    var pacer: Pacer
    var lastSentAt: UInt64 = 0

    // Loss
    var rack = RecentAcknowledgement()
    var recovery = Recovery.none
    /// Recovery is over when everything before this packet has arrived.
    var recoveryEnd: UInt32 = 0
    /// When the oldest packets in flight will count as lost.
    var lossDeadline: UInt64?
    /// After a time-out the next one waits so long.
    var timeoutBackoff: UInt64 = 0
    /// Bytes found lost by the clock, which the next acknowledgement reports.
    var unreportedLoss = 0
    /// Sent since something was delivered or timed out.
    var tailProbes = 0
    var isTailProbeDue = false

    // Shut window
    var pollAt: UInt64?
    var polls = 0
    var unansweredPolls = 0

    // Receiving
    /// The next sequence number of the other side.
    var expected: UInt32
    var reassembly: Reassembly
    /// Of the END packet.
    var remoteEnd: UInt32?
    var isRemoteEnded = false
    var unconnectedBytes = 0
    /// When a packet last came before its turn.
    var reorderedAt: UInt64 = 0
    var isAcknowledgementDue = false
    /// Where the next acknowledgement's runs begin, if the last could not name all.
    var nextRun: UInt32 = 0
    /// Bytes that the owner was given and has not passed on yet. They narrow the window that the other
    /// side is told.
    package var heldBytes = 0 {
        didSet { windowMayHaveOpened() }
    }
    /// The window in the last packet that went out.
    var advertisedWindow: Int

    /// - Parameters:
    ///   - firstSequence: of the first packet that leaves; the other side must expect it.
    ///   - firstExpected: of the first packet that comes.
    package init(
        localID: UInt32, configuration: UDXConfiguration = UDXConfiguration(),
        firstSequence: UInt32 = 0, firstExpected: UInt32 = 0
    ) {
        self.localID = localID
        self.configuration = configuration
        sent = SentPackets(firstSequence: firstSequence)
        windowSequence = firstExpected
        windowAcknowledgement = firstSequence
        expected = firstExpected
        nextRun = firstExpected
        reassembly = Reassembly(window: configuration.receiveWindow)
        advertisedWindow = configuration.receiveWindow
        payloadMax = configuration.pathMTU.base - Self.overheadIPv4
        pathMTU = PathMTUSearch(configuration.pathMTU)
        congestion = CongestionControl(
            configuration.congestion, packetSize: configuration.pathMTU.base, now: 0)
        pacer = congestion.pacer
    }

    static let overheadIPv4 = 20 + 8 + UDXHeader.size
    static let overheadIPv6 = 40 + 8 + UDXHeader.size

    // MARK: What the owner sees

    package var isConnected: Bool { route != nil }
    package var remoteID: UInt32? { route?.remoteID }
    package var remote: NetworkEndpoint? { route?.remote }
    package var socket: SocketID? { route?.socket }
    /// Smoothed; nil before the first answer.
    package var roundTripTime: Duration? {
        roundTrip.smoothed.map { .nanoseconds(Int64(clamping: $0)) }
    }
    /// Bytes of the largest IP packet that is known to pass.
    package var pathMTUBytes: Int { pathMTU.size }
    /// Bytes written that have not been sent once.
    package var queuedBytes: Int { Int(truncatingIfNeeded: outgoing.end &- unsentFrom) }
    /// Bytes written that have not been acknowledged, sent or not.
    package var unacknowledgedBytes: Int { outgoing.count }
    /// Why the stream is over, once it is.
    package var closeReason: UDXCloseReason? {
        if case .closed(let reason) = phase { reason } else { nil }
    }
    package var isClosed: Bool { closeReason != nil }

    // MARK: The path

    /// Says where the other side is. Packets may leave from the next `flush` on.
    package mutating func connect(
        remoteID: UInt32, remote: NetworkEndpoint, via socket: SocketID, now: Instant
    ) {
        observe(now)
        route = Route(remoteID: remoteID, remote: remote, socket: socket)
        startPath()
    }

    /// Sends what is new to another place from now on; what is on its way is still resent to the former
    /// place. Both sides must do so. `remoteChanged` is reported when the latter has all arrived.
    package mutating func changeRemote(
        remoteID: UInt32, remote: NetworkEndpoint, via socket: SocketID, now: Instant
    ) {
        observe(now)
        formerRoute = route
        routeSequence = sent.next
        route = Route(remoteID: remoteID, remote: remote, socket: socket)
        startPath()
        // The other side hears from us on the new path even if nothing is being written.
        isAcknowledgementDue = true
    }

    // MARK: Sending

    /// Queues bytes. Nothing leaves before `flush`; small writes share packets.
    ///
    /// Refused silently after `finish` or when the stream is over.
    package mutating func write(_ bytes: Span<UInt8>) {
        guard !isFinishing, !isClosed else { return }
        outgoing.append(bytes)
        if queuedBytes > configuration.sendQueueHighWater { isAboveHighWater = true }
    }

    /// Ends this direction after what has been written.
    package mutating func finish() { isFinishing = true }

    /// Drops the stream and tells the other side once. Nothing is reported.
    package mutating func destroy(into batch: inout DatagramBatch) {
        guard !isClosed else { return }
        if let route {
            send(header(.destroy, to: route), to: route, into: &batch)
        }
        close(.reset)
    }

    /// Sends one unordered message, unpaced and unprotected.
    ///
    /// - Returns: false, with nothing sent, if the message does not fit a packet or the stream is not
    ///   connected.
    @discardableResult
    package mutating func sendMessage(
        _ message: Span<UInt8>, into batch: inout DatagramBatch
    ) -> Bool {
        guard let route, !isClosed, message.count <= payloadMax else { return false }
        header(.message, to: route).write(into: &batch.bytes)
        batch.bytes.append(copying: message)
        count(sentBytes: UDXHeader.size + message.count)
        batch.close(to: route.remote, via: route.socket)
        return true
    }

    // MARK: Shared detail

    mutating func observe(_ instant: Instant) { now = max(now, instant.nanoseconds) }

    /// A path of which nothing is known yet.
    private mutating func startPath() {
        guard let route else { return }
        switch route.remote.address {
        case .v4: overhead = Self.overheadIPv4
        case .v6: overhead = Self.overheadIPv6
        }
        pathMTU = PathMTUSearch(configuration.pathMTU)
        congestion = CongestionControl(
            configuration.congestion, packetSize: pathMTU.size, now: now)
        pacer = congestion.pacer
        payloadMax = pathMTU.size - overhead
    }

    /// Everything is let go of but what a last answer needs.
    mutating func close(_ reason: UDXCloseReason) {
        guard !isClosed else { return }
        phase = .closed(reason)
        isAcknowledgementDue = false
        outgoing = ByteRing()
        unsentFrom = 0
        sent = SentPackets(firstSequence: sent.next)
        reassembly = Reassembly(window: configuration.receiveWindow)
    }
}
