internal import Wire

/// Bytes in the order they were written, from the oldest that is still needed: a ring that grows when
/// it is full, so that a byte is copied once in and once out.
///
/// Offsets count from the first byte ever written.
struct ByteRing: Sendable {
    /// Its count is a power of two, or zero.
    private var storage: [UInt8] = []
    private(set) var start: UInt64 = 0
    private(set) var end: UInt64 = 0
    /// Most bytes held since the ring was last empty.
    private var peak = 0

    private static let capacityMin = 4096

    var count: Int { Int(truncatingIfNeeded: end &- start) }

    /// Appends a copy of `bytes`.
    mutating func append(_ bytes: Span<UInt8>) {
        guard !bytes.isEmpty else { return }
        if count + bytes.count > storage.count { grow(to: count + bytes.count) }
        let position = Int(truncatingIfNeeded: end) & (storage.count - 1)
        let first = min(bytes.count, storage.count - position)
        // Both ranges lie inside the storage: `first` ends at its end at most, and the rest is what
        // `grow` made room for.
        unsafe bytes.withUnsafeBufferPointer { source in
            unsafe storage.withUnsafeMutableBufferPointer { target in
                _ = unsafe target[position...].update(fromContentsOf: source[..<first])
                _ = unsafe target.update(fromContentsOf: source[first...])
            }
        }
        end &+= UInt64(bytes.count)
        peak = max(peak, count)
    }

    /// Appends the `count` bytes from `offset` on to `bytes`.
    func copy(from offset: UInt64, count: Int, into bytes: inout [UInt8]) {
        precondition(
            offset >= start && UInt64(count) <= end &- offset, "\(offset)+\(count) is not held")
        guard count > 0 else { return }
        let position = Int(truncatingIfNeeded: offset) & (storage.count - 1)
        let first = min(count, storage.count - position)
        let all = storage.span
        bytes.append(copying: all.extracting(position..<position + first))
        if first < count { bytes.append(copying: all.extracting(0..<count - first)) }
    }

    /// Forgets everything before `offset`.
    mutating func discard(to offset: UInt64) {
        precondition(offset >= start && offset <= end, "\(offset) is not held")
        start = offset
        guard start == end else { return }
        // Emptied: memory that the last stretch of work did not need is given back, by halves.
        if peak < storage.count / 8, storage.count > Self.capacityMin {
            storage = [UInt8](repeating: 0, count: storage.count / 2)
        }
        peak = 0
    }

    private mutating func grow(to needed: Int) {
        var capacity = max(storage.count, Self.capacityMin)
        while capacity < needed { capacity *= 2 }
        var held: [UInt8] = []
        held.reserveCapacity(count)
        copy(from: start, count: count, into: &held)
        let oldEnd = end
        storage = [UInt8](repeating: 0, count: capacity)
        end = start
        append(held.span)
        precondition(end == oldEnd)
    }
}
