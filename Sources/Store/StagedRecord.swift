internal import Base
internal import Chunks
internal import Share
internal import Wire

/// A staging record as it is kept in the database; its node is the row's key.
///
///     version 1 = 1 | staging file 8 | size 8 | seconds 8 | nanoseconds 4
///     | parents: count varint | 8 each
///     | base: length varint | encoded content
///     | dirty: count varint | start 8, end 8 each
enum StagedRecord {
    private static let version: UInt8 = 1

    static func encode(_ staged: StagedFile) -> [UInt8] {
        var writer = WireWriter(reserving: 64)
        writer.writeUInt8(version)
        writer.writeUInt64(staged.file)
        writer.writeUInt64(staged.size)
        writer.writeUInt64(UInt64(bitPattern: staged.modified.seconds))
        writer.writeUInt32(staged.modified.nanoseconds)
        writer.writeUInt(staged.parents.count)
        for parent in staged.parents { writer.writeUInt64(parent) }
        writer.writeBuffer(staged.base.encode())
        writer.writeUInt(staged.dirty.count)
        for range in staged.dirty {
            writer.writeUInt64(range.lowerBound)
            writer.writeUInt64(range.upperBound)
        }
        return writer.bytes
    }

    /// - Returns: nil unless `bytes` is what `encode` gave.
    static func decode(_ bytes: Span<UInt8>, node: NodeID) -> StagedFile? {
        do {
            var reader = WireReader(bytes)
            guard try reader.readUInt8() == version else { return nil }
            let file = try reader.readUInt64()
            let size = try reader.readUInt64()
            let modified = Timestamp(
                seconds: Int64(bitPattern: try reader.readUInt64()),
                nanoseconds: try reader.readUInt32())
            var parents: [UInt64] = []
            for _ in 0..<(try reader.readCount(max: .max, minimumElementSize: 8)) {
                parents.append(try reader.readUInt64())
            }
            let base = try Content(decoding: reader.readBuffer(max: bytes.count))
            var dirty: [Range<UInt64>] = []
            for _ in 0..<(try reader.readCount(max: .max, minimumElementSize: 16)) {
                let (start, end) = (try reader.readUInt64(), try reader.readUInt64())
                guard start <= end else { return nil }
                dirty.append(start..<end)
            }
            guard reader.isAtEnd else { return nil }
            return StagedFile(
                node: node, parents: parents, base: base, size: size, modified: modified,
                dirty: dirty, file: file)
        } catch {
            return nil
        }
    }
}
