/// How fast the path delivers: what was delivered between the sending of a packet and its
/// acknowledgement, over the time that took (draft-cheng-iccrg-delivery-rate-estimation-00).
///
/// Counts bytes on the wire, headers included.
struct DeliveryRate: Sendable {
    /// What one acknowledgement says.
    struct Sample: Sendable {
        /// Bytes that this acknowledgement delivered.
        var newlyDelivered = 0
        /// Of the packet sent last among those delivered: the state when it was sent.
        var priorDelivered: UInt64 = 0
        fileprivate var priorDeliveredAt: UInt64 = 0
        fileprivate var sendInterval: UInt64 = 0
        fileprivate var lastSentAt: UInt64 = 0
        var isApplicationLimited = false
        /// Whether a packet of the present path was delivered.
        var isUsable = false
        /// Nanoseconds, of a packet that was sent once.
        var roundTrip: UInt64?
        /// Bytes found lost on the occasion.
        var lost = 0
    }

    private(set) var delivered: UInt64 = 0
    private var deliveredAt: UInt64 = 0
    private var firstSentAt: UInt64 = 0
    /// Samples of packets sent before so much was delivered are limited by the application.
    private var limitedUntil: UInt64 = 0

    var isApplicationLimited: Bool { limitedUntil > 0 }

    /// Notes the state in a packet that is being sent.
    mutating func stamp(_ packet: inout SentPacket, now: UInt64, isIdle: Bool) {
        if isIdle {
            firstSentAt = now
            deliveredAt = now
        }
        packet.sentAt = now
        packet.firstSentAt = firstSentAt
        packet.deliveredAt = deliveredAt
        packet.delivered = delivered
        packet.isApplicationLimited = limitedUntil > 0
    }

    /// The sender has nothing more to send than what is in flight.
    mutating func markApplicationLimited(inFlight: Int) {
        limitedUntil = max(1, delivered + UInt64(inFlight))
    }

    mutating func deliver(_ packet: SentPacket, now: UInt64, into sample: inout Sample) {
        delivered += UInt64(packet.wireSize)
        deliveredAt = now
        sample.newlyDelivered += Int(packet.wireSize)
        guard !sample.isUsable || packet.sentAt >= sample.lastSentAt else { return }
        sample.isUsable = true
        sample.lastSentAt = packet.sentAt
        sample.priorDelivered = packet.delivered
        sample.priorDeliveredAt = packet.deliveredAt
        sample.isApplicationLimited = packet.isApplicationLimited
        sample.sendInterval = packet.sentAt - packet.firstSentAt
        firstSentAt = packet.sentAt
    }

    /// Bytes per second; nil if the interval is too short to mean anything.
    mutating func rate(of sample: Sample, now: UInt64, smallestRoundTrip: UInt64) -> Double? {
        if limitedUntil > 0, delivered > limitedUntil { limitedUntil = 0 }
        guard sample.isUsable else { return nil }
        let interval = max(sample.sendInterval, now - sample.priorDeliveredAt)
        guard interval > 0, interval >= smallestRoundTrip else { return nil }
        return Double(delivered - sample.priorDelivered) * 1e9 / Double(interval)
    }
}
