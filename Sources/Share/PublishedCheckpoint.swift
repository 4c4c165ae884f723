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

    /// Who published it, in which block, when (hybrid time).
    var log: Bytes32
    var block: UInt64
    var time: UInt64
    /// Of the view that it holds.
    var digest: Bytes32
    var content: Content
    /// Bytes that the logs had when it came to be known.
    var logBytes: UInt64

    /// Format (1), count, then each: log (32), block, time (8), digest (32), content buffer, bytes.
    static func encode(_ checkpoints: [PublishedCheckpoint]) -> [UInt8] {
        var writer = WireWriter()
        writer.writeUInt8(1)
        writer.writeUInt(checkpoints.count)
        for checkpoint in checkpoints {
            writer.writeBytes32(checkpoint.log)
            writer.writeUInt(checkpoint.block)
            writer.writeUInt64(checkpoint.time)
            writer.writeBytes32(checkpoint.digest)
            writer.writeBuffer(checkpoint.content.encode())
            writer.writeUInt(checkpoint.logBytes)
        }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]?) throws(StorageError) -> [PublishedCheckpoint] {
        guard let bytes else { return [] }
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            guard try reader.readUInt8() == 1 else { throw .invalid("format") }
            let count = try reader.readCount(max: Limits.count, minimumElementSize: 76)
            var checkpoints: [PublishedCheckpoint] = []
            for _ in 0..<count {
                checkpoints.append(
                    PublishedCheckpoint(
                        log: try reader.readBytes32(), block: try reader.readUInt(),
                        time: try reader.readUInt64(), digest: try reader.readBytes32(),
                        content: try Content(
                            decoding: reader.readBuffer(max: FileTreeLimits.contentSizeMax)),
                        logBytes: try reader.readUInt()))
            }
            return checkpoints
        } catch {
            throw .corrupt(what: "the list of checkpoints: \(error)")
        }
    }
}
