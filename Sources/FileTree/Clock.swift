package import Base

/// A vector clock: how many blocks of every log have been seen. Ordered by slot; no zeros are kept.
package struct Clock: Hashable, Sendable {
    package struct Element: Hashable, Sendable {
        package var writer: WriterSlot
        /// At least 1.
        package var count: UInt64
    }

    package private(set) var elements: [Element] = []

    package init() {}

    /// How many blocks of this log have been seen; setting it to 0 forgets the log.
    package subscript(writer: WriterSlot) -> UInt64 {
        get {
            let index = position(of: writer)
            return index < elements.count && elements[index].writer == writer
                ? elements[index].count : 0
        }
        set {
            let index = position(of: writer)
            let isKnown = index < elements.count && elements[index].writer == writer
            switch (isKnown, newValue) {
            case (true, 0): elements.remove(at: index)
            case (true, _): elements[index].count = newValue
            case (false, 0): break
            case (false, _):
                elements.insert(Element(writer: writer, count: newValue), at: index)
            }
        }
    }

    /// Whether the block that holds the operation has been seen. The root is always seen.
    package func covers(_ operation: OperationID) -> Bool {
        operation == .root || self[operation.writer] > operation.block
    }

    /// Whether everything `other` has seen has been seen here too.
    package func covers(_ other: Clock) -> Bool {
        other.elements.allSatisfy { self[$0.writer] >= $0.count }
    }

    package mutating func merge(_ other: Clock) {
        for element in other.elements where self[element.writer] < element.count {
            self[element.writer] = element.count
        }
    }

    private func position(of writer: WriterSlot) -> Int {
        var low = 0
        var high = elements.count
        while low < high {
            let middle = (low + high) / 2
            if elements[middle].writer.rawValue < writer.rawValue {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}
