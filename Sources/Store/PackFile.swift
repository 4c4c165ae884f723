internal import Base
internal import Chunks
internal import Glibc

/// The name of a pack file: `000001.pack`.
struct PackName: Hashable, Sendable {
    /// A later pack has a greater one.
    let sequence: UInt64

    var fileName: String {
        let digits = String(sequence)
        return String(repeating: "0", count: max(0, 6 - digits.count)) + digits + ".pack"
    }

    init(sequence: UInt64) { self.sequence = sequence }

    /// - Returns: nil unless this is the name of a pack.
    init?(fileName: String) {
        guard fileName.hasSuffix(".pack"), let sequence = UInt64(fileName.dropLast(5)) else {
            return nil
        }
        self.sequence = sequence
        guard self.fileName == fileName else { return nil }
    }
}

/// An open pack file. Thread-safe: only positioned reads, and writes past all records.
final class PackFile: Sendable {
    let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    enum Seal {
        case none
        case whole([PackFormat.Entry])
        case damaged
    }

    /// The random number of the pack; nil if the file ends before it.
    func number() throws(StorageError) -> UInt64? {
        let header = try descriptor.read(PackFormat.headerSize, at: 0)
        do {
            return try PackFormat.decodeHeader(header.span)
        } catch .truncated {
            return nil
        } catch .unknownVersion(let version) {
            throw .io(
                code: EPROTONOSUPPORT,
                action: "opening \(descriptor.path) (version \(version) of the pack format: install"
                    + " the Holdfast that wrote it)")
        } catch {
            throw damaged("the header")
        }
    }

    func seal(number: UInt64, size: UInt64) throws(StorageError) -> Seal {
        let trailerSize = UInt64(PackFormat.trailerSize)
        guard size >= trailerSize else { return .none }
        let end = try descriptor.read(PackFormat.trailerSize, at: size - trailerSize)
        let trailer: PackFormat.Trailer?
        do {
            trailer = try PackFormat.decodeTrailer(end.span, packSize: size, number: number)
        } catch {
            return .damaged
        }
        guard let trailer else { return .none }
        let bytes = try descriptor.read(trailer.indexSize, at: trailer.indexOffset)
        do {
            let entries = try PackFormat.decodeIndex(bytes.span, trailer: trailer)
            // Holdfast's own packs are smaller than the format allows.
            let fits = entries.allSatisfy { $0.offset < ChunkTable.Location.offsetMax }
            return fits ? .whole(entries) : .damaged
        } catch {
            return .damaged
        }
    }

    /// The records from the front to the first that is not whole.
    ///
    /// - Parameter checkedFrom: payloads that end behind this byte are read and checked, too.
    func scan(size: UInt64, checkedFrom: UInt64) throws(StorageError) -> [PackFormat.Entry] {
        var entries: [PackFormat.Entry] = []
        var end = UInt64(PackFormat.headerSize)
        while let entry = try recordEntry(at: end, size: size, checkedFrom: checkedFrom) {
            entries.append(entry)
            end = UInt64(entry.offset) + UInt64(entry.length)
        }
        return entries
    }

    private func recordEntry(at start: UInt64, size: UInt64, checkedFrom: UInt64)
        throws(StorageError) -> PackFormat.Entry?
    {
        let payloadStart = start + UInt64(PackFormat.recordHeaderSize)
        guard payloadStart <= size, payloadStart < UInt64(ChunkTable.Location.offsetMax) else {
            return nil
        }
        do throws(StorageError) {
            let header = try recordHeader(payloadOffset: Int(payloadStart))
            let end = payloadStart + UInt64(header.payloadSize)
            guard end <= size else { return nil }
            if end > checkedFrom { _ = try record(payloadOffset: Int(payloadStart)) }
            return PackFormat.Entry(
                address: header.reference.address, offset: UInt32(payloadStart),
                length: header.reference.length)
        } catch .corrupt {
            return nil
        }
    }

    /// The record header that precedes a payload.
    func recordHeader(payloadOffset: Int) throws(StorageError) -> PackFormat.RecordHeader {
        let start = UInt64(max(0, payloadOffset - PackFormat.recordHeaderSize))
        let bytes = try descriptor.read(PackFormat.recordHeaderSize, at: start)
        do {
            return try PackFormat.decodeRecordHeader(bytes.span)
        } catch {
            throw damaged("the record at byte \(start)")
        }
    }

    /// A record's header and payload, checked against each other.
    func record(payloadOffset: Int) throws(StorageError) -> (PackFormat.RecordHeader, [UInt8]) {
        let header = try recordHeader(payloadOffset: payloadOffset)
        let payload = try descriptor.read(header.payloadSize, at: UInt64(payloadOffset))
        guard payload.count == header.payloadSize,
            PackFormat.checksum(payload.span) == header.checksum
        else { throw damaged("chunk \(header.reference.address) at byte \(payloadOffset)") }
        return (header, payload)
    }

    func damaged(_ what: String) -> StorageError {
        .corrupt(
            what: "\(what) of \(descriptor.path); run `holdfast check --rebuild`, which has damaged"
                + " chunks fetched again from other members")
    }
}

extension PackFormat.Entry {
    func location(in pack: Int) -> ChunkTable.Location {
        ChunkTable.Location(pack: pack, offset: Int(offset), length: Int(length))
    }
}
