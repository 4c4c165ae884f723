package import Base

/// The identity of an operation on this device: which log, which block of it, which operation of it.
///
/// Sixty-three bits, so that it is a positive SQLite row id:
///
///     bit 62        50 49                    14 13          0
///        +------------+------------------------+------------+
///        | slot (13)  |       block (36)       | index (14) |
///        +------------+------------------------+------------+
///
/// Slots differ between devices. Whatever must be equal everywhere (order, digests, the wire) names the
/// log by its key instead.
package struct OperationID: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt64

    /// - Returns: nil if the highest bit is set.
    package init?(rawValue: UInt64) {
        guard rawValue >> 63 == 0 else { return nil }
        self.rawValue = rawValue
    }

    /// - Precondition: `block` is below `Limits.blocksPerLogMax` and `index` below
    ///   `Limits.operationsPerBlockMax`; check outside data first.
    package init(writer: WriterSlot, block: UInt64, index: Int) {
        precondition(block < Limits.blocksPerLogMax)
        precondition(index >= 0 && index < Limits.operationsPerBlockMax)
        rawValue = UInt64(writer.rawValue) << 50 | block << 14 | UInt64(index)
    }

    package var writer: WriterSlot {
        WriterSlot(rawValue: UInt16(truncatingIfNeeded: rawValue >> 50) & WriterSlot.max)
    }

    /// The number of the block in its log, from 0.
    package var block: UInt64 { rawValue >> 14 & (Limits.blocksPerLogMax - 1) }

    /// The place of the operation in its block, from 0.
    package var index: Int {
        Int(rawValue & UInt64(Limits.operationsPerBlockMax - 1))
    }

    /// The root directory: it exists without any operation.
    package static let root = OperationID(writer: .none, block: 0, index: 1)

    /// The identity as a row id: positive.
    package var rowID: Int64 { Int64(truncatingIfNeeded: rawValue) }

    /// - Returns: nil unless `rowID` is one that an identity gave.
    package init?(rowID: Int64) {
        guard rowID >= 0 else { return nil }
        rawValue = UInt64(rowID)
    }

    /// Whether both were written in one block.
    package func sharesBlock(with other: OperationID) -> Bool {
        rawValue >> 14 == other.rawValue >> 14
    }
}

extension OperationID {
    package func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }

    /// What sets and dictionaries ask for: a few instructions in place of SipHash, since the view looks up
    /// some twenty identities for each operation.
    ///
    /// Whoever writes a log chooses among identities of its own only, and does not know the seed, which is
    /// another for every table.
    package func _rawHashValue(seed: Int) -> Int {
        // The finalizer of MurmurHash3 (Appleby 2011): every bit of the input changes half of the output.
        var bits = rawValue ^ UInt64(bitPattern: Int64(seed))
        bits = (bits ^ bits >> 33) &* 0xff51_afd7_ed55_8ccd
        bits = (bits ^ bits >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return Int(truncatingIfNeeded: bits ^ bits >> 33)
    }
}

extension OperationID: CustomStringConvertible {
    package var description: String { "\(writer.rawValue).\(block).\(index)" }
}

/// An object is the operation that made it, for good: a file, a directory, a symlink or a special node.
package typealias ObjectID = OperationID
/// An entry is the first operation that placed it.
package typealias EntryID = OperationID
/// A version of a file's content is the operation that wrote it.
package typealias VersionID = OperationID
