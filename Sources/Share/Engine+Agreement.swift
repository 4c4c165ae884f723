import Base
import FileTree
import Hypercore
import Wire

/// Equal clocks must have equal views: members write down the digest of theirs from time to time, and who has
/// seen just the same compares.
extension Engine {
    /// Compares a digest that another device wrote with the view here, if both have seen the same.
    ///
    /// To be called before the block is applied, in a batch; the batch goes on.
    mutating func compare(_ block: Block, of slot: WriterSlot, number: UInt64)
        throws(StorageError)
    {
        guard slot != ownSlot, case .checkpoint(let checkpoint)? = block.operations.first,
            checkpoint.content.isEmpty, block.clock == tree.clock
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
                divergences.count < Divergence.Limits.count
            else { return }
            notices.append(Self.disagreement(with: deviceName(log: key)))
            divergences.append(
                Divergence(log: key, block: number, found: environment.wallTime().milliseconds))
        }
        try storage.setValue(Divergence.encode(divergences), of: StoredValue.divergences)
        markDirty()
    }

    /// What was compared was another view than the one that there is from now on.
    mutating func forgetDivergences() throws(StorageError) {
        divergences = []
        try storage.setValue(nil, of: StoredValue.divergences)
    }

    func deviceName(log: Bytes32) -> String {
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
    enum Limits {
        static let count = 64
    }

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
                max: Divergence.Limits.count, minimumElementSize: 34)
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
