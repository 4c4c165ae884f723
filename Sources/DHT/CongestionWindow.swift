internal import Base

/// How much we ask of the network at a time (`dht.md` 4): at most 80 requests in a slot of 750 ms
/// and 160 in four of them, less those that were settled.
struct CongestionWindow: Sendable {
    static let slotLength: Duration = .milliseconds(750)
    static let slotMax = 80
    static let totalMax = 160

    private var slots: (Int, Int, Int, Int) = (0, 0, 0, 0)
    /// The number of the slot in `slots.0`, counted from the clock's origin.
    private var slot: UInt64

    init(now: Instant) { slot = Self.slot(now) }

    mutating func isFull(_ now: Instant) -> Bool {
        roll(now)
        return slots.0 >= Self.slotMax || slots.0 + slots.1 + slots.2 + slots.3 >= Self.totalMax
    }

    mutating func sent(_ now: Instant) {
        roll(now)
        slots.0 += 1
    }

    /// A request was answered, gave up or was taken back.
    mutating func settled(_ now: Instant) {
        roll(now)
        if slots.0 > 0 { slots.0 -= 1 }
    }

    /// When the slot after the one of `now` begins.
    static func nextSlot(_ now: Instant) -> Instant {
        let length = UInt64(slotLength.nanosecondsClamped)
        let (start, overflow) = (slot(now) &+ 1).multipliedReportingOverflow(by: length)
        return overflow ? .distantFuture : Instant(nanoseconds: start)
    }

    private mutating func roll(_ now: Instant) {
        let wanted = Self.slot(now)
        guard wanted > slot else { return }
        if wanted - slot >= 4 {
            slots = (0, 0, 0, 0)
        } else {
            for _ in slot..<wanted { slots = (0, slots.0, slots.1, slots.2) }
        }
        slot = wanted
    }

    private static func slot(_ now: Instant) -> UInt64 {
        now.nanoseconds / UInt64(slotLength.nanosecondsClamped)
    }
}
