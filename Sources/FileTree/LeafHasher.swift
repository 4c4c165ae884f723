import Base
import Crypto
import Wire

/// The leaves of the view's digest.
///
/// Identities carry the key of their log in place of a slot, so equal views have equal leaves on every
/// device. Each leaf begins with a letter for its kind and frames what varies in length.
struct LeafHasher {
    let writers: WriterTable
    /// The bytes of the writers' keys by slot, as far as they were needed.
    private var keys: [[UInt8]?] = []
    private var output = WireWriter(reserving: 512)

    init(writers: WriterTable) { self.writers = writers }

    /// A visible entry: who shows it, and under which name.
    mutating func entry(_ row: EntryRow, shownIn directory: ObjectID) -> Digest {
        begin("e")
        write(row.id)
        write(directory)
        output.writeBuffer(row.placement.name)
        write(row.object)
        return finish()
    }

    /// An object that some visible entry names.
    mutating func object(_ row: ObjectRow) -> Digest {
        begin("o")
        write(row.id)
        output.writeUInt8(row.kind.rawValue)
        output.writeUInt16(row.mode.value)
        output.writeUInt32(row.uid.value)
        output.writeUInt32(row.gid.value)
        output.writeUInt64(row.device)
        output.writeBuffer(row.target)
        output.write(row.created)
        output.write(row.modified.value)
        output.write(row.accessed.value)
        output.write(row.changed.timestamp)
        output.writeBytes32(row.details.bytes)
        return finish()
    }

    /// A head that shows, as the file or as a copy.
    mutating func head(_ version: VersionID, of object: ObjectID) -> Digest {
        begin("v")
        write(object)
        write(version)
        return finish()
    }

    mutating func xattr(_ name: [UInt8], value: [UInt8], of object: ObjectID) -> Digest {
        begin("x")
        write(object)
        output.writeBuffer(name)
        output.writeBuffer(value)
        return finish()
    }

    /// Bytes that stand for an identity on every device.
    mutating func identity(_ id: OperationID) -> Bytes32 {
        begin("i")
        write(id)
        return Blake2b.hash256(output.bytes)
    }

    private mutating func begin(_ letter: Unicode.Scalar) {
        output.bytes.removeAll(keepingCapacity: true)
        output.writeUInt8(UInt8(ascii: letter))
    }

    private mutating func write(_ id: OperationID) {
        writeKey(of: id.writer)
        output.writeUInt64(id.block)
        output.writeUInt16(UInt16(truncatingIfNeeded: id.index))
    }

    private mutating func writeKey(of slot: WriterSlot) {
        let index = Int(slot.rawValue)
        while keys.count <= index { keys.append(nil) }
        let key = keys[index] ?? writers.key(of: slot).bytes
        keys[index] = key
        output.writeRaw(key)
    }

    private func finish() -> Digest { Digest(Blake2b.hash256(output.bytes)) }
}
