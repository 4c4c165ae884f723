internal import Base
internal import Chunks
internal import Share
internal import Wire

/// A staging record as it is kept in the database; its node is the row's key.
///
///     version 4 = 4 | node 8 | state | parents: count varint | 8 each
///     | base: length varint | encoded content
///     | 0, or 1 if the bytes were not synced: boot 16 | 0, or 1: the state that was synced
///     | XXH64 of all that 8
///     state = staging file 8 | size 8 | seconds 8 | nanoseconds 4 | journal 8
///     | dirty: count varint | start 8, end 8 each
///
/// The node is there once more because the key has no checksum. Version 3 did not have it, version 2 also no
/// number of the journal, which was not there. Version 1 had the same fields as that in
/// another order, and no word on syncs.
enum StagedRecord {
    private static let version: UInt8 = 4

    /// - Parameter boot: of the machine, now.
    static func encode(_ staged: StagedFile, boot: BootID) -> [UInt8] {
        var writer = WireWriter(reserving: 96)
        writer.writeUInt8(version)
        writer.writeUInt64(staged.node.rawValue)
        write(
            .init(
                size: staged.size, modified: staged.modified, dirty: staged.dirty,
                file: staged.file, journal: staged.journal), to: &writer)
        writer.writeUInt(staged.parents.count)
        for parent in staged.parents { writer.writeUInt64(parent) }
        writer.writeBuffer(staged.base.encode())
        writer.writeBool(!staged.isSynced)
        if !staged.isSynced {
            writer.writeUInt64(boot.high)
            writer.writeUInt64(boot.low)
            writer.writeBool(staged.synced != nil)
            if let synced = staged.synced { write(synced, to: &writer) }
        }
        writer.writeUInt64(PackFormat.checksum(writer.bytes.span))
        return writer.bytes
    }

    private static func write(_ state: StagedFile.Synced, to writer: inout WireWriter) {
        writer.writeUInt64(state.file)
        writer.writeUInt64(state.size)
        writer.writeUInt64(UInt64(bitPattern: state.modified.seconds))
        writer.writeUInt32(state.modified.nanoseconds)
        writer.writeUInt64(state.journal)
        writer.writeUInt(state.dirty.count)
        for range in state.dirty {
            writer.writeUInt64(range.lowerBound)
            writer.writeUInt64(range.upperBound)
        }
    }

    enum Decoded {
        case file(StagedFile)
        /// The machine went down before the bytes were on the disk, and nothing was there before.
        case lost
    }

    /// - Parameter boot: of the machine, now: bytes that were not synced are there if it has not
    ///   gone down since.
    /// - Returns: nil unless `bytes` is what `encode` gave.
    static func decode(_ bytes: Span<UInt8>, node: NodeID, boot: BootID) -> Decoded? {
        do {
            var reader = WireReader(bytes)
            let version = try reader.readUInt8()
            if version == 1 { return try decodeFirst(&reader, node: node, total: bytes.count) }
            guard 2...Self.version ~= version else { return nil }
            if version > 3 {
                guard try reader.readUInt64() == node.rawValue else { return nil }
            }
            let hasJournal = version > 2
            let state = try readState(&reader, hasJournal)
            let parents = try readParents(&reader)
            let base = try Content(decoding: reader.readBuffer(max: bytes.count))
            var file = make(node, parents, base, state)
            var isLost = false
            if try reader.readBool() {
                file.isSynced = false
                let recorded = BootID(
                    high: try reader.readUInt64(), low: try reader.readUInt64())
                if try reader.readBool() { file.synced = try readState(&reader, hasJournal) }
                if recorded != boot {
                    if let synced = file.synced {
                        file = make(node, parents, base, synced)
                    } else {
                        isLost = true
                    }
                }
            }
            let checked = bytes.extracting(0..<bytes.count - reader.remaining)
            guard try reader.readUInt64() == PackFormat.checksum(checked), reader.isAtEnd else {
                return nil
            }
            return isLost ? .lost : .file(file)
        } catch {
            return nil
        }
    }

    private static func make(
        _ node: NodeID, _ parents: [UInt64], _ base: Content, _ state: StagedFile.Synced
    ) -> StagedFile {
        StagedFile(
            node: node, parents: parents, base: base, size: state.size, modified: state.modified,
            dirty: state.dirty, file: state.file, journal: state.journal)
    }

    private static func readState(_ reader: inout WireReader, _ hasJournal: Bool) throws
        -> StagedFile.Synced
    {
        let file = try reader.readUInt64()
        let size = try readSize(&reader)
        let modified = try readTime(&reader)
        let journal = try hasJournal ? reader.readUInt64() : 0
        return StagedFile.Synced(
            size: size, modified: modified, dirty: try readRanges(&reader), file: file,
            journal: journal)
    }

    private static func readSize(_ reader: inout WireReader) throws -> UInt64 {
        let size = try reader.readUInt64()
        guard size <= ChunkLimits.fileSizeMax else { throw WireError.invalid("size") }
        return size
    }

    private static func readTime(_ reader: inout WireReader) throws -> Timestamp {
        Timestamp(
            seconds: Int64(bitPattern: try reader.readUInt64()),
            nanoseconds: try reader.readUInt32())
    }

    private static func readParents(_ reader: inout WireReader) throws -> [UInt64] {
        var parents: [UInt64] = []
        for _ in 0..<(try reader.readCount(max: .max, minimumElementSize: 8)) {
            parents.append(try reader.readUInt64())
        }
        return parents
    }

    private static func readRanges(_ reader: inout WireReader) throws -> [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        for _ in 0..<(try reader.readCount(max: .max, minimumElementSize: 16)) {
            let (start, end) = (try reader.readUInt64(), try reader.readUInt64())
            guard start <= end else { throw WireError.invalid("range") }
            ranges.append(start..<end)
        }
        return ranges
    }

    private static func decodeFirst(
        _ reader: inout WireReader, node: NodeID, total: Int
    ) throws -> Decoded? {
        let file = try reader.readUInt64()
        let size = try readSize(&reader)
        let modified = try readTime(&reader)
        let parents = try readParents(&reader)
        let base = try Content(decoding: reader.readBuffer(max: total))
        let dirty = try readRanges(&reader)
        guard reader.isAtEnd else { return nil }
        return .file(
            make(
                node, parents, base,
                .init(size: size, modified: modified, dirty: dirty, file: file)))
    }
}
