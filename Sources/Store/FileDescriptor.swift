internal import Base
internal import CLinux
internal import Glibc

/// An open file, closed when its owner lets go. `path` is for error texts only.
///
/// Positioned reads and writes are thread-safe. Calls that a signal interrupts are repeated.
struct FileDescriptor: ~Copyable, Sendable {
    let raw: Int32
    let path: String

    /// Takes over `raw`.
    init(owning raw: Int32, path: String) {
        self.raw = raw
        self.path = path
    }

    // Nothing can be done about an error here; what must not be lost was synced before.
    deinit { close(raw) }

    /// Reads until the buffer is full or the file ends.
    ///
    /// - Returns: bytes read.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
        -> Int
    {
        guard let start = Self.position(offset, count: buffer.count) else { return 0 }
        var done = 0
        while done < buffer.count {
            // The slice lies within the caller's buffer.
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = unsafe pread(raw, rest.baseAddress, rest.count, start + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw .system("reading \(path)")
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Up to `count` bytes at `offset`; fewer only at the end of the file.
    func read(_ count: Int, at offset: UInt64) throws(StorageError) -> [UInt8] {
        let size = try size()
        guard offset < size else { return [] }
        let length = Int(min(UInt64(count), size - offset))
        var bytes = [UInt8](repeating: 0, count: length)
        var span = bytes.mutableSpan
        let done = try unsafe span.withUnsafeMutableBytes { (buffer) throws(StorageError) in
            // The buffer is read into during the call only.
            try unsafe read(at: offset, into: buffer)
        }
        if done < length { bytes.removeLast(length - done) }
        return bytes
    }

    /// Writes all of `bytes` at `offset`.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
        guard let start = Self.position(offset, count: bytes.count) else {
            throw .of(code: EFBIG, "writing \(path)")
        }
        var done = 0
        while done < bytes.count {
            // The slice lies within the caller's buffer.
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = unsafe pwrite(raw, rest.baseAddress, rest.count, start + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw .system("writing \(path)")
            }
            done += count
        }
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(StorageError) {
        try unsafe bytes.withUnsafeBytes { (buffer) throws(StorageError) in
            // The buffer is written from during the call only.
            try unsafe write(buffer, at: offset)
        }
    }

    func size() throws(StorageError) -> UInt64 { try UInt64(status().st_size) }

    func status() throws(StorageError) -> stat {
        var status = stat()
        // `status` is written during the call only.
        guard unsafe fstat(raw, &status) == 0 else { throw .system("examining \(path)") }
        return status
    }

    func truncate(to size: UInt64) throws(StorageError) {
        guard let length = off_t(exactly: size) else { throw .of(code: EFBIG, "resizing \(path)") }
        guard Self.retrying({ ftruncate(raw, length) }) == 0 else {
            throw .system("resizing \(path)")
        }
    }

    /// `fdatasync(2)`. After a failure the kernel may have dropped what it could not write: do not
    /// try again and believe the answer. So this is never `.full`, which would invite to.
    func syncData() throws(StorageError) {
        guard Self.retrying({ fdatasync(raw) }) == 0 else {
            throw .io(code: errno, action: "syncing \(path)")
        }
    }

    /// Has the disk begin with what was written in a range; a hint, whose failure costs time only. An error
    /// of the disk is told by the next `syncData`.
    func beginWriting(_ range: Range<UInt64>) {
        guard let start = off_t(exactly: range.lowerBound), let length = off_t(exactly: range.count)
        else { return }
        _ = holdfast_begin_writing(raw, start, length)
    }

    /// `fsync(2)`, for directories.
    func sync() throws(StorageError) {
        guard Self.retrying({ fsync(raw) }) == 0 else { throw .system("syncing \(path)") }
    }

    /// Gives the first `size` bytes blocks on the disk, whatever the file's size, which stays.
    func reserve(upTo size: UInt64) throws(StorageError) {
        guard let length = off_t(exactly: size) else { throw .of(code: EFBIG, "growing \(path)") }
        if Self.retrying({ holdfast_reserve(raw, 0, length) }) == 0 { return }
        // Where the filesystem cannot promise space, what is free must do.
        guard errno == EOPNOTSUPP else { throw .system("growing \(path)") }
        guard try diskSpace().free >= size else { throw .full }
    }

    /// Makes a range that lies within the file read as zeros, giving its blocks back.
    func punchHole(_ range: Range<UInt64>) throws(StorageError) {
        guard let start = off_t(exactly: range.lowerBound), let length = off_t(exactly: range.count)
        else { throw .of(code: EFBIG, "punching a hole into \(path)") }
        if Self.retrying({ holdfast_punch_hole(raw, start, length) }) == 0 { return }
        guard errno == EOPNOTSUPP else { throw .system("punching a hole into \(path)") }
        // Where a filesystem has no holes, zeros do.
        let zeros = [UInt8](repeating: 0, count: min(range.count, 1 << 16))
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = Int(min(UInt64(zeros.count), range.upperBound - offset))
            try write(zeros.span.extracting(0..<count), at: offset)
            offset += UInt64(count)
        }
    }

    /// The next range at or after `offset` that is not a hole; nil past the last.
    func nextData(after offset: UInt64) throws(StorageError) -> Range<UInt64>? {
        guard let from = off_t(exactly: offset) else { return nil }
        let start = holdfast_seek_data(raw, from)
        guard start >= 0 else {
            if errno == ENXIO { return nil }
            throw .system("looking for data in \(path)")
        }
        let end = holdfast_seek_hole(raw, start)
        guard end > start else { throw .system("looking for a hole in \(path)") }
        return UInt64(start)..<UInt64(end)
    }

    /// Bytes of the file's filesystem, and those of them free for this user.
    func diskSpace() throws(StorageError) -> (total: UInt64, free: UInt64) {
        var status = statvfs()
        // `status` is written during the call only.
        guard unsafe fstatvfs(raw, &status) == 0 else { throw .system("examining \(path)") }
        let block = UInt64(status.f_frsize)
        return (UInt64(status.f_blocks) &* block, UInt64(status.f_bavail) &* block)
    }

    /// Repeats a call that a signal interrupted.
    static func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }

    /// `offset` as the system counts it; nil if the end of the range is past what it can count.
    private static func position(_ offset: UInt64, count: Int) -> off_t? {
        guard let start = off_t(exactly: offset), start <= off_t.max - off_t(count) else {
            return nil
        }
        return start
    }
}
