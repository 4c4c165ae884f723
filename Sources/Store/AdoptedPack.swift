internal import Base
internal import Chunks

/// The layout of a pack whose payloads stand in another file, which the store has adopted.
///
/// It is written at once, sealed, and never appended to:
///
///     pack      header 24, version 2 | data file 8 | start 8 | XXH64 of the 40 bytes before 8
///               | record header 88 each | index | trailer 40
///
/// Record headers, index and trailer are those of `PackFormat`. The payloads are in the file
/// `<data file>.data` beside it. The offset that the index gives for one is 24 where it stands at byte
/// `start` of that file, and so on: offsets of a pack are small, and none is zero.
struct AdoptedPack: Equatable {
    static let version: UInt32 = 2
    /// Of what precedes the record headers.
    static let frontSize = PackFormat.headerSize + 24
    /// Offsets of payloads reach no further.
    static let spanMax = 48 << 20

    /// The sequence number in the data file's name.
    let data: UInt64
    let start: UInt64

    /// Where in the data file a payload stands.
    func position(ofPayload offset: Int) -> UInt64 {
        start + UInt64(max(0, offset - PackFormat.headerSize))
    }

    /// Of a payload in the data file.
    func range(of entry: PackFormat.Entry) -> Range<UInt64> {
        let start = position(ofPayload: Int(entry.offset))
        return start..<start + UInt64(entry.length)
    }

    /// Splits chunks into those of one pack each.
    ///
    /// - Parameter chunks: by offset.
    static func spans(of chunks: [InPlaceChunk], spanMax: Int = spanMax) -> [ArraySlice<
        InPlaceChunk
    >] {
        var spans: [ArraySlice<InPlaceChunk>] = []
        var first = 0
        for index in chunks.indices {
            let isFull = index - first >= PackStore.Limits.packRecordsMax
            let span = chunks[index].range.upperBound - chunks[first].offset
            if span > UInt64(spanMax) || isFull {
                spans.append(chunks[first..<index])
                first = index
            }
        }
        if first < chunks.count { spans.append(chunks[first...]) }
        return spans
    }

    /// A whole pack, with its index.
    static func encode(_ chunks: ArraySlice<InPlaceChunk>, data: UInt64, number: UInt64)
        -> (bytes: [UInt8], entries: [PackFormat.Entry], pack: AdoptedPack)
    {
        let pack = AdoptedPack(data: data, start: chunks.first?.offset ?? 0)
        var bytes = PackFormat.encodeHeader(number: number, version: version)
        append(pack.data, to: &bytes)
        append(pack.start, to: &bytes)
        append(PackFormat.checksum(bytes.span), to: &bytes)
        var entries: [PackFormat.Entry] = []
        entries.reserveCapacity(chunks.count)
        for chunk in chunks {
            PackFormat.encode(
                PackFormat.RecordHeader(reference: chunk.reference, checksum: chunk.checksum),
                into: &bytes)
            let offset = chunk.offset - pack.start + UInt64(PackFormat.headerSize)
            entries.append(
                PackFormat.Entry(
                    address: chunk.reference.address, offset: UInt32(offset),
                    length: chunk.reference.length))
        }
        bytes += PackFormat.encodeSeal(entries, at: UInt64(bytes.count), number: number)
        return (bytes, entries, pack)
    }

    /// - Returns: nil if `bytes` is the front of a pack of another kind.
    static func decode(front bytes: Span<UInt8>) throws(PackError) -> AdoptedPack? {
        guard (try? PackFormat.decodeHeader(bytes, version: version)) != nil else { return nil }
        guard bytes.count >= frontSize,
            PackFormat.checksum(bytes.extracting(0..<frontSize - 8)) == load(bytes, frontSize - 8)
        else { throw .damaged("pack header") }
        let start = load(bytes, PackFormat.headerSize + 8)
        guard start <= ChunkLimits.fileSizeMax else { throw .damaged("pack header") }
        return AdoptedPack(data: load(bytes, PackFormat.headerSize), start: start)
    }

    private static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }

    private static func load(_ bytes: Span<UInt8>, _ offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }
}

/// The name of a file that packs have their payloads in: `000001.data`.
struct DataName: Hashable {
    let sequence: UInt64

    var fileName: String {
        PackName(sequence: sequence).fileName.dropLast(PackName.suffix.count) + Self.suffix
    }

    static let suffix = ".data"

    init(sequence: UInt64) { self.sequence = sequence }

    /// - Returns: nil unless this is such a name.
    init?(fileName: String) {
        guard fileName.hasSuffix(Self.suffix),
            let sequence = UInt64(fileName.dropLast(Self.suffix.count))
        else { return nil }
        self.sequence = sequence
        guard self.fileName == fileName else { return nil }
    }
}
