internal import Base

/// Something that has to be looked at again at some time.
protocol Timed: Sendable {
    var deadline: Instant { get }
}

/// Connections by their tags, and when the first of them has something to do. To ask for that costs
/// nothing, since it is asked after every datagram.
struct HyperDHTTable<Entry: Timed>: Sendable {
    private(set) var entries: [ConnectionTag: Entry] = [:]
    /// No entry's deadline is earlier; an entry that was put off may make it too early by one look.
    private(set) var deadline = Instant.distantFuture

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }
    var tags: [ConnectionTag] { entries.keys.sorted() }

    /// Entries are changed in place through this.
    subscript(tag: ConnectionTag) -> Entry? {
        get { entries[tag] }
        _modify {
            yield &entries[tag]
            if let entry = entries[tag] { deadline = min(deadline, entry.deadline) }
        }
    }

    /// Those that have something to do, the oldest first. To be followed by `lookAgain`.
    func due(now: Instant) -> [ConnectionTag] {
        guard deadline <= now else { return [] }
        return entries.filter { $0.value.deadline <= now }.keys.sorted()
    }

    /// Makes a deadline that has come exact.
    mutating func lookAgain(now: Instant) {
        guard deadline <= now else { return }
        deadline = entries.values.reduce(.distantFuture) { min($0, $1.deadline) }
    }
}
