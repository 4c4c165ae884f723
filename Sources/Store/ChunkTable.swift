internal import Base
internal import Chunks

/// Where every chunk of the packs lies: an open-addressed table of 24 bytes a slot, at most 36 bytes
/// a chunk.
///
/// Sixteen bytes of the address stand for all 32: to make two addresses meet in them takes 2^64 hashes.
/// Where the probing starts depends on a secret of the process, so that nobody can choose chunks
/// that crowd one place.
struct ChunkTable {
    /// Where a chunk's payload is.
    struct Location: Equatable {
        /// Index in the store's array of packs, below `packsMax`.
        var pack: Int
        /// From the start of the pack, below `offsetMax`.
        var offset: Int
        /// Below `lengthMax`.
        var length: Int

        static let packsMax = 1 << 18
        static let offsetMax = 1 << 26
        static let lengthMax = 1 << 20
    }

    private struct Slot {
        var first: UInt64 = 0
        var second: UInt64 = 0
        // Pack 18 bits, offset 26, length 20. Zero in an empty slot: no payload begins at offset 0.
        var location: UInt64 = 0

        var isEmpty: Bool { location == 0 }

        func holds(_ address: Bytes32) -> Bool {
            let prefix = address.prefix
            return first == prefix.0 && second == prefix.1
        }
    }

    private var slots = [Slot](repeating: Slot(), count: 64)
    private(set) var count = 0
    private let secret = UInt64.random(in: .min ... .max)
    private let multiplier = UInt64.random(in: .min ... .max) | 1

    subscript(address: Bytes32) -> Location? {
        let slot = slots[place(of: address)]
        return slot.isEmpty ? nil : Self.unpacked(slot.location)
    }

    /// - Returns: where the chunk was before.
    @discardableResult
    mutating func insert(_ address: Bytes32, at location: Location) -> Location? {
        var index = place(of: address)
        if slots[index].isEmpty {
            // At most 85 % full, so that probes stay short; a third more, so that little is wasted.
            if (count + 1) * 20 > slots.count * 17 {
                grow(to: slots.count + slots.count / 3)
                index = place(of: address)
            }
            count += 1
        }
        let old = slots[index].isEmpty ? nil : Self.unpacked(slots[index].location)
        let prefix = address.prefix
        slots[index] = Slot(
            first: prefix.0, second: prefix.1, location: Self.packed(location))
        return old
    }

    mutating func remove(_ address: Bytes32) {
        var hole = place(of: address)
        guard !slots[hole].isEmpty else { return }
        count -= 1
        // What was pushed past the hole moves back into it: a probe stops at an empty slot.
        var index = next(hole)
        while !slots[index].isEmpty {
            let home = home(slots[index].first)
            // Cyclic distances from the home: the hole must not be before it.
            if distance(home, hole) <= distance(home, index) {
                slots[hole] = slots[index]
                hole = index
            }
            index = next(index)
        }
        slots[hole] = Slot()
    }

    /// The slot that holds the address, or the empty one that would.
    private func place(of address: Bytes32) -> Int {
        var index = home(address.prefix.0)
        while !slots[index].isEmpty, !slots[index].holds(address) { index = next(index) }
        return index
    }

    private func home(_ word: UInt64) -> Int {
        let mixed = (word ^ secret).multipliedFullWidth(by: multiplier)
        let hash = mixed.high ^ mixed.low
        return Int(truncatingIfNeeded: hash.multipliedFullWidth(by: UInt64(slots.count)).high)
    }

    private func next(_ index: Int) -> Int { index + 1 == slots.count ? 0 : index + 1 }

    private func distance(_ start: Int, _ end: Int) -> Int {
        end >= start ? end - start : end + slots.count - start
    }

    private mutating func grow(to size: Int) {
        let old = slots
        slots = [Slot](repeating: Slot(), count: size)
        for slot in old where !slot.isEmpty {
            var index = home(slot.first)
            while !slots[index].isEmpty { index = next(index) }
            slots[index] = slot
        }
    }

    private static func packed(_ location: Location) -> UInt64 {
        precondition(location.pack < Location.packsMax, "pack \(location.pack)")
        precondition(location.offset > 0 && location.offset < Location.offsetMax)
        precondition(location.length < Location.lengthMax)
        return UInt64(location.pack) << 46 | UInt64(location.offset) << 20
            | UInt64(location.length)
    }

    private static func unpacked(_ value: UInt64) -> Location {
        Location(
            pack: Int(value >> 46), offset: Int(value >> 20 & (1 << 26 - 1)),
            length: Int(value & (1 << 20 - 1)))
    }
}
