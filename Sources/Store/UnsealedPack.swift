internal import Base
internal import Chunks

/// A pack that has no seal yet, and what sealing it takes.
struct UnsealedPack {
    let name: PackName
    /// The random number in its header.
    let number: UInt64
    let file: PackFile
    /// Its place in the store's array of packs.
    let place: Int
    /// Where the next record begins.
    private(set) var end: UInt64
    /// In the order of the records.
    private(set) var entries: [PackFormat.Entry]
    /// How much a finished sync covers.
    var syncedBytes: UInt64
    /// Whether part of a record that could not be written stands at the end of the file.
    private var hasTornEnd = false

    init(
        name: PackName, number: UInt64, file: PackFile, place: Int,
        entries: [PackFormat.Entry] = [], syncedBytes: UInt64 = 0
    ) {
        self.name = name
        self.number = number
        self.file = file
        self.place = place
        self.entries = entries
        self.syncedBytes = syncedBytes
        end =
            entries.last.map { UInt64($0.offset) + UInt64($0.length) }
            ?? UInt64(PackFormat.headerSize)
    }

    var isDirty: Bool { syncedBytes < end }

    /// Appends a record. After an error all is as if nothing had been tried.
    mutating func append(
        _ reference: ChunkReference, checksum: UInt64, payload: Span<UInt8>
    ) throws(StorageError) -> ChunkTable.Location {
        var header: [UInt8] = []
        PackFormat.encode(
            PackFormat.RecordHeader(reference: reference, checksum: checksum), into: &header)
        let payloadStart = end + UInt64(header.count)
        // Bytes of a longer record must not stand behind a shorter one: they could pass for records.
        if hasTornEnd { try file.descriptor.truncate(to: end) }
        hasTornEnd = true
        try file.descriptor.write(header.span, at: end)
        try file.descriptor.write(payload, at: payloadStart)
        hasTornEnd = false
        let entry = PackFormat.Entry(
            address: reference.address, offset: UInt32(payloadStart), length: reference.length)
        entries.append(entry)
        end = payloadStart + UInt64(payload.count)
        return entry.location(in: place)
    }

    /// Writes the index and the trailer. Nothing may be appended any more; not synced yet.
    ///
    /// - Returns: the size of the file.
    func seal() throws(StorageError) -> UInt64 {
        let seal = PackFormat.encodeSeal(entries, at: end, number: number)
        if hasTornEnd { try file.descriptor.truncate(to: end) }
        try file.descriptor.write(seal.span, at: end)
        return end + UInt64(seal.count)
    }
}
