import Base

/// The last versions that heads have in common: those from which no other one descends.
///
/// Two versions with the same parents and the same bytes count as one: both sides did the same. What lies
/// behind a cut lineage counts nowhere.
struct CommonVersions {
    private struct Marks: OptionSet {
        let rawValue: UInt8
        static let left = Marks(rawValue: 1)
        static let right = Marks(rawValue: 2)
        /// An ancestor of a common version.
        static let past = Marks(rawValue: 4)
        static let common: Marks = [.left, .right]
    }

    private struct Key: Hashable {
        var parents: Set<VersionID>
        var bytes: VersionRow.Bytes
    }

    private let storage: any TreeStorage
    private let writers: WriterTable
    private var marks: [VersionID: Marks] = [:]
    /// A heap, the latest first: versions come after their parents.
    private var queue: [VersionRow] = []
    /// How many in the queue are not yet known to be past.
    private var live = 0
    private var representatives: [Key: VersionID] = [:]

    init(_ storage: any TreeStorage, _ writers: WriterTable) {
        self.storage = storage
        self.writers = writers
    }

    /// - Returns: in the order of operations; empty if they have none; nil if more than
    ///   `Limits.mergeHistoryMax` versions would have to be looked at.
    mutating func last(of left: ArraySlice<VersionRow>, and right: VersionRow)
        throws(StorageError) -> [VersionRow]?
    {
        for row in left { mark(row, .left) }
        mark(right, .right)
        var found: [VersionID: VersionRow] = [:]
        var count = 0
        while live > 0, let row = pop() {
            count += 1
            guard count <= Limits.mergeHistoryMax else { return nil }
            var own = marks[row.id] ?? []
            if !own.contains(.past) { live -= 1 }
            let key = Key(parents: Set(row.parents), bytes: row.bytes)
            let isCut = row.lineage == .cut
            let representative = isCut ? row.id : representatives[key] ?? row.id
            if !isCut { representatives[key] = representative }
            own.formUnion(marks[representative] ?? [])
            marks[representative] = own
            if own.contains(.past) {
                found[representative] = nil
            } else if own.isSuperset(of: .common) {
                if found[representative] == nil { found[representative] = row }
                own.insert(.past)
            }
            for id in row.parents where !isCut {
                if let known = marks[id] {
                    let new = known.union(own)
                    if new.contains(.past), !known.contains(.past) { live -= 1 }
                    marks[id] = new
                } else if let parent = try storage.version(id) {
                    mark(parent, own)
                }
            }
        }
        return found.values.sorted { writers.precedes($0.stamp, $1.stamp) }
    }

    private mutating func mark(_ row: VersionRow, _ own: Marks) {
        if let known = marks[row.id] {
            marks[row.id] = known.union(own)
            return
        }
        marks[row.id] = own
        if !own.contains(.past) { live += 1 }
        push(row)
    }

    // MARK: Heap

    private func isLater(_ left: Int, _ right: Int) -> Bool {
        writers.precedes(queue[right].stamp, queue[left].stamp)
    }

    private mutating func push(_ row: VersionRow) {
        queue.append(row)
        var index = queue.count - 1
        while index > 0, isLater(index, (index - 1) / 2) {
            queue.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func pop() -> VersionRow? {
        guard let top = queue.first else { return nil }
        queue.swapAt(0, queue.count - 1)
        queue.removeLast()
        var index = 0
        while true {
            var latest = index
            for child in [2 * index + 1, 2 * index + 2] where child < queue.count {
                if isLater(child, latest) { latest = child }
            }
            if latest == index { return top }
            queue.swapAt(index, latest)
            index = latest
        }
    }
}
