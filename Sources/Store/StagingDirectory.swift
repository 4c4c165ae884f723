package import Base
internal import CLinux
internal import Glibc
package import Share
internal import Synchronization

/// Staging files in one directory, named by their ids. Thread-safe.
package final class StagingDirectory: StagingArea {
    private let directory: Directory
    private let direct = DirectWrites()
    private let journalFile: StagingJournalFile
    package var journal: (any StagingJournal)? { journalFile }

    package convenience init(directory path: String) throws(StorageError) {
        try self.init(in: try Directory(path: path))
    }

    /// - Parameter boot: of the machine; another than it is only in tests.
    init(in directory: Directory, boot: BootID = .current) throws(StorageError) {
        self.directory = directory
        journalFile = try StagingJournalFile(in: directory, boot: boot)
    }

    package func create() throws(StorageError) -> any StagingFile {
        // Random, so that no id comes back while an old record may still name it.
        let id = UInt64.random(in: 1...UInt64(Int64.max))
        let file = try directory.file(Self.name(of: id), O_RDWR | O_CREAT | O_EXCL)
        return SparseFile(file, id: id, in: directory, direct, isNew: true)
    }

    package func open(_ id: UInt64) throws(StorageError) -> any StagingFile {
        guard let file = try directory.existingFile(Self.name(of: id), O_RDWR) else {
            throw .corrupt(
                what: "\(directory.path)/\(Self.name(of: id)), which has changes to a file that"
                    + " were not shared yet, is missing: restore it from a backup, or go on with the"
                    + " file as it was last shared")
        }
        let opened = SparseFile(file, id: id, in: directory, direct, isNew: false)
        guard try opened.isAdopted() else { return opened }
        return try separate(opened)
    }

    /// Puts a copy in the place of a file that the pack store adopted just before the last run ended: what
    /// is its own must not change any more.
    private func separate(_ adopted: SparseFile) throws(StorageError) -> SparseFile {
        let name = Self.name(of: adopted.id)
        let temporary = name + Directory.temporarySuffix
        try directory.remove(temporary)
        let file = try directory.file(temporary, O_RDWR | O_CREAT | O_EXCL)
        let copy = SparseFile(file, id: adopted.id, in: directory, direct, isNew: false)
        try adopted.copy(to: copy)
        try directory.rename(temporary, to: name)
        try directory.sync()
        return copy
    }

    package func removeAll(except kept: Set<UInt64>) throws(StorageError) {
        for name in try directory.names() {
            guard let id = UInt64(name, radix: 16), Self.name(of: id) == name else { continue }
            if !kept.contains(id) { try directory.remove(name) }
        }
    }

    /// Gives files that no record names another name, under which nobody looks for them: they may have
    /// what damaged records were of. Empty ones stay.
    ///
    /// - Returns: the names that they have now.
    func setAside(except kept: Set<UInt64>) throws(StorageError) -> [String] {
        var aside: [String] = []
        for name in try directory.names().sorted() {
            guard let id = UInt64(name, radix: 16), Self.name(of: id) == name, !kept.contains(id),
                let file = try directory.existingFile(name, O_RDONLY), try file.size() > 0
            else { continue }
            try directory.rename(name, to: name + Self.asideEnding)
            aside.append(name + Self.asideEnding)
        }
        if !aside.isEmpty { try directory.sync() }
        return aside
    }

    private static let asideEnding = ".damaged"

    /// Sixteen hexadecimal digits.
    static func name(of id: UInt64) -> String {
        let digits = String(id, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// A staging file.
final class SparseFile: StagingFile {
    let id: UInt64
    private let descriptor: FileDescriptor
    private let directory: Directory
    private let direct: DirectWrites
    /// The file, to write past the page cache: made for the first large write.
    private let directFile = Mutex(DirectFile.unopened)
    /// Large writes in the page cache.
    private let unbegun = Mutex(Unbegun())
    private let gate = SyncGate()
    /// Whether the file's name is on the disk.
    private let hasSyncedName: Atomic<Bool>
    /// Of the second name that the pack store gave it: its sequence number.
    private let data = Mutex<UInt64?>(nil)

    init(
        _ descriptor: consuming FileDescriptor, id: UInt64, in directory: Directory,
        _ direct: DirectWrites, isNew: Bool
    ) {
        self.direct = direct
        self.descriptor = descriptor
        self.id = id
        self.directory = directory
        hasSyncedName = Atomic(!isNew)
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
        -> Int
    {
        if direct.suits(buffer.count, at: offset) {
            let opened = directFile.withLock { $0.opened }
            if let opened,
                let count = unsafe direct.read(at: offset, into: buffer, from: opened.descriptor)
            {
                return count
            }
        }
        return try unsafe descriptor.read(at: offset, into: buffer)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
        if direct.wants(bytes.count, at: offset), unsafe writeDirectly(bytes, at: offset) { return }
        guard bytes.count >= DirectWrites.Limits.bytesMin else {
            return try unsafe descriptor.write(bytes, at: offset)
        }
        let start = ContinuousClock.now
        try unsafe descriptor.write(bytes, at: offset)
        direct.noteCached(bytes.count, ContinuousClock.now - start)
        unbegun.withLock { $0.add(offset..<offset + UInt64(bytes.count)) }
    }

    /// - Returns: whether all was written; if not, any part of it may have been.
    private func writeDirectly(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Bool {
        let opened = directFile.withLock { file in
            if case .unopened = file { file = .open(StagingDirectory.name(of: id), in: directory) }
            return file.opened
        }
        guard let opened else { return false }
        if unsafe direct.write(bytes, at: offset, to: opened.descriptor) { return true }
        directFile.withLock { $0 = .refused }
        return false
    }

    func punchHole(_ range: Range<UInt64>) throws(StorageError) {
        let size = try descriptor.size()
        let end = min(range.upperBound, size)
        guard range.lowerBound < end else { return }
        try descriptor.punchHole(range.lowerBound..<end)
    }

    func truncate(to size: UInt64) throws(StorageError) { try descriptor.truncate(to: size) }

    func beginWriting() {
        let range = unbegun.withLock { unbegun -> Range<UInt64>? in
            guard unbegun.count >= DirectWrites.Limits.begunBytes else { return nil }
            defer { unbegun = Unbegun() }
            return unbegun.range
        }
        if let range { descriptor.beginWriting(range) }
    }

    func nextData(after offset: UInt64) throws(StorageError) -> Range<UInt64>? {
        try descriptor.nextData(after: offset)
    }

    func sync() throws(StorageError) {
        try gate.pass { () throws(StorageError) in
            try descriptor.syncData()
            if !hasSyncedName.load(ordering: .acquiring) {
                try directory.sync()
                hasSyncedName.store(true, ordering: .releasing)
            }
        }
    }

    /// Whether the pack store has a name for the file.
    func isAdopted() throws(StorageError) -> Bool { try descriptor.status().st_nlink > 1 }

    func copy(to other: SparseFile) throws(StorageError) {
        var offset: UInt64 = 0
        while let data = try descriptor.nextData(after: offset) {
            var position = data.lowerBound
            while position < data.upperBound {
                let count = Int(min(1 << 20, data.upperBound - position))
                let bytes = try descriptor.read(count, at: position)
                try other.descriptor.write(bytes.span, at: position)
                position += UInt64(count)
            }
            offset = data.upperBound
        }
        try other.truncate(to: descriptor.size())
        try other.sync()
    }

    /// Gives the file a second name, that of a data file of the pack store; or finds that it has one.
    ///
    /// - Parameter sequence: of the name, if it has none yet.
    /// - Returns: the name's sequence number; nil where files have no second names.
    func link(into packs: Directory, orAs sequence: UInt64) throws(StorageError) -> UInt64? {
        try data.withLock { (data) throws(StorageError) in
            let wanted = data ?? sequence
            let name = DataName(sequence: wanted).fileName
            if try directory.link(StagingDirectory.name(of: id), to: name, in: packs) {
                data = wanted
                return wanted
            }
            return nil
        }
    }

    func remove() {
        // A file that cannot be removed now goes with the leftovers at the next start.
        do throws(StorageError) {
            try directory.remove(StagingDirectory.name(of: id))
        } catch {}
    }
}

/// Where bytes were written that the disk has not begun with, as far as is known.
private struct Unbegun {
    private(set) var count = 0
    private(set) var range: Range<UInt64>?

    mutating func add(_ added: Range<UInt64>) {
        count += added.count
        let all = range ?? added
        range =
            min(all.lowerBound, added.lowerBound)..<max(all.upperBound, added.upperBound)
    }
}
