internal import Base
internal import Chunks
internal import Glibc
internal import Synchronization

/// The name of a pack file: `000001.pack`.
struct PackName: Hashable, Sendable {
    /// A later pack has a greater one.
    let sequence: UInt64

    var fileName: String {
        let digits = String(sequence)
        return String(repeating: "0", count: max(0, 6 - digits.count)) + digits + Self.suffix
    }

    static let suffix = ".pack"

    init(sequence: UInt64) { self.sequence = sequence }

    /// - Returns: nil unless this is the name of a pack.
    init?(fileName: String) {
        guard fileName.hasSuffix(Self.suffix),
            let sequence = UInt64(fileName.dropLast(Self.suffix.count))
        else { return nil }
        self.sequence = sequence
        guard self.fileName == fileName else { return nil }
    }
}

/// An open pack file. Thread-safe: only positioned reads, and writes past all records.
final class PackFile: Sendable {
    let descriptor: FileDescriptor
    /// Where the payloads are, unless they are in this file.
    let adopted: AdoptedPack?
    /// The file that has them.
    private let data: PackFile?
    /// Of the payloads of an adopted pack, once somebody has asked.
    private let offsets = Mutex<[UInt32]?>(nil)

    init(_ descriptor: consuming FileDescriptor) {
        self.descriptor = descriptor
        adopted = nil
        data = nil
    }

    private init(_ descriptor: consuming FileDescriptor, _ adopted: AdoptedPack, _ data: PackFile) {
        self.descriptor = descriptor
        self.adopted = adopted
        self.data = data
    }

    /// Opens a pack, and the file that has its payloads if that is another.
    ///
    /// - Returns: nil if either is not there.
    static func open(_ name: PackName, in directory: Directory, _ flags: Int32 = O_RDONLY)
        throws(StorageError) -> PackFile?
    {
        guard let plain = try existing(name.fileName, in: directory, flags) else { return nil }
        guard let adopted = try plain.decodeAdopted() else { return plain }
        let dataName = DataName(sequence: adopted.data).fileName
        guard let data = try existing(dataName, in: directory, O_RDONLY),
            let again = try directory.existingFile(name.fileName, flags)
        else { return nil }
        return PackFile(again, adopted, data)
    }

    private static func existing(_ name: String, in directory: Directory, _ flags: Int32)
        throws(StorageError) -> PackFile?
    {
        guard let descriptor = try directory.existingFile(name, flags) else { return nil }
        return PackFile(descriptor)
    }

    private func decodeAdopted() throws(StorageError) -> AdoptedPack? {
        let front = try descriptor.read(AdoptedPack.frontSize, at: 0)
        do {
            return try AdoptedPack.decode(front: front.span)
        } catch {
            throw damaged("the header")
        }
    }

    enum Seal {
        case none
        case whole([PackFormat.Entry])
        case damaged
    }

    /// The random number of the pack; nil if the file ends before it.
    func number() throws(StorageError) -> UInt64? {
        let header = try descriptor.read(PackFormat.headerSize, at: 0)
        do {
            return try PackFormat.decodeHeader(
                header.span, version: adopted == nil ? PackFormat.version : AdoptedPack.version)
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
            let entries = try PackFormat.decodeIndex(
                bytes.span, trailer: trailer, isAdopted: adopted != nil)
            // Holdfast's own packs are smaller than the format allows.
            let fits = entries.allSatisfy { $0.offset < ChunkTable.Location.offsetMax }
            return fits && hasHeaders(of: entries, upTo: trailer.indexOffset)
                ? .whole(entries) : .damaged
        } catch {
            return .damaged
        }
    }

    private func hasHeaders(of entries: [PackFormat.Entry], upTo end: UInt64) -> Bool {
        guard adopted != nil else { return true }
        return end
            == UInt64(AdoptedPack.frontSize + entries.count * PackFormat.recordHeaderSize)
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

    /// Copies bytes of payloads, from `offset` on as the index counts.
    ///
    /// - Returns: how many; fewer than asked only at the end of the file.
    func readPayload(at offset: Int, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError) -> Int
    {
        guard let adopted, let data else {
            return try unsafe descriptor.read(at: UInt64(offset), into: buffer)
        }
        return try unsafe data.descriptor.read(
            at: adopted.position(ofPayload: offset), into: buffer)
    }

    /// Where bytes of payloads stand, from `offset` on as the index counts.
    ///
    /// - Returns: nil if the file ends before.
    func stored(payloadAt offset: Int, count: Int) throws(StorageError) -> StoredRange? {
        if let adopted, let data {
            return try data.range(at: adopted.position(ofPayload: offset), count: count)
        }
        return try range(at: UInt64(offset), count: count)
    }

    private func range(at offset: UInt64, count: Int) throws(StorageError) -> StoredRange? {
        guard try descriptor.size() >= offset + UInt64(count) else { return nil }
        return StoredRange(
            descriptor: descriptor.raw, offset: offset, count: count, owner: self)
    }

    /// The record header that belongs to a payload.
    func recordHeader(payloadOffset: Int) throws(StorageError) -> PackFormat.RecordHeader {
        let start = try headerPosition(payloadOffset: payloadOffset)
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
        var payload = [UInt8](repeating: 0, count: header.payloadSize)
        var span = payload.mutableSpan
        let count = try unsafe span.withUnsafeMutableBytes { (buffer) throws(StorageError) in
            // The buffer is read into during the call only.
            try unsafe readPayload(at: payloadOffset, into: buffer)
        }
        guard count == header.payloadSize, PackFormat.checksum(payload.span) == header.checksum
        else { throw damaged("chunk \(header.reference.address) at byte \(payloadOffset)") }
        return (header, payload)
    }

    private func headerPosition(payloadOffset: Int) throws(StorageError) -> UInt64 {
        guard adopted != nil else {
            return UInt64(max(0, payloadOffset - PackFormat.recordHeaderSize))
        }
        let offsets = try payloadOffsets()
        var (low, high) = (0, offsets.count)
        while low < high {
            let middle = (low + high) / 2
            if Int(offsets[middle]) < payloadOffset { low = middle + 1 } else { high = middle }
        }
        guard low < offsets.count, Int(offsets[low]) == payloadOffset else {
            throw damaged("the index")
        }
        return UInt64(AdoptedPack.frontSize + low * PackFormat.recordHeaderSize)
    }

    private func payloadOffsets() throws(StorageError) -> [UInt32] {
        if let known = offsets.withLock({ $0 }) { return known }
        guard let number = try number(),
            case .whole(let entries) = try seal(number: number, size: descriptor.size())
        else { throw damaged("the index") }
        let read = entries.map(\.offset)
        offsets.withLock { $0 = read }
        return read
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
