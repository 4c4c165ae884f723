import Base
import FileTree
import Hypercore

/// A second reading of the logs, from nothing: what the view must be.
struct Replay {
    let writers: WriterTable
    let logs: [(slot: WriterSlot, log: Log, blocks: UInt64)]
    let tree: FileTree
    private let bounds: LogBounds

    /// - Parameters:
    ///   - blocks: how many of each log to apply.
    ///   - bounds: what of them counts.
    ///   - settlesAfter: in milliseconds, as the view itself has it.
    ///   - scratch: empty.
    init(
        writers: WriterTable, deviceNames: [WriterSlot: String],
        logs: [(slot: WriterSlot, log: Log, blocks: UInt64)], bounds: LogBounds,
        settlesAfter: UInt64,
        scratch: any TreeStorage
    ) throws(StorageError) {
        self.writers = writers
        self.logs = logs
        self.bounds = bounds
        tree = try FileTree(
            storage: scratch, writers: writers, deviceNames: deviceNames,
            settlesAfter: settlesAfter)
    }

    /// - Parameter starts: the logs' codecs at what the tree holds already.
    /// - Returns: how many blocks could be applied; all, if the logs are in order.
    func run(from starts: [WriterSlot: BlockCodec]) throws(StorageError) -> UInt64 {
        var codecs = starts
        var applied = starts.mapValues(\.number)
        var total: UInt64 = 0
        tree.begin()
        var progress = true
        while progress {
            progress = false
            for (slot, log, blocks) in logs {
                while (applied[slot] ?? 0) < blocks {
                    let number = applied[slot] ?? 0
                    var codec = codecs[slot] ?? BlockCodec(writer: slot)
                    guard let bytes = try log.block(at: number),
                        var block = try? codec.decode(bytes.span, writers: writers)
                    else { break }
                    _ = bounds.limit(&block)
                    guard try tree.apply(block, from: slot, number: number) != .early else {
                        break
                    }
                    codecs[slot] = codec
                    applied[slot] = number + 1
                    total += 1
                    progress = true
                }
            }
        }
        _ = try tree.finish()
        return total
    }
}
