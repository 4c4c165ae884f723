/// What happens when: a binary heap ordered by time, then by the order of insertion, so that a run
/// depends on nothing but what was put in.
struct EventQueue: Sendable {
    struct Entry: Sendable {
        let nanoseconds: UInt64
        let sequence: UInt64
        let event: QueuedEvent
    }

    private var heap: [Entry] = []
    private var inserted: UInt64 = 0

    var count: Int { heap.count }
    var first: Entry? { heap.first }

    mutating func insert(_ event: QueuedEvent, at nanoseconds: UInt64) {
        let entry = Entry(nanoseconds: nanoseconds, sequence: inserted, event: event)
        inserted += 1
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Self.precedes(entry, heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    mutating func removeFirst() -> Entry? {
        guard let result = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return result }
        let count = heap.count
        var hole = 0
        while true {
            var child = 2 * hole + 1
            guard child < count else { break }
            if child + 1 < count, Self.precedes(heap[child + 1], heap[child]) { child += 1 }
            guard Self.precedes(heap[child], last) else { break }
            heap[hole] = heap[child]
            hole = child
        }
        heap[hole] = last
        return result
    }

    private static func precedes(_ left: Entry, _ right: Entry) -> Bool {
        left.nanoseconds != right.nanoseconds
            ? left.nanoseconds < right.nanoseconds : left.sequence < right.sequence
    }
}

/// What an entry of the queue stands for; the number is a slot, a host or the caller's own.
enum QueuedEvent: Sendable {
    case arrival(flight: Int32)
    case timer(host: Int32)
    case alarm(UInt64)
}
