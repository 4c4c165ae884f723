import Base
import FileTree

/// The order of operations without local slots, so that it can be kept.
struct OperationOrder: Hashable, Sendable {
    var time: UInt64
    var writer: Bytes32
    var block: UInt64
    var index: UInt64

    init(time: UInt64, writer: Bytes32, block: UInt64, index: UInt64) {
        self.time = time
        self.writer = writer
        self.block = block
        self.index = index
    }

    init(_ stamp: Stamp, by writer: Bytes32) {
        self.init(
            time: stamp.time.rawValue, writer: writer, block: stamp.operation.block,
            index: UInt64(stamp.operation.index))
    }

    /// The operation as this device names it, its log in `slot`.
    ///
    /// - Returns: nil if no operation can be there: places are kept, and told by checkpoints, as any numbers.
    func operation(in slot: WriterSlot) -> OperationID? {
        guard block < FileTreeLimits.blocksPerLogMax, let index = Int(exactly: index),
            index < FileTreeLimits.operationsPerBlockMax
        else { return nil }
        return OperationID(writer: slot, block: block, index: index)
    }

    static func < (left: OperationOrder, right: OperationOrder) -> Bool {
        (left.time, left.writer, left.block, left.index)
            < (right.time, right.writer, right.block, right.index)
    }
}
