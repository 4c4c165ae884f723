/// Numbers for pieces: equal bytes, equal number. Numbers count from 0 in the order of first sight.
struct SymbolTable {
    private let bytes: [UInt8]
    /// Where each symbol was first seen.
    private var firsts: [Piece] = []
    private var hashes: [UInt64] = []
    /// Open addressing: a symbol's number plus 1, 0 for a free place. A power of two, at most half full.
    private var places: [UInt32]
    private let seed: UInt64

    /// - Parameter pieces: how many there will be at most.
    init(_ bytes: [UInt8], pieces: Int) {
        self.bytes = bytes
        var size = 16
        while size < pieces * 2 { size *= 2 }
        places = [UInt32](repeating: 0, count: size)
        firsts.reserveCapacity(pieces)
        hashes.reserveCapacity(pieces)
        // Another one in each process, so that nobody can prepare collisions; no result depends on it.
        seed = UInt64(bitPattern: Int64(Hasher().finalize()))
    }

    var count: Int { firsts.count }

    mutating func symbols(for pieces: [Piece]) -> [UInt32] {
        var symbols: [UInt32] = []
        symbols.reserveCapacity(pieces.count)
        for piece in pieces { symbols.append(symbol(for: piece)) }
        return symbols
    }

    private mutating func symbol(for piece: Piece) -> UInt32 {
        let hash = hash(piece)
        var place = Int(truncatingIfNeeded: hash) & (places.count - 1)
        while true {
            let known = places[place]
            if known == 0 {
                places[place] = UInt32(firsts.count + 1)
                firsts.append(piece)
                hashes.append(hash)
                return UInt32(firsts.count - 1)
            }
            let symbol = Int(known - 1)
            if hashes[symbol] == hash, isEqual(firsts[symbol], piece) { return known - 1 }
            place = (place + 1) & (places.count - 1)
        }
    }

    private func isEqual(_ left: Piece, _ right: Piece) -> Bool {
        let count = Int(left.end - left.start)
        guard count == Int(right.end - right.start) else { return false }
        let span = bytes.span
        var (first, second, left) = (Int(left.start), Int(right.start), count)
        while left >= 8 {
            guard span.word(at: first) == span.word(at: second) else { return false }
            first += 8
            second += 8
            left -= 8
        }
        for offset in 0..<left where span[first + offset] != span[second + offset] { return false }
        return true
    }

    private func hash(_ piece: Piece) -> UInt64 {
        let span = bytes.span
        var hash = seed ^ UInt64(UInt32(bitPattern: piece.end - piece.start))
        var (index, end) = (Int(piece.start), Int(piece.end))
        while index + 8 <= end {
            hash = mix(hash ^ span.word(at: index))
            index += 8
        }
        var tail: UInt64 = 0
        while end > index {
            end -= 1
            tail = tail << 8 | UInt64(span[end])
        }
        return mix(mix(hash ^ tail) ^ seed)
    }

    private func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return product.high ^ product.low
    }
}
