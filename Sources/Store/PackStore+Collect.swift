package import Base
internal import Chunks
internal import Glibc
internal import Synchronization

// Space is given back a pack at a time: what is still wanted of a pack is appended to the active one and
// synced, then the file goes. A crash in between leaves chunks in two packs, which costs space only.
extension PackStore {
    /// Drops the chunks that `keeping` refuses. Those appended, read or asked for during the run stay.
    ///
    /// Packs with few unwanted bytes are not rewritten; what is dropped in them takes space until
    /// they are, and is found again when the store is opened anew.
    ///
    /// - Parameter keeping: must say yes to everything that anyone who calls `append` or `contains`
    ///   before the run is about to refer to. Called without a lock.
    package func collect(keeping: (Bytes32) -> Bool) throws(StorageError) -> UInt64 {
        try collection.withLock { _ throws(StorageError) in
            try punchReleased()
            index.withLock { $0.touched = [] }
            defer { index.withLock { $0.touched = nil } }
            return try collectAll(keeping)
        }
    }

    /// Removes damaged chunks, so that they count as missing and can be fetched again.
    package func discard(_ addresses: Set<Bytes32>) throws(StorageError) {
        try collection.withLock { _ throws(StorageError) in
            appender.withLock { $0.roll() }
            try sync()
            for place in places() {
                guard let (pack, entries) = try sealedPack(at: place) else { continue }
                guard entries.contains(where: { addresses.contains($0.address) }) else { continue }
                _ = try rewrite(pack, entries) { !addresses.contains($0) }
            }
            // Those in packs that cannot be rewritten.
            index.withLock { index in
                for address in addresses.sorted() {
                    if let location = index.table[address] { index.remove(address, at: location) }
                }
            }
        }
    }

    private func collectAll(_ keeping: (Bytes32) -> Bool) throws(StorageError) -> UInt64 {
        if let active = appender.withLock({ $0.active }) {
            let waste = waste(in: active.entries, keeping, place: active.place)
            if waste.isTooMuch {
                appender.withLock { appender in
                    if appender.active?.place == active.place { appender.roll() }
                }
            } else {
                drop(waste.unwanted, from: active.place)
            }
        }
        try sync()
        var freed: UInt64 = 0
        for place in places() {
            guard let (pack, entries) = try sealedPack(at: place) else { continue }
            let waste = waste(in: entries, keeping, place: place)
            if waste.isTooMuch {
                freed += try rewrite(pack, entries, keeping: keeping)
            } else {
                drop(waste.unwanted, from: place)
            }
        }
        return freed
    }

    private struct Waste {
        var unwanted: [PackFormat.Entry] = []
        var unwantedBytes: UInt64 = 0
        var bytes: UInt64 = 0

        var isTooMuch: Bool {
            unwantedBytes > 0 && unwantedBytes * 100 > bytes * Limits.wastePercentMax
        }
    }

    private func waste(
        in entries: [PackFormat.Entry], _ keeping: (Bytes32) -> Bool, place: Int
    ) -> Waste {
        var waste = Waste()
        let isHere = index.withLock { index in
            entries.map { index.table[$0.address] == $0.location(in: place) }
        }
        for (entry, isHere) in zip(entries, isHere) {
            let size = UInt64(PackFormat.recordHeaderSize) + UInt64(entry.length)
            waste.bytes += size
            if isHere && keeping(entry.address) { continue }
            waste.unwanted.append(entry)
            waste.unwantedBytes += size
        }
        return waste
    }

    private func drop(_ entries: [PackFormat.Entry], from place: Int) {
        index.withLock { index in
            for entry in entries where !index.isTouched(entry.address) {
                index.remove(entry.address, at: entry.location(in: place))
            }
        }
    }

    // MARK: One pack

    struct OpenPack {
        var place: Int
        var name: PackName
        var size: UInt64
        var file: PackFile
    }

    func places() -> [Int] {
        index.withLock { index in index.packs.indices.filter { index.packs[$0] != nil } }
    }

    /// - Returns: nil if the pack is gone or has no seal that can be read: it stays as it is.
    private func sealedPack(at place: Int) throws(StorageError)
        -> (OpenPack, [PackFormat.Entry])?
    {
        guard let pack = index.withLock({ $0.packs[place] }), !pack.isPinned else { return nil }
        // A descriptor of its own: nothing else removes files while the collection's lock is held.
        guard let file = try PackFile.open(pack.name, in: directory),
            let entries = try sealedEntries(of: file)
        else { return nil }
        return (OpenPack(place: place, name: pack.name, size: pack.size, file: file), entries)
    }

    /// Moves what is wanted of a pack to the active one, then removes the file.
    ///
    /// - Returns: the bytes freed; 0 if a wanted chunk could not be read, and all stays.
    private func rewrite(
        _ pack: OpenPack, _ entries: [PackFormat.Entry], keeping: (Bytes32) -> Bool
    ) throws(StorageError) -> UInt64 {
        var movedBytes: UInt64 = 0
        var wanted = entries.filter { keeping($0.address) }
        repeat {
            for entry in wanted {
                do throws(StorageError) {
                    movedBytes += try move(entry, from: pack)
                } catch .corrupt(let what) {
                    index.withLock { $0.damages.append(what) }
                    return 0
                }
            }
            // Durable at the new place before it goes from the old one.
            if !wanted.isEmpty { try sync() }
            // Those that someone came to rely on meanwhile are moved, too.
            wanted = index.withLock { $0.remove(entries, place: pack.place) }
        } while !wanted.isEmpty
        try directory.remove(pack.name.fileName)
        try directory.sync()
        if let adopted = pack.file.adopted { try release(entries, of: adopted) }
        return pack.size > movedBytes ? pack.size - movedBytes : 0
    }

    /// - Returns: the bytes appended; 0 if the chunk was not here any more.
    func move(_ entry: PackFormat.Entry, from pack: OpenPack) throws(StorageError)
        -> UInt64
    {
        let location = entry.location(in: pack.place)
        guard index.withLock({ $0.table[entry.address] == location }) else { return 0 }
        let (header, payload) = try pack.file.record(payloadOffset: location.offset)
        guard header.reference.address == entry.address, header.payloadSize == location.length
        else { throw pack.file.damaged("chunk \(entry.address) at byte \(location.offset)") }
        let isMoved = try append(
            header.reference, checksum: header.checksum, payload: payload.span
        ) { $0.table[entry.address] == location }
        return isMoved ? UInt64(PackFormat.recordHeaderSize + payload.count) : 0
    }
}

extension PackStore.Index {
    func isTouched(_ address: Bytes32) -> Bool { touched?.contains(address) ?? false }

    /// Removes a chunk unless it has moved.
    mutating func remove(_ address: Bytes32, at location: ChunkTable.Location) {
        guard table[address] == location else { return }
        bytes -= UInt64(location.length)
        table.remove(address)
    }

    /// Forgets a pack, and what of it has not moved.
    mutating func forget(_ entries: [PackFormat.Entry], of place: Int) {
        for entry in entries { remove(entry.address, at: entry.location(in: place)) }
        if packs[place]?.file != nil, packs[place]?.isPinned == false { openCount -= 1 }
        packs[place] = nil
    }

    /// Forgets a pack and all that is in it.
    ///
    /// - Returns: what must be moved first; then nothing was done.
    fileprivate mutating func remove(_ entries: [PackFormat.Entry], place: Int)
        -> [PackFormat.Entry]
    {
        let needed = entries.filter {
            isTouched($0.address) && table[$0.address] == $0.location(in: place)
        }
        guard needed.isEmpty else { return needed }
        forget(entries, of: place)
        return []
    }
}
