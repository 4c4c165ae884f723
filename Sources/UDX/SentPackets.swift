/// What is remembered of a packet from its first sending to its cumulative acknowledgement.
struct SentPacket: Sendable {
    enum State: UInt8, Sendable {
        /// On its way, as far as is known.
        case inFlight
        /// Reported as arrived, ahead of a gap.
        case delivered
        /// To be sent again.
        case lost
    }

    /// Of its payload, in the stream.
    var offset: UInt64 = 0
    /// Last sending, in nanoseconds.
    var sentAt: UInt64 = 0
    /// The state of delivery when it was last sent (see `DeliveryRate`).
    var delivered: UInt64 = 0
    var deliveredAt: UInt64 = 0
    var firstSentAt: UInt64 = 0
    /// Neighbours in the list by time of sending.
    var previous: UInt32 = 0
    var next: UInt32 = 0
    /// If delivered: everything before this number is delivered too.
    var deliveredTo: UInt32 = 0
    var size: UInt16 = 0
    /// Bytes on the wire of the last sending: IP and UDP headers and padding included.
    var wireSize: UInt16 = 0
    var state = State.inFlight
    /// Times that the retransmission timer found it the oldest.
    var timeouts: UInt8 = 0
    var isEnd = false
    /// Padded to find out whether so large a packet passes.
    var isProbe = false
    var wasRetransmitted = false
    var isApplicationLimited = false
}

/// The packets that are not cumulatively acknowledged, by sequence number: a ring that grows when it is
/// full. Those in flight are also linked in the order they were last sent in.
struct SentPackets: Sendable {
    /// Its count is a power of two, or zero.
    private var records: [SentPacket] = []
    /// The oldest packet that is not acknowledged, and the number of the next new packet.
    private(set) var oldest: UInt32
    private(set) var next: UInt32

    /// The ends of the list of packets in flight; they mean nothing while it is empty.
    private var head: UInt32 = 0
    private var tail: UInt32 = 0
    private(set) var inFlightCount = 0
    /// On the wire.
    private(set) var inFlightBytes = 0
    /// Payload of the packets that are in flight or lost.
    private(set) var undeliveredBytes = 0
    private(set) var deliveredCount = 0
    private(set) var lostCount = 0
    /// No packet before this one is lost.
    private var lostFrom: UInt32

    init(firstSequence: UInt32) {
        oldest = firstSequence
        next = firstSequence
        lostFrom = firstSequence
    }

    var count: Int { Int(next &- oldest) }
    var isEmpty: Bool { next == oldest }
    /// The packet in flight that was sent first, and the one sent last.
    var firstInFlight: UInt32? { inFlightCount > 0 ? head : nil }
    var lastInFlight: UInt32? { inFlightCount > 0 ? tail : nil }

    /// The packet must be one of those held.
    subscript(sequence: UInt32) -> SentPacket {
        get { records[Int(sequence) & (records.count - 1)] }
        _modify { yield &records[Int(sequence) & (records.count - 1)] }
    }

    /// Adds a new packet, in flight.
    mutating func append(_ packet: SentPacket) {
        if count >= records.count { grow() }
        let sequence = next
        next &+= 1
        self[sequence] = packet
        undeliveredBytes += Int(packet.size)
        link(sequence)
    }

    /// Forgets the oldest packet, which has been delivered.
    mutating func removeOldest() {
        deliveredCount -= 1
        oldest &+= 1
        if lostFrom.precedes(oldest) { lostFrom = oldest }
    }

    /// - Precondition: the packet is in flight or lost.
    mutating func markDelivered(_ sequence: UInt32) {
        leave(sequence)
        undeliveredBytes -= Int(self[sequence].size)
        self[sequence].state = .delivered
        self[sequence].deliveredTo = sequence &+ 1
        deliveredCount += 1
    }

    /// Notes that everything from `start` to before `end` is delivered, so that nobody walks there again.
    mutating func joinDelivered(_ start: UInt32, _ end: UInt32) {
        var sequence = start
        while sequence.precedes(end) {
            let next = self[sequence].deliveredTo
            if next.precedes(end) { self[sequence].deliveredTo = end }
            sequence = sequence.precedes(next) ? next : sequence &+ 1
        }
    }

    /// - Precondition: the packet is in flight.
    mutating func markLost(_ sequence: UInt32) {
        leave(sequence)
        self[sequence].state = .lost
        if lostCount == 0 || sequence.precedes(lostFrom) { lostFrom = sequence }
        lostCount += 1
    }

    /// Sends a packet again: it goes to the end of the list, stamped anew.
    ///
    /// - Precondition: it is in flight or lost.
    /// - Parameter stamp: changes what the sending changes; not the state or the links.
    mutating func markSent(_ sequence: UInt32, stamp: (inout SentPacket) -> Void) {
        leave(sequence)
        stamp(&self[sequence])
        link(sequence)
    }

    /// The lost packet with the lowest number.
    mutating func firstLost() -> UInt32? {
        guard lostCount > 0 else { return nil }
        while lostFrom.precedes(next) {
            if self[lostFrom].state == .lost { return lostFrom }
            lostFrom &+= 1
        }
        return nil
    }

    private mutating func link(_ sequence: UInt32) {
        if inFlightCount == 0 {
            head = sequence
        } else {
            self[tail].next = sequence
            self[sequence].previous = tail
        }
        tail = sequence
        self[sequence].state = .inFlight
        inFlightCount += 1
        inFlightBytes += Int(self[sequence].wireSize)
    }

    private mutating func leave(_ sequence: UInt32) {
        let packet = self[sequence]
        guard packet.state == .inFlight else {
            lostCount -= 1
            return
        }
        if sequence == head { head = packet.next } else { self[packet.previous].next = packet.next }
        if sequence == tail {
            tail = packet.previous
        } else {
            self[packet.next].previous = packet.previous
        }
        inFlightCount -= 1
        inFlightBytes -= Int(packet.wireSize)
    }

    private mutating func grow() {
        let old = self
        records = [SentPacket](repeating: SentPacket(), count: max(64, old.records.count * 2))
        var sequence = oldest
        while sequence != next {
            self[sequence] = old[sequence]
            sequence &+= 1
        }
    }
}
