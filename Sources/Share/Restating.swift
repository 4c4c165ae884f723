import Base
import FileTree

/// What has become of the operations of blocks that are written again on top of another view.
struct Restating {
    let former: FormerPlaces
    /// The log of the blocks, the slot that it has now, and how many of its blocks are the same there.
    let from: WriterSlot
    let now: WriterSlot
    let common: UInt64
    /// What each operation is now, and each thing that was made again.
    var moved: [OperationID: OperationID] = [:]

    func current(_ id: OperationID) -> OperationID {
        if let new = moved[id] { return new }
        guard id.writer == from, id.block < common, id != .root else { return id }
        return OperationID(writer: now, block: id.block, index: id.index)
    }

    /// Whether it is about something that was not written again.
    func isDangling(_ operation: Operation) -> Bool {
        // A save does without those of its parents that are gone.
        let needed =
            if case .write(let write) = operation { [write.object] } else { operation.references }
        return needed.contains { $0.writer == from && $0.block >= common && moved[$0] == nil }
    }
}
