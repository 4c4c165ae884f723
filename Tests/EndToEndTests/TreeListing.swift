import Base
import CLinux
import Crypto
import Foundation
import Glibc

/// Everything that can be seen of a folder's tree: what two mounts of one share must agree in.
///
/// Names are bytes; where they are no UTF-8 they are shown with replacement characters.
struct TreeListing {
    struct Entry: Equatable {
        var mode: UInt32
        var owner: UInt32
        var group: UInt32
        var size: Int64 = 0
        /// Seconds and nanoseconds.
        var changed: [Int]
        /// Of a symbolic link.
        var target: [UInt8] = []
        /// Of a regular file's bytes.
        var digest: Bytes32?
        /// The first of the names that this file has in the tree, if it has several.
        var firstName: String?
        var device: UInt = 0
        var extended: [String: [UInt8]] = [:]
    }

    private(set) var entries: [String: Entry] = [:]
    private var seen: [UInt: String] = [:]

    /// Regular files; one with several names counts once.
    var fileCount: Int {
        entries.count { $1.digest != nil && ($1.firstName == nil || $1.firstName == $0) }
    }

    init(of folder: String) throws {
        try visit(Array(folder.utf8), shown: "")
    }

    /// - Returns: one line for each name in which the two differ, at most twenty.
    func differences(from other: TreeListing, comparingTimes: Bool = true) -> [String] {
        if !comparingTimes {
            return withoutTimes.differences(from: other.withoutTimes, comparingTimes: true)
        }
        var result: [String] = []
        for name in Set(entries.keys).union(other.entries.keys).sorted() {
            switch (entries[name], other.entries[name]) {
            case (let mine?, let theirs?):
                if mine != theirs { result.append("\(name): \(Self.compare(mine, theirs))") }
            case (nil, _): result.append("\(name): only there")
            case (_, nil): result.append("\(name): only here")
            }
            if result.count == 20 { return result + ["..."] }
        }
        return result
    }

    private var withoutTimes: TreeListing {
        var result = self
        result.entries = entries.mapValues { entry in
            var entry = entry
            entry.changed = []
            return entry
        }
        return result
    }

    private static func compare(_ one: Entry, _ other: Entry) -> String {
        var facts: [String] = []
        func note(_ what: String, _ left: some Equatable, _ right: some Equatable) {
            let (left, right) = ("\(left)", "\(right)")
            if left != right { facts.append("\(what) \(left) and \(right)") }
        }
        note("mode", String(one.mode, radix: 8), String(other.mode, radix: 8))
        note("owner", one.owner, other.owner)
        note("group", one.group, other.group)
        note("size", one.size, other.size)
        note("changed", one.changed, other.changed)
        note("target", one.target, other.target)
        note("digest", one.digest?.description ?? "none", other.digest?.description ?? "none")
        note("first name", one.firstName ?? "none", other.firstName ?? "none")
        note("device", one.device, other.device)
        note("extended attributes", one.extended.keys.sorted(), other.extended.keys.sorted())
        return facts.isEmpty ? "extended attributes differ" : facts.joined(separator: ", ")
    }

    // MARK: Walking

    private mutating func visit(_ folder: [UInt8], shown: String) throws {
        let text = folder.map { CChar(bitPattern: $0) } + [0]
        guard let stream = opendir(text) else { throw FileError(path: shown, code: errno) }
        var names: [[UInt8]] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: UInt8.self, capacity: 256) { start in
                    Array(UnsafeBufferPointer(start: start, count: strlen(start)))
                }
            }
            if name != Array(".".utf8), name != Array("..".utf8) { names.append(name) }
        }
        closedir(stream)
        for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let label = (shown.isEmpty ? "" : shown + "/") + String(decoding: name, as: UTF8.self)
            try note(folder + [UInt8(ascii: "/")] + name, shown: label)
        }
    }

    private mutating func note(_ path: [UInt8], shown: String) throws {
        let text = path.map { CChar(bitPattern: $0) } + [0]
        var facts = stat()
        guard lstat(text, &facts) == 0 else { throw FileError(path: shown, code: errno) }
        var entry = Entry(
            mode: facts.st_mode, owner: facts.st_uid, group: facts.st_gid,
            changed: [facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec])
        let kind = facts.st_mode & S_IFMT
        if kind != S_IFDIR {
            entry.size = Int64(facts.st_size)
            if facts.st_nlink > 1 {
                entry.firstName = seen[facts.st_ino] ?? shown
                seen[facts.st_ino] = entry.firstName
            }
        }
        switch kind {
        case S_IFREG:
            entry.digest = try Self.digest(text, shown)
            entry.extended = Self.extendedAttributes(text)
        case S_IFLNK:
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = buffer.withUnsafeMutableBytes { readlink(text, $0.baseAddress!, $0.count) }
            guard count >= 0 else { throw FileError(path: shown, code: errno) }
            entry.target = Array(buffer[..<count])
        case S_IFCHR, S_IFBLK: entry.device = facts.st_rdev
        default: break
        }
        entries[shown] = entry
        if kind == S_IFDIR { try visit(path, shown: shown) }
    }

    private static func digest(_ path: [CChar], _ shown: String) throws -> Bytes32 {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { throw FileError(path: shown, code: errno) }
        defer { close(file) }
        var hasher = Blake2bHasher()
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = Glibc.read(file, &buffer, buffer.count)
            guard count >= 0 else { throw FileError(path: shown, code: errno) }
            if count == 0 { return hasher.finalize() }
            hasher.update(buffer.span.extracting(0..<count))
        }
    }

    /// The `user.` attributes: the others are the machine's.
    private static func extendedAttributes(_ path: [CChar]) -> [String: [UInt8]] {
        var list = [UInt8](repeating: 0, count: 1 << 16)
        let size = list.withUnsafeMutableBytes { llistxattr(path, $0.baseAddress!, $0.count) }
        guard size > 0 else { return [:] }
        var result: [String: [UInt8]] = [:]
        for word in list[..<size].split(separator: 0) {
            let name = String(decoding: word, as: UTF8.self)
            guard name.hasPrefix("user.") else { continue }
            var value = [UInt8](repeating: 0, count: 1 << 16)
            let count = value.withUnsafeMutableBytes {
                lgetxattr(path, name, $0.baseAddress!, $0.count)
            }
            result[name] = count < 0 ? Array("unreadable".utf8) : Array(value[..<count])
        }
        return result
    }
}
