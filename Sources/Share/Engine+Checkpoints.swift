import Base
import FileTree
import Hypercore
import Wire

/// Equal clocks must have equal views: members write down the digest of theirs from time to time, and who has
/// seen just the same compares.
extension Engine {
    enum CheckpointLimits {
        /// Blocks after which a digest is due.
        static let blocks: UInt64 = 1000
        /// How long nothing may have happened before it is written, so that others have the same clock.
        static let quiet = Duration.seconds(10)
        /// Devices take their turns within this time: mostly one writes, and the others compare.
        static let turns: UInt64 = 20_000
        static let divergences = 64
    }

    /// When this device is to write the digest of its view, if nothing happens before.
    var checkpointDeadline: Instant? {
        guard blocksSinceCheckpoint >= CheckpointLimits.blocks, isAdmitted,
            let last = lastBlockAt, let key = ownLog?.key
        else { return nil }
        let turn = key.bytes.prefix(4).reduce(0) { $0 << 8 | UInt64($1) } % CheckpointLimits.turns
        return last + CheckpointLimits.quiet + .milliseconds(Int64(turn))
    }

    mutating func countBlock(_ operations: [Operation?]) {
        lastBlockAt = environment.now()
        if case .checkpoint? = operations.first {
            blocksSinceCheckpoint = 0
        } else {
            blocksSinceCheckpoint &+= 1
        }
    }

    /// Writes the digest if it is due.
    mutating func publishCheckpointIfDue(now: Instant) throws(StorageError) {
        guard let deadline = checkpointDeadline, deadline <= now else { return }
        guard open == nil, !hasUnapplied else {
            // Another time: nobody else has the same clock now.
            lastBlockAt = now
            return
        }
        try tree.save()
        do throws(VolumeError) {
            try author(.checkpoint(.init(digest: tree.digest)))
        } catch {
            if case .storage(let error) = error { throw error }
            // Nothing can be written now; the next block brings it up again.
            blocksSinceCheckpoint = 0
        }
        try commit()
    }

    /// Compares a digest that another device wrote with the view here, if both have seen the same.
    ///
    /// To be called before the block is applied, in a batch; the batch goes on.
    mutating func compare(_ block: Block, of slot: WriterSlot, number: UInt64)
        throws(StorageError)
    {
        guard slot != ownSlot, case .checkpoint(let checkpoint)? = block.operations.first,
            block.clock == tree.clock
        else { return }
        note(try tree.finish())
        tree.begin()
        comparedCheckpoints &+= 1
        let key = writers.key(of: slot)
        if let known = divergences.firstIndex(where: { $0.log == key }) {
            guard checkpoint.digest == tree.digest else { return }
            divergences.remove(at: known)
        } else {
            guard checkpoint.digest != tree.digest,
                divergences.count < CheckpointLimits.divergences
            else { return }
            notices.append(Self.disagreement(with: deviceName(log: key)))
            divergences.append(
                Divergence(log: key, block: number, found: environment.wallTime().milliseconds))
        }
        try storage.setValue(Divergence.encode(divergences), of: StoredValue.divergences)
        markDirty()
    }

    private func deviceName(log: Bytes32) -> String {
        membership.member(log: log).map { String(decoding: $0.name, as: UTF8.self) } ?? log.hex
    }

    /// The devices that see other things though they have what this one has, or once did.
    func disagreeing(among sessions: [PeerSession]) -> [String] {
        let now = sessions.filter { disagrees(with: $0.view) }.map(\.device)
        let before = divergences.map { deviceName(log: $0.log) }
        return now + before.filter { !now.contains($0) }
    }
}

/// A view that should have been this device's, and was another.
struct Divergence: Equatable, Sendable {
    /// Who wrote the digest, and in which block.
    var log: Bytes32
    var block: UInt64
    /// Milliseconds since 1970.
    var found: UInt64

    /// Format (1), count, then each: log (32), block, found.
    static func encode(_ divergences: [Divergence]) -> [UInt8] {
        var writer = WireWriter()
        writer.writeUInt8(1)
        writer.writeUInt(divergences.count)
        for divergence in divergences {
            writer.writeBytes32(divergence.log)
            writer.writeUInt(divergence.block)
            writer.writeUInt(divergence.found)
        }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]?) throws(StorageError) -> [Divergence] {
        guard let bytes else { return [] }
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            guard try reader.readUInt8() == 1 else { throw .invalid("format") }
            let count = try reader.readCount(
                max: Engine.CheckpointLimits.divergences, minimumElementSize: 34)
            var divergences: [Divergence] = []
            for _ in 0..<count {
                divergences.append(
                    Divergence(
                        log: try reader.readBytes32(), block: try reader.readUInt(),
                        found: try reader.readUInt()))
            }
            return divergences
        } catch {
            throw .corrupt(what: "the list of views that differ: \(error)")
        }
    }
}
