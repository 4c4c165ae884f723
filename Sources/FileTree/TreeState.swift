import Base
import Wire

/// What a tree knows of itself: small, and written with every commit.
struct TreeState: Equatable {
    var clock = Clock()
    var newestTime: HybridTime = .zero
    var digest: Digest = .zero
    var totals = TreeTotals()
    /// The rules of merging that the share's settings name.
    var mergeRules = Register<UInt64>(0, at: .root)

    /// Blocks of which nothing is kept but what shows or may come to matter: an identity among them that
    /// has no row is dead for ever.
    var forgotten = Clock()

    private static let format: UInt8 = 1

    init() {}

    var payload: [UInt8] {
        var output = WireWriter(reserving: 96 + clock.elements.count * 10)
        output.writeUInt8(Self.format)
        output.writeUInt64(newestTime.rawValue)
        output.writeBytes32(digest.bytes)
        output.writeUInt(totals.files)
        output.writeUInt(totals.directories)
        output.writeUInt64(totals.bytes)
        output.writeUInt(totals.conflicts)
        Self.write(clock, into: &output)
        if mergeRules.stamp != .root || !forgotten.elements.isEmpty {
            output.writeUInt64(mergeRules.value)
            output.write(mergeRules.stamp)
        }
        if !forgotten.elements.isEmpty { Self.write(forgotten, into: &output) }
        return output.bytes
    }

    init(payload: [UInt8]) throws(StorageError) {
        do {
            var reader = WireReader(payload.span)
            guard try reader.readUInt8() == Self.format else { throw WireError.invalid("format") }
            newestTime = HybridTime(rawValue: try reader.readUInt64())
            digest = Digest(try reader.readBytes32())
            totals.files = try reader.readUInt()
            totals.directories = try reader.readUInt()
            totals.bytes = try reader.readUInt64()
            totals.conflicts = try reader.readUInt()
            clock = try Self.readClock(&reader)
            if !reader.isAtEnd {
                mergeRules = Register(try reader.readUInt64(), at: try reader.readStamp())
            }
            if !reader.isAtEnd { forgotten = try Self.readClock(&reader) }
        } catch {
            throw .corrupt(what: "state of the view: \(error); rebuild the view")
        }
    }

    private static func write(_ clock: Clock, into output: inout WireWriter) {
        output.writeUInt(clock.elements.count)
        for element in clock.elements {
            output.writeUInt16(element.writer.rawValue)
            output.writeUInt(element.count)
        }
    }

    private static func readClock(_ reader: inout WireReader) throws(WireError) -> Clock {
        var clock = Clock()
        let count = try reader.readCount(max: Int(WriterSlot.max) + 1, minimumElementSize: 3)
        for _ in 0..<count {
            let slot = try reader.readUInt16()
            guard slot <= WriterSlot.max else { throw .invalid("slot") }
            clock[WriterSlot(rawValue: slot)] = try reader.readUInt()
        }
        return clock
    }
}
