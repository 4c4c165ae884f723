import Foundation
import Glibc

struct FileError: Error, CustomStringConvertible {
    var path: String
    var code: Int32
    var description: String { "\(path): \(String(cString: strerror(code)))" }
}

/// Plain system calls, whose errors are thrown: what the tests do inside a mount must be exactly
/// what they say, without a library's temporary files.
enum Files {
    /// Creates or truncates a file and writes it; `close` has returned success afterwards.
    static func write(
        _ bytes: [UInt8], to path: String, at offset: Int? = nil, synced: Bool = false
    ) throws {
        let flags = O_WRONLY | (offset == nil ? O_CREAT | O_TRUNC : 0)
        let file = open(path, flags, 0o644)
        guard file >= 0 else { throw FileError(path: path, code: errno) }
        var failure: Int32 = 0
        var done = 0
        while done < bytes.count, failure == 0 {
            let count = bytes.withUnsafeBytes {
                pwrite(file, $0.baseAddress! + done, bytes.count - done, (offset ?? 0) + done)
            }
            if count < 0 { failure = errno } else { done += count }
        }
        if failure == 0, synced, fsync(file) != 0 { failure = errno }
        if close(file) != 0, failure == 0 { failure = errno }
        guard failure == 0 else { throw FileError(path: path, code: failure) }
    }

    static func append(_ bytes: [UInt8], to path: String) throws {
        try write(bytes, to: path, at: Int(try size(of: path)))
    }

    /// As a careful program saves: a temporary file beside, synced and renamed over.
    static func save(_ bytes: [UInt8], over path: String) throws {
        let temporary = path + ".tmp"
        try write(bytes, to: temporary, synced: true)
        try rename(temporary, to: path)
    }

    static func rename(_ old: String, to new: String) throws {
        guard Glibc.rename(old, new) == 0 else { throw FileError(path: old, code: errno) }
    }

    static func remove(_ path: String) throws {
        guard Glibc.unlink(path) == 0 else { throw FileError(path: path, code: errno) }
    }

    static func makeFolder(_ path: String) throws {
        guard Glibc.mkdir(path, 0o755) == 0 else { throw FileError(path: path, code: errno) }
    }

    static func size(of path: String) throws -> Int64 {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { throw FileError(path: path, code: errno) }
        return Int64(facts.st_size)
    }

    static func exists(_ path: String) -> Bool {
        var facts = stat()
        return lstat(path, &facts) == 0
    }

    /// The whole file, or nil if it cannot be read.
    static func read(_ path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = Glibc.read(file, &buffer, buffer.count)
            if count < 0 { return nil }
            if count == 0 { return result }
            result += buffer[..<count]
        }
    }
}

/// A file that stays open.
final class FileHandleReader {
    private let file: Int32

    init(_ path: String) throws {
        file = open(path, O_RDONLY)
        if file < 0 { throw FileError(path: path, code: errno) }
    }

    deinit { close(file) }

    /// Its text from the beginning, 4 KiB at most.
    func read() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = pread(file, &buffer, buffer.count, 0)
        return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    }
}
