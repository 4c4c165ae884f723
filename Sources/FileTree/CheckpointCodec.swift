package import Base
import Wire

/// Why a checkpoint was not taken.
package enum CheckpointError: Error, Equatable, Sendable {
    /// Its bytes are not those of a view, or of a later format.
    case malformed(String)
    /// Its view is not the one that was promised.
    case otherView
    case storage(StorageError)
}

/// What stands between the rows of a view on this device and the bytes of a checkpoint, which are the same
/// on all: identities by the keys of their logs. See <doc:Checkpoints> for the layout.
struct CheckpointCodec {
    static let format: UInt8 = 1

    enum Tag: UInt8 {
        case end = 0
        case object, version, xattr, entry, move, log, value
    }

    enum Limits {
        /// A frame's body: the largest is that of a version or of an extended attribute.
        static let frameSizeMax = 256 * 1024
        /// The same of what the tree does not read: the list of members.
        static let valueSizeMax = 8 << 20
        static let valueNameSizeMax = 64
        static let valuesMax = 64
    }

    /// By their numbers in the checkpoint.
    private(set) var slots: [WriterSlot]
    private var numbers: [WriterSlot: UInt64] = [:]

    /// - Parameter slots: in the order of their keys.
    init(slots: [WriterSlot]) {
        self.slots = slots
        for (number, slot) in slots.enumerated() { numbers[slot] = UInt64(number) + 1 }
    }

    /// The identity as it sorts on every device.
    func order(_ left: OperationID, _ right: OperationID) -> Bool {
        let (first, second) = (numbers[left.writer] ?? 0, numbers[right.writer] ?? 0)
        if first != second { return first < second }
        return left.rawValue < right.rawValue
    }

    /// 0 for a log that is not in the checkpoint.
    func number(of slot: WriterSlot) -> UInt64 { numbers[slot] ?? 0 }

    // MARK: Parts

    func write(_ id: OperationID, into output: inout WireWriter) {
        guard id != .root else { return output.writeUInt(0) }
        // Every identity in the view is covered by its clock.
        output.writeUInt(numbers[id.writer] ?? 0)
        output.writeUInt(id.block)
        output.writeUInt(id.index)
    }

    func write(_ stamp: Stamp, into output: inout WireWriter) {
        output.writeUInt64(stamp.time.rawValue)
        write(stamp.operation, into: &output)
    }

    func write(_ ids: [OperationID], into output: inout WireWriter) {
        output.writeUInt(ids.count)
        for id in ids { write(id, into: &output) }
    }

    func readID(_ reader: inout WireReader, within clock: Clock) throws(WireError) -> OperationID {
        let number = try reader.readUInt(max: UInt64(slots.count))
        guard number > 0 else { return .root }
        let slot = slots[Int(number) - 1]
        let block = try reader.readUInt()
        let index = try reader.readUInt(
            max: UInt64(FileTree.OperationLimits.operationsPerBlockMax - 1))
        guard block < clock[slot] else { throw .invalid("an identity beyond the clock") }
        return OperationID(writer: slot, block: block, index: Int(index))
    }

    func readStamp(_ reader: inout WireReader, within clock: Clock) throws(WireError) -> Stamp {
        let time = HybridTime(rawValue: try reader.readUInt64())
        return Stamp(time: time, operation: try readID(&reader, within: clock))
    }

    func readIDs(_ reader: inout WireReader, within clock: Clock) throws(WireError)
        -> [OperationID]
    {
        let count = try reader.readCount(max: Int(UInt16.max), minimumElementSize: 1)
        var ids: [OperationID] = []
        for _ in 0..<count { ids.append(try readID(&reader, within: clock)) }
        return ids
    }
}

extension FileTree {
    /// `Limits`, where another type of that name is nearer.
    typealias OperationLimits = Limits
}
