import Base
import Synchronization
import Wire

/// Decoded list chunks, the last few used; safe to use from any thread.
final class ListCache: Sendable {
    private struct Entry {
        let address: Bytes32
        let level: Int
        let list: PieceList
    }

    private let storage: any ChunkStorage
    /// The last used is last.
    private let entries = Mutex<[Entry]>([])

    init(_ storage: any ChunkStorage) { self.storage = storage }

    /// The list that `piece` stands for.
    ///
    /// - Parameter level: of the pieces in it.
    /// - Returns: nil if its chunk is not here.
    /// - Throws: `corrupt` if its chunk is not such a list.
    func list(_ piece: Piece, level: Int) throws(StorageError) -> PieceList? {
        guard case .list(let reference, _, _) = piece else {
            throw .corrupt(what: "a content list of level \(level) has a piece that is no list")
        }
        if let list = cached(reference.address, level, size: piece.size) { return list }
        var bytes: [UInt8] = []
        guard try storage.readAll(reference, into: &bytes) else { return nil }
        let list: PieceList
        do {
            list = try PieceList(ListChunk.decode(bytes.span, level: level, piece: piece))
        } catch {
            throw .corrupt(what: "list chunk \(reference.address): \(error)")
        }
        remember(Entry(address: reference.address, level: level, list: list))
        return list
    }

    private func cached(_ address: Bytes32, _ level: Int, size: UInt64) -> PieceList? {
        entries.withLock { entries in
            guard
                let index = entries.lastIndex(where: {
                    $0.address == address && $0.level == level && $0.list.size == size
                })
            else { return nil }
            let entry = entries.remove(at: index)
            entries.append(entry)
            return entry.list
        }
    }

    private func remember(_ entry: Entry) {
        entries.withLock { entries in
            if entries.count >= ChunkLimits.cachedListsMax { entries.removeFirst() }
            entries.append(entry)
        }
    }
}
