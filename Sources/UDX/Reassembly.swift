internal import Wire

/// Packets that came before their turn, until the missing ones are there.
///
/// Each sequence number has its slot, `sequence modulo capacity`, so that nothing is allocated per
/// packet. What has been stored is never dropped: it has been reported as arrived.
///
///     expected            base of the window: the packet that is missing
///     | . # # . . # . . . |
///       ^slots from here: lengths, one bit each in `present`, 1536 bytes each in `slab`
struct Reassembly: Sendable {
    /// Bytes per slot; no peer sends larger payloads.
    static let slotSize = 1536
    /// What a stored packet counts for in the window at least, since it takes a slot.
    private static let chargeMin = 1024
    /// Slots that an idle stream keeps.
    private static let capacityKept = 64

    /// Sequence numbers ahead of the expected one that are taken; a power of two.
    let capacityMax: Int
    private var slab: [UInt8] = []
    private var lengths: [UInt16] = []
    private var present: [UInt64] = []
    private(set) var packets = 0
    private(set) var bytes = 0
    /// Just after the highest packet stored.
    private(set) var end: UInt32 = 0

    /// - Parameter window: bytes that may be held.
    init(window: Int) {
        var capacity = 64
        while capacity < window / Self.chargeMin, capacity < 1 << 16 { capacity *= 2 }
        capacityMax = capacity
    }

    private init(capacityMax: Int) { self.capacityMax = capacityMax }

    private var capacity: Int { lengths.count }
    /// What the window shrinks by.
    var charge: Int { max(bytes, packets * Self.chargeMin) }

    func contains(_ sequence: UInt32, expected: UInt32) -> Bool {
        Int(sequence &- expected) < capacity && isPresent(slot(sequence))
    }

    /// Stores the payload of a packet at or after `expected`.
    ///
    /// - Returns: false if it is there already, too far ahead, or too large.
    mutating func insert(_ payload: Span<UInt8>, at sequence: UInt32, expected: UInt32) -> Bool {
        let ahead = Int(sequence &- expected)
        guard ahead < capacityMax, payload.count <= Self.slotSize else { return false }
        if ahead >= capacity { grow(toHold: ahead, expected: expected) }
        let slot = slot(sequence)
        guard !isPresent(slot) else { return false }
        let offset = slot * Self.slotSize
        // The slot lies inside the slab, and the payload inside the slot.
        unsafe payload.withUnsafeBufferPointer { source in
            unsafe slab.withUnsafeMutableBufferPointer { target in
                _ = unsafe target[offset...].update(fromContentsOf: source)
            }
        }
        lengths[slot] = UInt16(payload.count)
        present[slot >> 6] |= 1 << UInt64(slot & 63)
        if packets == 0 || end.precedes(sequence &+ 1) { end = sequence &+ 1 }
        packets += 1
        bytes += payload.count
        return true
    }

    /// Appends the packet `expected` to `received` if it is stored, and forgets it.
    mutating func take(_ expected: UInt32, into received: inout [UInt8]) -> Bool {
        guard packets > 0 else { return false }
        let slot = slot(expected)
        guard isPresent(slot) else { return false }
        let length = Int(lengths[slot])
        let offset = slot * Self.slotSize
        received.append(copying: slab.span.extracting(offset..<offset + length))
        present[slot >> 6] &= ~(1 << UInt64(slot & 63))
        packets -= 1
        bytes -= length
        return true
    }

    /// Whether memory is held that only a bad stretch of the path needs.
    var isLarge: Bool { packets == 0 && capacity > Self.capacityKept }

    /// Gives the memory back.
    ///
    /// - Precondition: nothing is stored.
    mutating func release() {
        precondition(packets == 0, "\(packets) packets would be lost")
        self = Reassembly(capacityMax: capacityMax)
    }

    /// The next run of stored packets at or after `sequence`, as [start, end).
    func run(from sequence: UInt32) -> (start: UInt32, end: UInt32)? {
        guard packets > 0, sequence.precedes(end) else { return nil }
        let start = scan(from: sequence, flipping: 0)
        guard start.precedes(end) else { return nil }
        return (start, scan(from: start, flipping: .max))
    }

    /// The first number from `sequence` on whose bit, flipped or not, is set; at most `end`.
    private func scan(from sequence: UInt32, flipping: UInt64) -> UInt32 {
        var sequence = sequence
        while sequence.precedes(end) {
            let slot = slot(sequence)
            let word = (present[slot >> 6] ^ flipping) >> UInt64(slot & 63)
            guard word == 0 else {
                sequence &+= UInt32(word.trailingZeroBitCount)
                break
            }
            sequence &+= UInt32(64 - slot & 63)
        }
        return sequence.precedes(end) ? sequence : end
    }

    private func slot(_ sequence: UInt32) -> Int { Int(sequence) & (capacity - 1) }

    private func isPresent(_ slot: Int) -> Bool {
        present[slot >> 6] & 1 << UInt64(slot & 63) != 0
    }

    private mutating func grow(toHold ahead: Int, expected: UInt32) {
        let old = self
        var capacity = max(64, old.capacity)
        while capacity <= ahead { capacity *= 2 }
        slab = [UInt8](repeating: 0, count: capacity * Self.slotSize)
        lengths = [UInt16](repeating: 0, count: capacity)
        present = [UInt64](repeating: 0, count: capacity / 64)
        packets = 0
        bytes = 0
        for index in 0..<old.capacity {
            let sequence = expected &+ UInt32(index)
            let slot = old.slot(sequence)
            guard old.isPresent(slot) else { continue }
            let offset = slot * Self.slotSize
            _ = insert(
                old.slab.span.extracting(offset..<offset + Int(old.lengths[slot])), at: sequence,
                expected: expected)
        }
    }
}
