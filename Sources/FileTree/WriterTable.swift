package import Base

/// Which log key stands behind each local slot. Slots are given once and never change.
///
/// A class, since the codec, the tree and their owner must agree at every moment; it belongs to
/// whoever holds the engine's lock. The owner persists it: `keys(from:)` tells what is new.
package final class WriterTable {
    // Index = slot. Slot 0 is the root's, with a key of zeros that no log can have.
    private var keys: [Bytes32] = [.zero]
    private var slots: [Bytes32: WriterSlot] = [.zero: .none]

    package init() {}

    /// A table of its own with the same slots.
    package init(copying other: WriterTable) {
        keys = other.keys
        slots = other.slots
    }

    /// The slots in use, slot 0 included.
    package var count: Int { keys.count }

    /// The key of a log, or zeros for a slot that was never given.
    package func key(of slot: WriterSlot) -> Bytes32 {
        let index = Int(slot.rawValue)
        return index < keys.count ? keys[index] : .zero
    }

    package func slot(of key: Bytes32) -> WriterSlot? { slots[key] }

    /// The slot of a log, a new one if the key was unknown.
    ///
    /// - Returns: nil when all 8191 slots are taken.
    package func insert(_ key: Bytes32) -> WriterSlot? {
        if let known = slots[key] { return known }
        guard keys.count <= Int(WriterSlot.max) else { return nil }
        let slot = WriterSlot(rawValue: UInt16(keys.count))
        keys.append(key)
        slots[key] = slot
        return slot
    }

    /// Has two slots change their logs. All that names either by its slot is void: the view must be made
    /// again, by a new tree.
    package func swap(_ first: WriterSlot, _ second: WriterSlot) {
        let (left, right) = (key(of: first), key(of: second))
        precondition(left != .zero && right != .zero, "a slot without a log")
        keys[Int(first.rawValue)] = right
        keys[Int(second.rawValue)] = left
        slots[right] = first
        slots[left] = second
    }

    /// The slots from `slot` on, in order: what is not persisted yet.
    package func keys(from slot: Int) -> ArraySlice<Bytes32> {
        keys[min(max(slot, 0), keys.count)...]
    }

    /// Whether `left` comes before `right` in the order of operations.
    package func precedes(_ left: Stamp, _ right: Stamp) -> Bool {
        if left.time != right.time { return left.time < right.time }
        if left.operation.writer == right.operation.writer {
            return left.operation.rawValue < right.operation.rawValue
        }
        return key(of: left.operation.writer) < key(of: right.operation.writer)
    }
}
