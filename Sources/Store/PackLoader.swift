internal import Base
internal import Chunks
internal import CLinux
internal import Glibc

/// Reads the packs of a directory into an index, cuts torn ends off and takes note of damage.
struct PackLoader: ~Copyable {
    private let directory: Directory
    private let marks: [SyncMarks.Mark]
    private(set) var index = PackStore.Index()
    /// In the order they were begun.
    private(set) var unsealed: [UnsealedPack] = []
    private(set) var nextSequence: UInt64 = 1
    /// What packs name of data files.
    private var named: [UInt64: [Range<UInt64>]] = [:]

    init(directory: Directory, marks: [SyncMarks.Mark]) {
        self.directory = directory
        self.marks = marks
    }

    mutating func load() throws(StorageError) {
        let names = try directory.names()
        for name in names.compactMap({ PackName(fileName: $0) }).sorted(by: {
            $0.sequence < $1.sequence
        }) {
            nextSequence = max(nextSequence, name.sequence &+ 1)
            do throws(StorageError) {
                try load(name)
            } catch .corrupt(let what) {
                index.damages.append(what)
                index.damagedPacks.append(name)
            }
        }
        try removeLeftovers(names)
    }

    /// What was being made when the power went.
    private mutating func removeLeftovers(_ names: [String]) throws(StorageError) {
        let used = Set(index.packs.compactMap { $0?.data })
        for name in names {
            if name.hasSuffix(PackName.suffix + Directory.temporarySuffix) {
                try directory.remove(name)
            }
            guard let data = DataName(fileName: name) else { continue }
            nextSequence = max(nextSequence, data.sequence &+ 1)
            // A pack that cannot be read may be whose it is.
            guard index.damages.isEmpty else { continue }
            if used.contains(data.sequence) {
                try trim(data, to: named[data.sequence] ?? [])
            } else {
                try directory.remove(name)
            }
        }
    }

    /// Gives back the space of what no pack names: chunks that a collection dropped, and what a crash
    /// kept from being given back.
    private func trim(_ data: DataName, to ranges: [Range<UInt64>]) throws(StorageError) {
        guard let file = try directory.existingFile(data.fileName, O_RDWR) else { return }
        let status = try file.status()
        // A staging file yet: what no pack names may be in no version.
        guard status.st_nlink == 1 else { return }
        let namedBytes = ranges.reduce(0) { $0 + UInt64($1.count) }
        guard UInt64(status.st_blocks) * 512 > namedBytes + Self.trimmedBytesMin else { return }
        var end: UInt64 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if end < range.lowerBound { try file.punchHole(end..<range.lowerBound) }
            end = max(end, range.upperBound)
        }
        if end < UInt64(status.st_size) { try file.truncate(to: end) }
    }

    /// Less is not worth looking for.
    private static let trimmedBytesMin: UInt64 = 1 << 20

    private mutating func load(_ name: PackName) throws(StorageError) {
        guard let file = try PackFile.open(name, in: directory, O_RDWR) else {
            throw .corrupt(
                what:
                    "the data of \(directory.path)/\(name.fileName) is missing: run `holdfast check"
                    + " --rebuild`, which has its chunks fetched again from other members")
        }
        let size = try file.descriptor.size()
        guard let number = try file.number() else {
            // Made just before a crash: nothing was in it.
            return try directory.remove(name.fileName)
        }
        if case .whole(let entries) = try file.seal(number: number, size: size) {
            if let adopted = file.adopted {
                named[adopted.data, default: []] += entries.map { adopted.range(of: $0) }
            }
            let data = file.adopted?.data
            let payload = data == nil ? 0 : entries.reduce(0) { $0 + UInt64($1.length) }
            let pack = PackStore.Pack(
                name: name, size: size + payload, file: nil, isPinned: false, data: data)
            try add(pack, with: entries)
        } else if file.adopted != nil {
            throw file.damaged("the index")
        } else {
            try scan(file, named: name, number: number, size: size)
        }
    }

    /// Walks through the records of a pack without a seal that can be read.
    private mutating func scan(_ file: PackFile, named name: PackName, number: UInt64, size: UInt64)
        throws(StorageError)
    {
        let mark = marks.first { $0.number == number }
        if mark == nil, size == UInt64(PackFormat.headerSize) {
            // A crash came between its header and its mark, and before any record.
            return try directory.remove(name.fileName)
        }
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
