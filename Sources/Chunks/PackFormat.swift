package import Base

/// What is wrong with bytes that should be part of a pack.
package enum PackError: Error, Equatable, Sendable {
    /// Fewer bytes than the part has: the end of an unfinished pack.
    case truncated
    /// The bytes are not what was written; the text names the part.
    case damaged(String)
    /// Written by a later version of the format.
    case unknownVersion(UInt32)
}

/// The layout of pack files: encoders and bounds-checked decoders, without the files.
///
/// A pack is a header, then records, one a chunk, back to back. When it is full it is sealed: an
/// index of its records and a trailer end it, and nothing changes it any more. A pack without a
/// trailer is the active one, or was when the power went: its records are scanned from the front,
/// and what follows the last whole record is cut off. Integers are little-endian, sizes in bytes.
///
///     pack      header 24 | record | record | ... | index | trailer 40
///
///     header    magic "holdpack" 8 | version 4 | zero 4 | pack number 8
///
///     record    magic "chnk" 4 | length 4 | address 32 | key 32 | payload XXH64 8
///               | XXH64 of the 80 bytes before 8 | payload `length`
///
///     index     entry 40 per record, in the order of the records:
///               address 32 | payload offset in the pack 4 | payload length 4
///
///     trailer   index offset 8 | entries 4 | zero 4 | index XXH64 8
///               | XXH64 of the 24 bytes before, seed: pack number 8 | magic "sealpack" 8
///
/// The payload of a member's record is plaintext; a device without the share key stores the
/// ciphertext, and a key of zeros says so. The pack number is random and secret to this device, so
/// that no chunk's bytes, which others choose, can pass for a trailer when a pack ends in them.
package enum PackFormat {
    package static let version: UInt32 = 1
    package static let headerSize = 24
    package static let recordHeaderSize = 88
    package static let entrySize = 40
    package static let trailerSize = 40
    /// Offsets in a pack have 32 bits; packs are to be sealed long before.
    package static let packSizeMax: UInt64 = 1 << 31
    /// More records than this do not fit a pack: each has its header.
    package static let entriesMax = Int(packSizeMax) / recordHeaderSize

    private static let headerMagic: UInt64 = magic("holdpack")
    private static let trailerMagic: UInt64 = magic("sealpack")
    private static let recordMagic = UInt32(truncatingIfNeeded: magic("chnk"))

    private static func magic(_ text: StaticString) -> UInt64 {
        // A static string's bytes live for ever.
        let bytes = unsafe UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        return unsafe bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// What detects torn and rotten payloads: XXH64 with seed 0.
    package static func checksum(_ payload: Span<UInt8>) -> UInt64 { XXH64.hash(payload) }

    // MARK: Header

    /// The first `headerSize` bytes of every pack.
    ///
    /// - Parameter number: 64 random bits, different for every pack.
    /// - Parameter version: another for packs of another layout.
    package static func encodeHeader(number: UInt64, version: UInt32 = version) -> [UInt8] {
        var bytes: [UInt8] = []
        append(headerMagic, to: &bytes)
        append(version, to: &bytes)
        append(UInt32(0), to: &bytes)
        append(number, to: &bytes)
        return bytes
    }

    /// - Returns: the pack's number.
    /// - Throws: unless `bytes` begins with the header of a pack of that version.
    package static func decodeHeader(_ bytes: Span<UInt8>, version: UInt32 = version)
        throws(PackError) -> UInt64
    {
        guard bytes.count >= headerSize else { throw .truncated }
        guard load(bytes, 0) as UInt64 == headerMagic else { throw .damaged("pack header") }
        let found: UInt32 = load(bytes, 8)
        guard found == version else { throw .unknownVersion(found) }
        return load(bytes, 16)
    }

    // MARK: Records

    /// What precedes a payload.
    package struct RecordHeader: Equatable, Sendable {
        package var reference: ChunkReference
        /// `PackFormat.checksum` of the payload.
        package var checksum: UInt64

        package init(reference: ChunkReference, checksum: UInt64) {
            self.reference = reference
            self.checksum = checksum
        }

        /// The payload's size in bytes, at most `ChunkLimits.chunkSizeMax` when decoded.
        package var payloadSize: Int { Int(reference.length) }
    }

    /// Appends `recordHeaderSize` bytes; the payload follows them.
    package static func encode(_ header: RecordHeader, into bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.reserveCapacity(start + recordHeaderSize)
        append(recordMagic, to: &bytes)
        append(header.reference.length, to: &bytes)
        append(header.reference.address, to: &bytes)
        append(header.reference.key, to: &bytes)
        append(header.checksum, to: &bytes)
        append(XXH64.hash(bytes.span.extracting(start..<bytes.count)), to: &bytes)
    }

    /// Decodes the record header at the front of `bytes`.
    package static func decodeRecordHeader(_ bytes: Span<UInt8>) throws(PackError) -> RecordHeader {
        guard bytes.count >= recordHeaderSize else { throw .truncated }
        guard load(bytes, 0) as UInt32 == recordMagic,
            load(bytes, 80) as UInt64 == XXH64.hash(bytes.extracting(0..<80))
        else { throw .damaged("record header") }
        let length: UInt32 = load(bytes, 4)
        guard length <= ChunkLimits.chunkSizeMax else { throw .damaged("record length") }
        guard let address = Bytes32(bytes.extracting(8..<40)),
            let key = Bytes32(bytes.extracting(40..<72))
        else { throw .damaged("record header") }
        return RecordHeader(
            reference: ChunkReference(address: address, key: key, length: length),
            checksum: load(bytes, 72))
    }

    // MARK: Index and trailer

    /// Where a chunk is within its pack.
    package struct Entry: Equatable, Sendable {
        package var address: Bytes32
        /// Of the payload, from the start of the pack.
        package var offset: UInt32
        package var length: UInt32

        package init(address: Bytes32, offset: UInt32, length: UInt32) {
            self.address = address
            self.offset = offset
            self.length = length
        }
    }

    /// The last bytes of a sealed pack.
    package struct Trailer: Equatable, Sendable {
        package var indexOffset: UInt64
        /// At most `entriesMax` when decoded.
        package var entryCount: Int
        package var indexChecksum: UInt64

        package var indexSize: Int { entryCount * PackFormat.entrySize }
    }

    /// What seals a pack whose records end at `offset`: the index and the trailer.
    ///
    /// - Precondition: at most `entriesMax` entries, in the order of their offsets.
    package static func encodeSeal(_ entries: [Entry], at offset: UInt64, number: UInt64) -> [UInt8]
    {
        precondition(entries.count <= entriesMax, "\(entries.count) records in one pack")
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * entrySize + trailerSize)
        for entry in entries {
            append(entry.address, to: &bytes)
            append(entry.offset, to: &bytes)
            append(entry.length, to: &bytes)
        }
        let indexChecksum = XXH64.hash(bytes.span)
        let start = bytes.count
        append(offset, to: &bytes)
        append(UInt32(entries.count), to: &bytes)
        append(UInt32(0), to: &bytes)
        append(indexChecksum, to: &bytes)
        append(XXH64.hash(bytes.span.extracting(start..<bytes.count), seed: number), to: &bytes)
        append(trailerMagic, to: &bytes)
        return bytes
    }

    /// Decodes the last `trailerSize` bytes of a pack of `packSize` bytes.
    ///
    /// - Returns: nil if the pack is not sealed: scan its records.
    /// - Throws: if the bytes look like a trailer and are none; its records can be scanned all the same.
    package static func decodeTrailer(
        _ bytes: Span<UInt8>, packSize: UInt64, number: UInt64
    ) throws(PackError) -> Trailer? {
        guard bytes.count == trailerSize, packSize <= packSizeMax,
            packSize >= UInt64(headerSize + trailerSize),
            load(bytes, 32) as UInt64 == trailerMagic
        else { return nil }
        guard load(bytes, 24) as UInt64 == XXH64.hash(bytes.extracting(0..<24), seed: number)
        else {
            throw .damaged("pack trailer")
        }
        let offset: UInt64 = load(bytes, 0)
        let count = Int(load(bytes, 8) as UInt32)
        // The index ends where the trailer begins: nothing else fits. `count` has 32 bits.
        guard offset >= UInt64(headerSize), offset <= packSize, count <= entriesMax,
            offset + UInt64(count * entrySize + trailerSize) == packSize
        else { throw .damaged("pack trailer") }
        return Trailer(indexOffset: offset, entryCount: count, indexChecksum: load(bytes, 16))
    }

    /// Decodes the index that `trailer` describes, in the order of the records.
    ///
    /// Every entry returned lies between the header and the index, behind a record header.
    ///
    /// - Parameter isAdopted: whether the payloads are in another file: then they may touch.
    package static func decodeIndex(
        _ bytes: Span<UInt8>, trailer: Trailer, isAdopted: Bool = false
    ) throws(PackError) -> [Entry] {
        guard bytes.count >= trailer.indexSize else { throw .truncated }
        let index = bytes.extracting(0..<trailer.indexSize)
        guard XXH64.hash(index) == trailer.indexChecksum else { throw .damaged("pack index") }
        var entries: [Entry] = []
        entries.reserveCapacity(trailer.entryCount)
        let gap = isAdopted ? 0 : UInt64(recordHeaderSize)
        let endMax = isAdopted ? packSizeMax : trailer.indexOffset
        var end = UInt64(headerSize)
        for number in 0..<trailer.entryCount {
            let start = number * entrySize
            let offset: UInt32 = load(index, start + 32)
            let length: UInt32 = load(index, start + 36)
            guard let address = Bytes32(index.extracting(start..<start + 32)),
                UInt64(offset) >= end + gap,
                length <= ChunkLimits.chunkSizeMax
            else { throw .damaged("pack index") }
            end = UInt64(offset) + UInt64(length)
            guard end <= endMax else { throw .damaged("pack index") }
            entries.append(Entry(address: address, offset: offset, length: length))
        }
        return entries
    }

    // MARK: Integers

    private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
        var rest = value
        for _ in 0..<(rest.bitWidth / 8) {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    private static func append(_ value: Bytes32, to bytes: inout [UInt8]) {
        for index in 0..<Bytes32.count { bytes.append(value[index]) }
    }

    /// Callers have checked that the integer lies within `bytes`.
    private static func load<Value: FixedWidthInteger>(_ bytes: Span<UInt8>, _ offset: Int) -> Value
    {
        var value: Value = 0
        for index in 0..<(Value.bitWidth / 8) {
            value |= Value(truncatingIfNeeded: bytes[offset + index]) << Value(8 * index)
        }
        return value
    }
}
