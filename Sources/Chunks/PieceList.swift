/// Pieces with the offsets at which they end, for binary search.
final class PieceList: Sendable {
    let pieces: [Piece]
    /// Ascending; relative to the list's first byte.
    private let ends: [UInt64]

    init(_ pieces: [Piece]) {
        self.pieces = pieces
        var ends: [UInt64] = []
        ends.reserveCapacity(pieces.count)
        var end: UInt64 = 0
        for piece in pieces {
            end &+= piece.size
            ends.append(end)
        }
        self.ends = ends
    }

    var size: UInt64 { ends.last ?? 0 }

    /// Where the piece `index` begins, relative to the list's first byte.
    func start(of index: Int) -> UInt64 { index == 0 ? 0 : ends[index - 1] }

    /// The piece that holds the byte at `offset`; the number of pieces if that lies beyond them.
    func index(containing offset: UInt64) -> Int {
        var low = 0
        var high = ends.count
        while low < high {
            let middle = (low + high) / 2
            if ends[middle] <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
