internal import Base
internal import Chunks
internal import Glibc

/// Reads the packs of a directory into an index, cuts torn ends off and takes note of damage.
struct PackLoader: ~Copyable {
    private let directory: Directory
    private let marks: [SyncMarks.Mark]
    private(set) var index = PackStore.Index()
    /// In the order they were begun.
    private(set) var unsealed: [UnsealedPack] = []
    private(set) var nextSequence: UInt64 = 1

    init(directory: Directory, marks: [SyncMarks.Mark]) {
        self.directory = directory
        self.marks = marks
    }

    mutating func load() throws(StorageError) {
        let names = try directory.names().compactMap { PackName(fileName: $0) }
        for name in names.sorted(by: { $0.sequence < $1.sequence }) {
            nextSequence = max(nextSequence, name.sequence &+ 1)
            do throws(StorageError) {
                try load(name)
            } catch .corrupt(let what) {
                index.damages.append(what)
                index.damagedPacks.append(name)
            }
        }
    }

    private mutating func load(_ name: PackName) throws(StorageError) {
        let file = PackFile(try directory.file(name.fileName, O_RDWR))
        let size = try file.descriptor.size()
        guard let number = try file.number() else {
            // Made just before a crash: nothing was in it.
            return try directory.remove(name.fileName)
        }
        if case .whole(let entries) = try file.seal(number: number, size: size) {
            let pack = PackStore.Pack(name: name, size: size, file: nil, isPinned: false)
            try add(pack, with: entries)
        } else {
            try scan(file, named: name, number: number, size: size)
        }
    }

    /// Walks through the records of a pack without a seal that can be read.
    private mutating func scan(_ file: PackFile, named name: PackName, number: UInt64, size: UInt64)
        throws(StorageError)
    {
        let mark = marks.first { $0.number == number }
        let synced = min(mark?.syncedBytes ?? 0, size)
        // What a sync covered is whole, and checked by `verify`; the rest may be torn.
        let entries = try file.scan(size: size, checkedFrom: synced)
        let pack = PackStore.Pack(name: name, size: size, file: file, isPinned: true)
        let place = try add(pack, with: entries)
        let unsealed = UnsealedPack(
            name: name, number: number, file: file, place: place, entries: entries,
            syncedBytes: synced)
        guard mark != nil, unsealed.end >= synced else {
            // It was sealed once, or a sync covered more: rot, not a torn end. What follows may be
            // whole, so nothing is cut off and nothing overwritten.
            index.damages.append(
                "\(file.descriptor.path) is damaged from byte \(unsealed.end) on; the chunks before"
                    + " were found; run `holdfast check --rebuild`, which has the others fetched"
                    + " again from other members")
            index.damagedPacks.append(name)
            index.sealed(place, size: size)
            return
        }
        if unsealed.end < size { try file.descriptor.truncate(to: unsealed.end) }
        self.unsealed.append(unsealed)
    }

    /// A chunk that is in two packs, after an interrupted collection, counts in the later one.
    @discardableResult
    private mutating func add(_ pack: PackStore.Pack, with entries: [PackFormat.Entry])
        throws(StorageError) -> Int
    {
        guard let place = index.add(pack) else {
            throw .of(code: EMFILE, "adding a pack to \(directory.path)")
        }
        for entry in entries { index.insert(entry.address, at: entry.location(in: place)) }
        return place
    }
}
