/// A few operations, mostly none or one.
///
/// Each entry has two of these, and rows are copied all the time: up to one operation takes neither an
/// allocation nor a count of references.
package struct OperationList: Hashable, Sendable {
    private enum Storage: Hashable, Sendable {
        case none
        case one(OperationID)
        /// At least two.
        case several([OperationID])
    }

    private var storage = Storage.none

    package init(_ operations: some Collection<OperationID>) {
        switch operations.count {
        case 0: storage = .none
        case 1: storage = operations.first.map { .one($0) } ?? .none
        default: storage = .several(Array(operations))
        }
    }

    package mutating func append(_ operation: OperationID) {
        switch storage {
        case .none: storage = .one(operation)
        case .one(let first): storage = .several([first, operation])
        case .several(let known): storage = .several(known + [operation])
        }
    }

    package mutating func removeAll(where isRemoved: (OperationID) -> Bool) {
        guard contains(where: isRemoved) else { return }
        self = OperationList(filter { !isRemoved($0) })
    }
}

extension OperationList: RandomAccessCollection, ExpressibleByArrayLiteral {
    package init(arrayLiteral operations: OperationID...) { self.init(operations) }

    package var startIndex: Int { 0 }

    package var endIndex: Int {
        switch storage {
        case .none: 0
        case .one: 1
        case .several(let operations): operations.count
        }
    }

    package subscript(index: Int) -> OperationID {
        switch storage {
        case .none: preconditionFailure("no operation \(index) in an empty list")
        case .one(let operation):
            precondition(index == 0, "no operation \(index) in a list of one")
            return operation
        case .several(let operations): return operations[index]
        }
    }
}
