internal import Base
internal import Chunks
internal import Glibc
internal import Wire

/// Remembers which packs are unsealed, and how much of each is known to be on the disk.
///
/// Without it a record that does not check out could be the torn end of what was written last or
/// the rot of something older; the first is cut off, the second must be reported. A pack's first mark
/// is on the disk before its first record. Later ones are written after the sync they tell of and are
/// not synced themselves: they may lag, never lead. A pack without a mark was sealed once.
///
/// Two places of 512 bytes take turns, so that a torn write leaves the other:
///
///     magic "holdmark" 8 | turn 8 | count 1 | (pack number 8 | synced bytes 8) each | XXH64 8
struct SyncMarks: ~Copyable {
    struct Mark: Equatable {
        /// From the pack's header.
        var number: UInt64
        var syncedBytes: UInt64
    }

    static let fileName = "synced"
    /// More marks do not fit a place.
    static let countMax = 28
    private static let placeSize = 512
    private static let magic = [UInt8]("holdmark".utf8)

    private let file: FileDescriptor
    private var turn: UInt64 = 0

    init(in directory: Directory) throws(StorageError) {
        file = try directory.file(Self.fileName, O_RDWR | O_CREAT)
    }

    /// The newest marks that can be read; none if there are none.
    mutating func load() throws(StorageError) -> [Mark] {
        let bytes = try file.read(2 * Self.placeSize, at: 0)
        var newest: [Mark] = []
        for start in [0, Self.placeSize] where start < bytes.count {
            let place = bytes.span.extracting(start..<min(start + Self.placeSize, bytes.count))
            if let (found, marks) = Self.decode(place), found >= turn {
                turn = found
                newest = marks
            }
        }
        return newest
    }

    /// - Precondition: at most `countMax` marks.
    mutating func store(_ marks: [Mark]) throws(StorageError) {
        precondition(marks.count <= Self.countMax, "\(marks.count) unsealed packs")
        turn += 1
        var writer = WireWriter(reserving: Self.placeSize)
        writer.writeRaw(Self.magic)
        writer.writeUInt64(turn)
        writer.writeUInt8(UInt8(marks.count))
        for mark in marks {
            writer.writeUInt64(mark.number)
            writer.writeUInt64(mark.syncedBytes)
        }
        writer.writeUInt64(PackFormat.checksum(writer.bytes.span))
        let place = UInt64(Self.placeSize) * (turn & 1)
        try file.write(writer.bytes.span, at: place)
    }

    func sync() throws(StorageError) { try file.syncData() }

    private static func decode(_ bytes: Span<UInt8>) -> (turn: UInt64, marks: [Mark])? {
        do {
            var reader = WireReader(bytes)
            guard try reader.readBytes(magic.count) == magic else { return nil }
            let turn = try reader.readUInt64()
            var marks: [Mark] = []
            for _ in 0..<(try reader.readUInt8()) {
                marks.append(
                    Mark(number: try reader.readUInt64(), syncedBytes: try reader.readUInt64()))
            }
            let checked = bytes.extracting(0..<bytes.count - reader.remaining)
            guard try reader.readUInt64() == PackFormat.checksum(checked), turn < .max else {
                return nil
            }
            return (turn, marks)
        } catch {
            return nil
        }
    }
}
