package import Base
package import Chunks
internal import Glibc
internal import Synchronization

/// Chunks in append-only pack files, found through a table in memory. Thread-safe.
///
/// A read takes a short lock to find the place and none while it reads. Appends take turns. A pack
/// that has reached its size is sealed by the next `sync`, after its records are on the disk; a pack
/// without a seal is scanned when the store is opened, and a record that was not written in full
/// before a crash is cut off with all that follows it.
package final class PackStore: ChunkStorage {
    package enum Limits {
        /// A record that would end beyond this opens the next pack, in bytes.
        package static let packSizeMax = 64 << 20
        /// Records of one pack: bounds its index.
        static let packRecordsMax = 1 << 16
        /// Sealed packs kept open for reading.
        static let openPacksMax = 256
        /// Packs full and not sealed: an append that finds more of them syncs.
        static let fullPacksMax = 8
        /// So many stay unsealed if syncs fail: then appends fail too.
        static let fullPacksLimit = SyncMarks.countMax - 4
        /// A pack is rewritten when this part of its bytes, in percent, is no longer wanted.
        static let wastePercentMax: UInt64 = 25
    }

    /// What is known of one pack that is not being changed.
    struct Pack {
        var name: PackName
        /// Of the file, in bytes; for an unsealed pack what it was when last looked at.
        var size: UInt64
        var file: PackFile?
        /// Whether the file stays open: it has no seal yet.
        var isPinned: Bool
        /// Of the file that has the payloads, if that is another: its sequence number.
        var data: UInt64?
        var lastUse: UInt64 = 0
    }

    /// What readers need: never held across input or output.
    struct Index {
        var table = ChunkTable()
        /// Places are reused after a pack is gone.
        var packs: [Pack?] = []
        var bytes: UInt64 = 0
        var openCount = 0
        var uses: UInt64 = 0
        /// Addresses that anyone appended or asked for during a collection; nil without one.
        var touched: Set<Bytes32>?
        /// Appended since the last sync began, and what that one is to make durable.
        var unsynced: Set<Bytes32> = []
        var syncing: Set<Bytes32> = []
        var damages: [String] = []
        /// Those that no seal or record tells the end of.
        var damagedPacks: [PackName] = []
        var released: [Released] = []
    }

    /// What appends change: held while a record is written.
    struct Appender: ~Copyable {
        var active: UnsealedPack?
        /// Full, to be sealed by the next sync.
        var full: [UnsealedPack] = []
        var nextSequence: UInt64 = 1
        var marks: SyncMarks
        /// Whether a pack file was made since the directory was last synced.
        var hasNewFiles = false

        init(marks: consuming SyncMarks) { self.marks = marks }

        func unsealedMarks() -> [SyncMarks.Mark] {
            (full + [active].compactMap { $0 }).map {
                SyncMarks.Mark(number: $0.number, syncedBytes: $0.syncedBytes)
            }
        }
    }

    let directory: Directory
    let packSizeMax: Int
    // Locks are taken in this order.
    let collection = Mutex(())
    private let gate = SyncGate()
    let appender: Mutex<Appender>
    let index: Mutex<Index>

    /// Opens the packs in a directory, making it (mode 0700) if there is none.
    ///
    /// Damage stops nothing: what can be read is, and `damages` tells the rest.
    ///
    /// - Parameter packSizeMax: smaller than usual in tests.
    package convenience init(directory path: String, packSizeMax: Int = Limits.packSizeMax)
        throws(StorageError)
    {
        try self.init(in: Directory(path: path), packSizeMax: packSizeMax)
    }

    init(in directory: Directory, packSizeMax: Int = Limits.packSizeMax) throws(StorageError) {
        precondition(packSizeMax <= ChunkTable.Location.offsetMax)
        self.directory = directory
        self.packSizeMax = packSizeMax
        var marks = try SyncMarks(in: directory)
        // The marks' file may be new.
        try directory.sync()
        var loader = PackLoader(directory: directory, marks: try marks.load())
        try loader.load()
        let unsealed = loader.unsealed
        var index = loader.index
        for pack in unsealed {
            for entry in pack.entries where UInt64(entry.offset) >= pack.syncedBytes {
                index.unsynced.insert(entry.address)
            }
        }
        var appender = Appender(marks: marks)
        appender.nextSequence = loader.nextSequence
        // The newest goes on; there is more than one only after a crash.
        appender.active = unsealed.last
        appender.full = Array(unsealed.dropLast())
        // Files whose directory entry may never have been synced.
        appender.hasNewFiles = !unsealed.isEmpty
        self.appender = Mutex(appender)
        self.index = Mutex(index)
    }

    /// What was found damaged since the store was opened: file, place and what to do.
    package var damages: [String] { index.withLock { $0.damages } }

    // MARK: Reading

    package func contains(_ address: Bytes32) -> Bool {
        index.withLock { index in
            guard index.table[address] != nil else { return false }
            index.touched?.insert(address)
            return true
        }
    }

    package func isDurable(_ address: Bytes32) -> Bool {
        index.withLock { index in
            index.table[address] != nil && !index.unsynced.contains(address)
                && !index.syncing.contains(address)
        }
    }

    package func reference(of address: Bytes32) throws(StorageError) -> ChunkReference? {
        guard let (location, file) = try locate(address) else { return nil }
        let header = try file.recordHeader(payloadOffset: location.offset)
        guard header.reference.address == address else {
            throw file.damaged("chunk \(address) at byte \(location.offset)")
        }
        return header.reference
    }

    package func read(
        _ address: Bytes32, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(StorageError) -> Int? {
        guard let (location, file) = try locate(address) else { return nil }
        guard offset >= 0, offset < location.length else { return 0 }
        let wanted = min(location.length - offset, buffer.count)
        // The slice lies within the caller's buffer.
        let slice = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
        let count = try unsafe file.readPayload(at: location.offset + offset, into: slice)
        guard count == wanted else {
            throw file.damaged("chunk \(address) at byte \(location.offset): the end is missing")
        }
        return count
    }

    package func stored(_ address: Bytes32, at offset: Int, count: Int) throws(StorageError)
        -> StoredRange?
    {
        guard let (location, file) = try locate(address), offset >= 0, count > 0,
            offset + count <= location.length
        else { return nil }
        return try file.stored(payloadAt: location.offset + offset, count: count)
    }

    /// Where a chunk is, and its pack's file, open.
    private func locate(_ address: Bytes32) throws(StorageError) -> (ChunkTable.Location, PackFile)?
    {
        while true {
            enum Found {
                case open(ChunkTable.Location, PackFile)
                case closed(PackName, pack: Int)
            }
            let found = index.withLock { index -> Found? in
                guard let location = index.table[address], let pack = index.packs[location.pack]
                else { return nil }
                index.touched?.insert(address)
                guard let file = pack.file else { return .closed(pack.name, pack: location.pack) }
                index.noteUse(of: location.pack)
                return .open(location, file)
            }
            switch found {
            case nil: return nil
            case .open(let location, let file): return (location, file)
            case .closed(let name, let number):
                // A collection may have removed the file meanwhile, and moved the chunk: look again.
                guard let opened = try PackFile.open(name, in: directory) else {
                    try checkIsGone(name, number)
                    continue
                }
                index.withLock { $0.opened(opened, pack: number, named: name) }
            }
        }
    }

    /// - Throws: if a pack that should be there is not.
    private func checkIsGone(_ name: PackName, _ number: Int) throws(StorageError) {
        guard index.withLock({ $0.packs[number]?.name != name }) else {
            throw .corrupt(
                what: "\(directory.path)/\(name.fileName) is missing: run `holdfast check"
                    + " --rebuild`, which has its chunks fetched again from other members")
        }
    }

    package var statistics: ChunkStatistics {
        index.withLock { index in
            ChunkStatistics(
                chunks: index.table.count, bytes: index.bytes,
                packs: index.packs.count { $0 != nil })
        }
    }

    // MARK: Appending

    package func append(_ reference: ChunkReference, plaintext: Span<UInt8>) throws(StorageError) {
        precondition(plaintext.count == Int(reference.length), "\(plaintext.count) bytes")
        guard plaintext.count <= ChunkLimits.chunkSizeMax else {
            throw .of(code: EFBIG, "storing chunk \(reference.address)")
        }
        guard !contains(reference.address) else { return }
        let checksum = PackFormat.checksum(plaintext)
        try append(reference, checksum: checksum, payload: plaintext) { index in
            index.touched?.insert(reference.address)
            // Another thread may have brought it meanwhile.
            return index.table[reference.address] == nil
        }
    }

    /// Appends a record to the active pack if it is needed, and points the table to it.
    ///
    /// - Returns: whether it was.
    @discardableResult
    func append(
        _ reference: ChunkReference, checksum: UInt64, payload: Span<UInt8>,
        where isNeeded: (inout Index) -> Bool
    ) throws(StorageError) -> Bool {
        let size = UInt64(PackFormat.recordHeaderSize + payload.count)
        let fullPacks = try appender.withLock { (appender) throws(StorageError) -> Int? in
            guard index.withLock({ isNeeded(&$0) }) else { return nil }
            // A sync has failed again and again; the marks have no room for more.
            guard appender.full.count < Limits.fullPacksLimit else {
                throw .io(code: EIO, action: "sealing the packs of \(directory.path)")
            }
            if let active = appender.active,
                active.end + size > UInt64(packSizeMax)
                    || active.entries.count >= Limits.packRecordsMax
            {
                appender.roll()
            }
            if appender.active == nil { try addPack(&appender) }
            guard
                let location = try appender.active?.append(
                    reference, checksum: checksum, payload: payload)
            else { return nil }
            index.withLock { index in
                index.insert(reference.address, at: location)
                index.unsynced.insert(reference.address)
            }
            return appender.full.count
        }
        guard let fullPacks else { return false }
        if fullPacks > Limits.fullPacksMax { try sync() }
        return true
    }

    /// Makes the file of the next pack, with its header and its mark.
    private func addPack(_ appender: inout Appender) throws(StorageError) {
        let name = PackName(sequence: appender.nextSequence)
        let number = UInt64.random(in: .min ... .max)
        let file = PackFile(try directory.file(name.fileName, O_RDWR | O_CREAT | O_EXCL))
        appender.nextSequence += 1
        appender.hasNewFiles = true
        // On the disk before its mark: after a crash a pack with a mark has its header, and one without has no
        // record.
        try file.descriptor.write(PackFormat.encodeHeader(number: number).span, at: 0)
        try file.descriptor.syncData()
        try appender.marks.store(
            appender.unsealedMarks() + [SyncMarks.Mark(number: number, syncedBytes: 0)])
        try appender.marks.sync()
        let pack = Pack(
            name: name, size: UInt64(PackFormat.headerSize), file: file, isPinned: true)
        guard let place = index.withLock({ $0.add(pack) }) else {
            throw .of(code: EMFILE, "adding a pack to \(directory.path)")
        }
        appender.active = UnsealedPack(name: name, number: number, file: file, place: place)
    }

    // MARK: Syncing

    package func sync() throws(StorageError) {
        try gate.pass { () throws(StorageError) in try syncAll() }
    }

    /// Called by one thread at a time, through the gate.
    private func syncAll() throws(StorageError) {
        struct Work {
            var active: (file: PackFile, place: Int, end: UInt64)?
            var full: [UnsealedPack]
            var hasNewFiles: Bool
        }
        let work = appender.withLock { appender in
            index.withLock { $0.beginSync() }
            // The active pack's entries are not copied: it goes on growing.
            return Work(
                active: appender.active.flatMap {
                    $0.isDirty ? ($0.file, $0.place, $0.end) : nil
                },
                full: appender.full, hasNewFiles: appender.takeHasNewFiles())
        }
        var isDone = false
        defer { index.withLock { $0.endSync(isDone: isDone) } }
        guard work.active != nil || !work.full.isEmpty || work.hasNewFiles else {
            isDone = true
            return
        }
        do throws(StorageError) {
            if work.hasNewFiles { try directory.sync() }
            for pack in work.full { try seal(pack) }
            try work.active?.file.descriptor.syncData()
            isDone = true
        } catch {
            appender.withLock { $0.hasNewFiles = $0.hasNewFiles || work.hasNewFiles }
            throw error
        }
        try appender.withLock { (appender) throws(StorageError) in
            let sealed = Set(work.full.map(\.place))
            appender.full.removeAll { sealed.contains($0.place) }
            if let done = work.active { appender.synced(done.place, to: done.end) }
            try appender.marks.store(appender.unsealedMarks())
        }
    }

    private func seal(_ pack: UnsealedPack) throws(StorageError) {
        // The seal says that the records are whole, so they are synced before it is written.
        if pack.isDirty { try pack.file.descriptor.syncData() }
        let size = try pack.seal()
        try pack.file.descriptor.syncData()
        index.withLock { $0.sealed(pack.place, size: size) }
    }
}

extension PackStore.Appender {
    /// Makes the active pack a full one: the next append begins another.
    mutating func roll() {
        guard let pack = active else { return }
        full.append(pack)
        active = nil
    }

    fileprivate mutating func takeHasNewFiles() -> Bool {
        defer { hasNewFiles = false }
        return hasNewFiles
    }

    /// The pack may have become full since its sync began.
    fileprivate mutating func synced(_ place: Int, to end: UInt64) {
        if active?.place == place { active?.syncedBytes = end }
        for index in full.indices where full[index].place == place { full[index].syncedBytes = end }
    }
}

extension PackStore.Index {
    /// - Returns: the pack's place; nil if there are too many.
    mutating func add(_ pack: PackStore.Pack) -> Int? {
        if let place = packs.firstIndex(where: { $0 == nil }) {
            packs[place] = pack
            return place
        }
        guard packs.count < ChunkTable.Location.packsMax else { return nil }
        packs.append(pack)
        return packs.count - 1
    }

    mutating func beginSync() { swap(&unsynced, &syncing) }

    mutating func endSync(isDone: Bool) {
        if !isDone { unsynced.formUnion(syncing) }
        syncing = []
    }

    mutating func insert(_ address: Bytes32, at location: ChunkTable.Location) {
        let old = table.insert(address, at: location)
        bytes += UInt64(location.length)
        bytes -= UInt64(old?.length ?? 0)
    }

    mutating func remove(_ address: Bytes32) {
        bytes -= UInt64(table[address]?.length ?? 0)
        table.remove(address)
    }

    mutating func noteUse(of pack: Int) {
        uses += 1
        packs[pack]?.lastUse = uses
    }

    /// Keeps a sealed pack's file open, closing another if there are too many.
    mutating func opened(_ file: PackFile, pack: Int, named name: PackName) {
        guard packs[pack]?.name == name, packs[pack]?.file == nil else { return }
        packs[pack]?.file = file
        openCount += 1
        noteUse(of: pack)
        closeLeastUsed()
    }

    /// The pack's file may be closed from now on.
    mutating func sealed(_ pack: Int, size: UInt64) {
        guard packs[pack]?.isPinned == true else { return }
        packs[pack]?.size = size
        packs[pack]?.isPinned = false
        openCount += 1
        closeLeastUsed()
    }

    private mutating func closeLeastUsed() {
        guard openCount > PackStore.Limits.openPacksMax else { return }
        var oldest: Int?
        for (place, pack) in packs.enumerated() {
            guard let pack, pack.file != nil, !pack.isPinned else { continue }
            if let known = oldest, pack.lastUse >= packs[known]?.lastUse ?? 0 { continue }
            oldest = place
        }
        // Readers that still use the file hold it open themselves.
        guard let oldest else { return }
        packs[oldest]?.file = nil
        openCount -= 1
    }
}
