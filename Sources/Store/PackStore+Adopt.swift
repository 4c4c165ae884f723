package import Base
package import Chunks
internal import CLinux
internal import Glibc
internal import Synchronization

// Chunks whose bytes are on the disk already: a staging file becomes a data file of the store, under a
// second name, and packs beside it say what stands where. Nothing is written twice.
extension PackStore {
    package func adopt(_ chunks: [InPlaceChunk], of file: any AdoptableFile) throws(StorageError)
        -> Bool
    {
        guard let file = file as? SparseFile else { return false }
        let wanted = index.withLock { index in
            chunks.filter { chunk in
                index.touched?.insert(chunk.reference.address)
                return index.table[chunk.reference.address] == nil
            }
        }
        guard !wanted.isEmpty else { return true }
        let spans = AdoptedPack.spans(of: wanted)
        let sequence = appender.withLock { appender in
            defer { appender.nextSequence += UInt64(spans.count) + 1 }
            return appender.nextSequence
        }
        // Before anything says that they are there.
        try file.sync()
        guard let data = try file.link(into: directory, orAs: sequence) else { return false }
        try directory.sync()
        var packs: [(pack: Pack, entries: [PackFormat.Entry])] = []
        for (number, span) in spans.enumerated() {
            let name = PackName(sequence: sequence + 1 + UInt64(number))
            let encoded = AdoptedPack.encode(
                span, data: data, number: .random(in: .min ... .max))
            try directory.replace(name.fileName, with: encoded.bytes)
            let payload = span.reduce(0) { $0 + UInt64($1.reference.length) }
            let pack = Pack(
                name: name, size: UInt64(encoded.bytes.count) + payload, file: nil,
                isPinned: false, data: data)
            packs.append((pack, encoded.entries))
        }
        let isFull = index.withLock { index in
            packs.contains { !index.adopted($0.pack, with: $0.entries) }
        }
        if isFull { throw .of(code: EMFILE, "adding a pack to \(directory.path)") }
        return true
    }

    /// Gives back what a pack that is gone had in a data file: all of it if no other pack has anything
    /// there, else with the next collection. Who has looked a chunk up just now may still read it.
    func release(_ entries: [PackFormat.Entry], of adopted: AdoptedPack) throws(StorageError) {
        let isUsed = index.withLock { index in
            let isUsed = index.packs.contains { $0?.data == adopted.data }
            if isUsed {
                index.released.append(
                    Released(
                        data: adopted.data,
                        ranges: entries.map { adopted.range(of: $0) }))
            }
            return isUsed
        }
        if !isUsed { try directory.remove(DataName(sequence: adopted.data).fileName) }
    }

    /// Gives back what earlier collections released.
    func punchReleased() throws(StorageError) {
        let released = index.withLock { index in
            defer { index.released = [] }
            return index.released
        }
        for part in released {
            let name = DataName(sequence: part.data).fileName
            guard let file = try directory.existingFile(name, O_RDWR) else { continue }
            // Others may have made a link for themselves; what is a staging file yet can wait.
            guard try file.status().st_nlink == 1 else { continue }
            for range in part.ranges { try file.punchHole(range) }
        }
    }

    /// Ranges of a data file that no pack names any more.
    struct Released {
        let data: UInt64
        let ranges: [Range<UInt64>]
    }
}

extension PackStore.Index {
    /// - Returns: false if there are too many packs.
    fileprivate mutating func adopted(_ pack: PackStore.Pack, with entries: [PackFormat.Entry])
        -> Bool
    {
        guard let place = add(pack) else { return false }
        for entry in entries {
            touched?.insert(entry.address)
            insert(entry.address, at: entry.location(in: place))
        }
        return true
    }
}
