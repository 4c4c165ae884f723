import Base
import Chunks
import FileTree
import Wire

/// A checkpoint of its own that this device is to begin from once nobody needs what came before: it wrote it
/// down itself, so that no other member has to be believed.
struct NextBase {
    /// `log` is the own one.
    var checkpoint: PublishedCheckpoint
    /// The logs' codecs at it.
    var states: [BlockCodec]
    /// What is left out of it.
    var settled: SettledHistory
}

extension Engine {
    /// Checkpoint (buffer), codecs (buffer), settled history.
    private func encoded(_ next: NextBase) -> [UInt8] {
        var writer = WireWriter()
        writer.writeBuffer(PublishedCheckpoint.encode([next.checkpoint]))
        writer.writeBuffer(encodedStarts(next.states))
        write(next.settled, into: &writer)
        return writer.bytes
    }

    func nextBase(decoding bytes: [UInt8]) throws(StorageError) -> NextBase {
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            let checkpoint = try reader.readBuffer(max: bytes.count)
            let states = try decodeStarts(try reader.readBuffer(max: bytes.count))
            let settled = try readSettled(&reader)
            let known: PublishedCheckpoint?
            do throws(StorageError) {
                known = try PublishedCheckpoint.decode(checkpoint).first
            } catch {
                throw .invalid("checkpoint")
            }
            guard let known else { throw .invalid("no checkpoint") }
            return NextBase(checkpoint: known, states: states, settled: settled)
        } catch {
            throw .corrupt(
                what: "where this device is to begin from (\(error)): leave the share and join it"
                    + " again")
        }
    }

    mutating func storeNextBase() throws(StorageError) {
        try storage.setValue(nextBase.map(encoded), of: StoredValue.nextBase)
        markDirty()
    }

    // MARK: What is settled

    /// Time (8), count, then each: log (32), blocks.
    func write(_ settled: SettledHistory, into writer: inout WireWriter) {
        writer.writeUInt64(settled.newestTime.rawValue)
        writer.writeUInt(settled.clock.elements.count)
        for element in settled.clock.elements {
            writer.writeBytes32(writers.key(of: element.writer))
            writer.writeUInt(element.count)
        }
    }

    func readSettled(_ reader: inout WireReader) throws(WireError) -> SettledHistory {
        let time = HybridTime(rawValue: try reader.readUInt64())
        var clock = Clock()
        for _ in 0..<(try reader.readCount(max: Int(WriterSlot.max), minimumElementSize: 33)) {
            guard let slot = writers.insert(try reader.readBytes32()) else {
                throw .invalid("too many logs")
            }
            clock[slot] = try reader.readUInt(max: FileTreeLimits.blocksPerLogMax)
        }
        return SettledHistory(clock: clock, newestTime: time)
    }
}
