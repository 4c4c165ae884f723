import Base
import FileTree

/// How many blocks of each log count on this device, and what other blocks have seen in terms of those: a block
/// that names some which do not count is applied as if it had not seen them.
struct LogBounds: Equatable, Sendable {
    /// Nobody has ever ended a log: all blocks count.
    var isOpen = true
    /// The logs of members, and this device's own: of others nothing counts.
    var counted: Set<WriterSlot> = []
    var cuts: [WriterSlot: UInt64] = [:]

    subscript(slot: WriterSlot) -> UInt64 {
        isOpen ? .max : cuts[slot] ?? (counted.contains(slot) ? .max : 0)
    }

    func clamped(_ clock: Clock) -> Clock {
        guard !isOpen else { return clock }
        var clamped = clock
        for element in clock.elements where element.count > self[element.writer] {
            clamped[element.writer] = self[element.writer]
        }
        return clamped
    }

    /// Makes of a block what it means here. A save goes without those of its parents that do not count: what
    /// its author wrote is not lost with what it was written over.
    ///
    /// - Returns: whether it had seen nothing but what counts.
    func limit(_ block: inout Block) -> Bool {
        guard !isOpen else { return true }
        let seen = clamped(block.clock)
        guard seen != block.clock else { return true }
        block.clock = seen
        for (index, operation) in block.operations.enumerated() {
            guard case .write(var write) = operation else { continue }
            write.parents.removeAll { $0.block >= self[$0.writer] && $0 != .root }
            block.operations[index] = .write(write)
        }
        return false
    }
}
