/// What RACK knows of the packet that was sent last among those delivered (RFC 8985), and of
/// reordering.
struct RecentAcknowledgement: Sendable {
    private(set) var sentAt: UInt64 = 0
    private(set) var sequence: UInt32 = 0
    /// Of that packet.
    private(set) var roundTrip: UInt64 = 0
    private var isKnown = false
    /// The packet with the highest number that was delivered.
    private var highest: UInt32?
    private var isReorderingSeen = false
    /// Quarters of the smallest round trip that packets may overtake each other by. Grows when a loss
    /// turns out to have been none.
    private var quarters: UInt64 = 1

    private static let quartersMax: UInt64 = 16

    /// Takes note of a packet that was just found delivered.
    mutating func delivered(
        _ packet: SentPacket, _ number: UInt32, now: UInt64, smallestRoundTrip: UInt64
    ) {
        if let highest, number.precedes(highest) {
            if !packet.wasRetransmitted { isReorderingSeen = true }
        } else {
            highest = number
        }
        let elapsed = now - packet.sentAt
        if packet.wasRetransmitted, elapsed < smallestRoundTrip {
            // This answers the first sending: it was late, not lost.
            isReorderingSeen = true
            quarters = min(quarters + 1, Self.quartersMax)
            return
        }
        guard !isKnown || Self.isAfter(packet.sentAt, number, sentAt, sequence) else { return }
        isKnown = true
        sentAt = packet.sentAt
        sequence = number
        roundTrip = elapsed
    }

    /// Whether a packet was sent before the one delivered.
    func isAfter(_ packet: SentPacket, _ number: UInt32) -> Bool {
        isKnown && Self.isAfter(sentAt, sequence, packet.sentAt, number)
    }

    /// How long a packet that was overtaken is given to arrive all the same.
    func reorderingWindow(
        smallestRoundTrip: UInt64, smoothed: UInt64, isLossCertain: Bool
    ) -> UInt64 {
        if !isReorderingSeen, isLossCertain { return 0 }
        return min(smallestRoundTrip / 4 * quarters, smoothed)
    }

    private static func isAfter(
        _ time: UInt64, _ number: UInt32, _ otherTime: UInt64, _ other: UInt32
    ) -> Bool {
        time > otherTime || (time == otherTime && other.precedes(number))
    }
}
