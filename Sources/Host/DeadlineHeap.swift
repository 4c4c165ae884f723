import Base

/// Numbers with a time each, the earliest first. Rows are never searched or removed: whoever reads
/// one checks whether it still counts.
struct DeadlineHeap {
    private var rows: [(at: Instant, number: UInt32)] = []

    var earliest: Instant { rows.first?.at ?? .distantFuture }
    var count: Int { rows.count }

    mutating func push(_ number: UInt32, at instant: Instant) {
        var child = rows.count
        rows.append((instant, number))
        while child > 0 {
            let parent = (child - 1) / 2
            guard rows[child].at < rows[parent].at else { return }
            rows.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the earliest row if its time has come.
    mutating func popDue(now: Instant) -> (at: Instant, number: UInt32)? {
        guard let first = rows.first, now >= first.at else { return nil }
        let last = rows.removeLast()
        if !rows.isEmpty {
            rows[0] = last
            sink()
        }
        return first
    }

    private mutating func sink() {
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < rows.count else { return }
            let right = left + 1
            let least = right < rows.count && rows[right].at < rows[left].at ? right : left
            guard rows[least].at < rows[parent].at else { return }
            rows.swapAt(parent, least)
            parent = least
        }
    }
}
