package import Base

/// When an operation was, in the one order that all devices agree on: by hybrid time, then by the
/// writer's key, then by block and index.
///
/// The key is looked up only to settle equal times of two writers: see `WriterTable.precedes`.
package struct Stamp: Hashable, Sendable {
    package var time: HybridTime
    package var operation: OperationID

    package init(time: HybridTime, operation: OperationID) {
        self.time = time
        self.operation = operation
    }

    /// The root directory's: before everything.
    package static let root = Stamp(time: .zero, operation: .root)

    /// The moment as files carry it: the milliseconds of the block and a microsecond for each
    /// operation before it in the block, so that a burst keeps its order.
    package var timestamp: Timestamp {
        let micros = UInt64(operation.index)
        let milliseconds = time.milliseconds &+ micros / 1000
        let nanoseconds = (milliseconds % 1000) * 1_000_000 + (micros % 1000) * 1000
        return Timestamp(
            seconds: Int64(milliseconds / 1000), nanoseconds: UInt32(nanoseconds))
    }

    /// The same, or a later moment that the operation tells itself.
    ///
    /// A block has the time it was begun; its operations, and the wall-clock times they carry, may be
    /// some milliseconds later. Without this a file would be changed before it was modified.
    func timestamp(notBefore moment: Timestamp) -> Timestamp {
        let own = timestamp
        guard own < moment, moment.milliseconds - own.milliseconds < Limits.blockSpanMilliseconds
        else { return own }
        return moment
    }
}
