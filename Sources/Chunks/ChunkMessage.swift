import Base
import Wire

/// How soon a chunk is needed.
package enum ChunkPriority: UInt8, Comparable, CaseIterable, Sendable {
    /// Somebody waits for the bytes now.
    case reader = 0
    /// Somebody will, soon: read-ahead.
    case ahead = 1
    /// To have it.
    case bulk = 2

    /// What is needed sooner is less.
    package static func < (left: ChunkPriority, right: ChunkPriority) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// The messages of the channel `holdfast/chunks`. Types above 5 are ignored.
///
///     0 want     priority varint | first varint | count varint | address 32 ...
///     1 have     count varint | address 32 ...
///     2 missing  count varint | want varint ...
///     3 chunk    want varint | ciphertext
///     4 cancel   count varint | want varint ...
///     5 raise    priority varint | count varint | want varint ...
///
/// The addresses of a want are numbered from `first` on, which goes on where the side's want before
/// ended (the first is 0). Every number is answered once, by `chunk` or by `missing`, in any order;
/// one that was cancelled too: whichever comes shows that nothing more will.
enum ChunkMessage: Equatable {
    case want(ChunkPriority, first: UInt64, [Bytes32])
    case have([Bytes32])
    case missing([UInt64])
    case chunk(UInt64, ciphertext: [UInt8])
    case cancel([UInt64])
    case raise(ChunkPriority, [UInt64])

    var type: Int {
        switch self {
        case .want: 0
        case .have: 1
        case .missing: 2
        case .chunk: 3
        case .cancel: 4
        case .raise: 5
        }
    }

    func encode() -> [UInt8] {
        var writer = WireWriter()
        switch self {
        case .want(let priority, let first, let addresses):
            writer.writeUInt(UInt64(priority.rawValue))
            writer.writeUInt(first)
            writer.writeAddresses(addresses)
        case .have(let addresses):
            writer.writeAddresses(addresses)
        case .missing(let wants), .cancel(let wants):
            writer.writeWants(wants)
        case .chunk(let want, let ciphertext):
            return Self.encodeChunk(want, ciphertext.span)
        case .raise(let priority, let wants):
            writer.writeUInt(UInt64(priority.rawValue))
            writer.writeWants(wants)
        }
        return writer.bytes
    }

    /// The payload of a `chunk`, with one copy of the ciphertext.
    static func encodeChunk(_ want: UInt64, _ ciphertext: Span<UInt8>) -> [UInt8] {
        var writer = WireWriter(reserving: 9 + ciphertext.count)
        writer.writeUInt(want)
        writer.writeRaw(ciphertext)
        return writer.bytes
    }

    /// - Returns: nil for a type of a later version.
    static func decode(type: Int, _ payload: Span<UInt8>) throws(WireError) -> ChunkMessage? {
        var reader = WireReader(payload)
        switch type {
        case 0:
            return try .want(
                reader.readPriority(), first: reader.readUInt(),
                reader.readAddresses(max: ChunkLimits.wantsInFlightMax))
        case 1: return try .have(reader.readAddresses(max: ChunkLimits.announcedMax))
        case 2: return try .missing(reader.readWants())
        case 3:
            let want = try reader.readUInt()
            guard reader.remaining <= ChunkLimits.ciphertextSizeMax else {
                throw .tooLarge(
                    UInt64(reader.remaining), limit: UInt64(ChunkLimits.ciphertextSizeMax))
            }
            return .chunk(want, ciphertext: reader.readRest())
        case 4: return try .cancel(reader.readWants())
        case 5: return try .raise(reader.readPriority(), reader.readWants())
        default: return nil
        }
    }
}

extension WireWriter {
    fileprivate mutating func writeAddresses(_ addresses: [Bytes32]) {
        writeUInt(addresses.count)
        for address in addresses { writeBytes32(address) }
    }

    fileprivate mutating func writeWants(_ wants: [UInt64]) {
        writeUInt(wants.count)
        for want in wants { writeUInt(want) }
    }
}

extension WireReader {
    fileprivate mutating func readPriority() throws(WireError) -> ChunkPriority {
        let value = try readUInt(max: UInt64(ChunkPriority.bulk.rawValue))
        return ChunkPriority(rawValue: UInt8(truncatingIfNeeded: value)) ?? .bulk
    }

    fileprivate mutating func readAddresses(max: Int) throws(WireError) -> [Bytes32] {
        let count = try readCount(max: max, minimumElementSize: Bytes32.count)
        var addresses: [Bytes32] = []
        addresses.reserveCapacity(count)
        for _ in 0..<count { try addresses.append(readBytes32()) }
        return addresses
    }

    fileprivate mutating func readWants() throws(WireError) -> [UInt64] {
        let count = try readCount(max: ChunkLimits.wantsInFlightMax)
        var wants: [UInt64] = []
        wants.reserveCapacity(count)
        for _ in 0..<count { try wants.append(readUInt()) }
        return wants
    }
}
