import Base
import Chunks
import FileTree
import Wire

/// A checkpoint that a member has published, as far as this device knows.
struct PublishedCheckpoint: Equatable, Sendable {
    enum Limits {
        /// Those remembered.
        static let count = 4
    }

    /// Blocks of a log that its author had seen.
    struct Position: Equatable, Sendable {
        var log: Bytes32
        var blocks: UInt64
    }

    /// Who published it, in which block, when (hybrid time).
    var log: Bytes32
    var block: UInt64
    var time: UInt64
    /// Of the view that it holds.
    var digest: Bytes32
    var content: Content
    /// Bytes that the logs had when it came to be known.
    var logBytes: UInt64
    /// Of each other log what its author had seen, by key.
    var seen: [Position] = []

    /// Whether its author had seen this much of a log: who starts from it needs no earlier blocks.
    func hasSeen(_ blocks: UInt64, of key: Bytes32) -> Bool {
        if key == log { return block >= blocks }
        return seen.contains { $0.log == key && $0.blocks >= blocks }
    }

    /// Format (2), count, then each: log (32), block, time (8), digest (32), content buffer, bytes, count, then
    /// log (32) and blocks of each seen. Format 1 ends each with the bytes.
    static func encode(_ checkpoints: [PublishedCheckpoint]) -> [UInt8] {
        var writer = WireWriter()
        writer.writeUInt8(2)
        writer.writeUInt(checkpoints.count)
        for checkpoint in checkpoints {
            writer.writeBytes32(checkpoint.log)
            writer.writeUInt(checkpoint.block)
            writer.writeUInt64(checkpoint.time)
            writer.writeBytes32(checkpoint.digest)
            writer.writeBuffer(checkpoint.content.encode())
            writer.writeUInt(checkpoint.logBytes)
            writer.writeUInt(checkpoint.seen.count)
            for position in checkpoint.seen {
                writer.writeBytes32(position.log)
                writer.writeUInt(position.blocks)
            }
        }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]?) throws(StorageError) -> [PublishedCheckpoint] {
        guard let bytes else { return [] }
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            let format = try reader.readUInt8()
            guard format == 1 || format == 2 else { throw .invalid("format") }
            let count = try reader.readCount(max: Limits.count, minimumElementSize: 76)
            var checkpoints: [PublishedCheckpoint] = []
            for _ in 0..<count {
                var checkpoint = PublishedCheckpoint(
                    log: try reader.readBytes32(), block: try reader.readUInt(),
                    time: try reader.readUInt64(), digest: try reader.readBytes32(),
                    content: try Content(
                        decoding: reader.readBuffer(max: FileTreeLimits.contentSizeMax)),
                    logBytes: try reader.readUInt())
                let seen =
                    format == 1
                    ? 0
                    : try reader.readCount(
                        max: Int(WriterSlot.max), minimumElementSize: 33)
                for _ in 0..<seen {
                    checkpoint.seen.append(
                        Position(log: try reader.readBytes32(), blocks: try reader.readUInt()))
                }
                checkpoints.append(checkpoint)
            }
            return checkpoints
        } catch {
            throw .corrupt(what: "the list of checkpoints: \(error)")
        }
    }
}
