package import Base

/// Which chunks contents need: the rule of collection. What no content of the view (and of the
/// history that is kept) names may go.
///
/// One walk goes through many contents; lists that several of them share are read once. Its memory
/// is one address for each list chunk seen.
package struct ReferenceWalk {
    private let storage: any ChunkStorage
    private let closed: Set<Bytes32>
    private var seenLists: Set<Bytes32> = []
    /// List chunks that were not here: what they name is not known.
    package private(set) var missingLists: [ChunkReference] = []

    /// - Parameter closed: list chunks that are not read, here or not.
    package init(_ storage: any ChunkStorage, closed: Set<Bytes32> = []) {
        self.storage = storage
        self.closed = closed
    }

    /// Calls `body` for every chunk that `content` needs, lists included, reading one list of each
    /// level at a time. A chunk may come more than once.
    ///
    /// - Throws: `corrupt` for a list chunk whose bytes have changed; references may then have been
    ///   left out, so nothing must be collected. What `body` throws ends the walk.
    package mutating func forEachReference(
        in content: Content, _ body: (ChunkReference) throws(StorageError) -> Void
    ) throws(StorageError) {
        switch content {
        case .inline: return
        case .pieces(let pieces): try visit(pieces, level: 0, body)
        case .tree(let depth, let root, _): try visit(root, level: Int(depth), body)
        }
    }

    private mutating func visit(
        _ pieces: [Piece], level: Int, _ body: (ChunkReference) throws(StorageError) -> Void
    ) throws(StorageError) {
        for piece in pieces {
            guard let reference = piece.reference else { continue }
            try body(reference)
            guard level > 0, !closed.contains(reference.address),
                seenLists.insert(reference.address).inserted
            else { continue }
            var bytes: [UInt8] = []
            guard try storage.readAll(reference, into: &bytes) else {
                missingLists.append(reference)
                continue
            }
            guard
                let below = try? ListChunk.decode(bytes.span, level: level - 1, piece: piece)
            else {
                try checkUnchanged(bytes.span, reference)
                continue
            }
            try visit(below, level: level - 1, body)
        }
    }

    /// An intact chunk that is no list was made so by a writer who broke the rules: no device can
    /// read what it stands for, so it keeps nothing alive. A changed one must stop the collection.
    private func checkUnchanged(_ bytes: Span<UInt8>, _ reference: ChunkReference)
        throws(StorageError)
    {
        var ciphertext: [UInt8] = []
        do {
            try ChunkCipher.seal(bytes, as: reference, into: &ciphertext)
        } catch {
            throw .corrupt(what: "list chunk \(reference.address): its bytes have changed on disk")
        }
    }
}
