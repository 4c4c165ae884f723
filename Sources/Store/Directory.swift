internal import Base
internal import Glibc

/// An open directory: its files are reached relative to it, so that no link swapped in above can
/// lead elsewhere. Links inside it are not followed either. Thread-safe.
final class Directory: Sendable {
    let descriptor: FileDescriptor
    var path: String { descriptor.path }

    private init(descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// Opens a directory by its path. The path is the user's: links in it are followed.
    convenience init(path: String) throws(StorageError) {
        // The string outlives the call.
        let raw = FileDescriptor.retrying { unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard raw >= 0 else { throw .system("opening the directory \(path)") }
        self.init(descriptor: FileDescriptor(owning: raw, path: path))
    }

    /// Opens a directory inside this one, making it (mode 0700) if it is not there.
    func directory(_ name: String, create: Bool = false) throws(StorageError) -> Directory {
        if create {
            // The string outlives the call.
            if unsafe mkdirat(descriptor.raw, name, 0o700) == 0 {
                try descriptor.sync()
            } else if errno != EEXIST {
                throw .system("making the directory \(path)/\(name)")
            }
        }
        return Directory(descriptor: try file(name, O_RDONLY | O_DIRECTORY))
    }

    /// `openat(2)`; a new file has mode 0600. Never follows a link, never inherited by a child program.
    func file(_ name: String, _ flags: Int32) throws(StorageError) -> FileDescriptor {
        let raw = FileDescriptor.retrying {
            // The string outlives the call.
            unsafe openat(descriptor.raw, name, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
        }
        guard raw >= 0 else { throw .system("opening \(path)/\(name)") }
        return FileDescriptor(owning: raw, path: "\(path)/\(name)")
    }

    /// As `file`, but nil if there is none.
    func existingFile(_ name: String, _ flags: Int32) throws(StorageError) -> FileDescriptor? {
        do {
            return try file(name, flags)
        } catch .io(ENOENT, _) {
            return nil
        }
    }

    func remove(_ name: String) throws(StorageError) {
        // The string outlives the call.
        guard unsafe unlinkat(descriptor.raw, name, 0) == 0 || errno == ENOENT else {
            throw .system("removing \(path)/\(name)")
        }
    }

    /// Replaces `newName` if it exists, at once for every observer.
    func rename(_ name: String, to newName: String) throws(StorageError) {
        // The strings outlive the call.
        guard unsafe renameat(descriptor.raw, name, descriptor.raw, newName) == 0 else {
            throw .system("renaming \(path)/\(name) to \(newName)")
        }
    }

    /// Gives a file a further name in another directory; one of that name that is there already stays.
    ///
    /// - Returns: false where that cannot be: on another disk, or one that knows no such names.
    func link(_ name: String, to newName: String, in other: Directory) throws(StorageError) -> Bool
    {
        // The strings outlive the call.
        if unsafe linkat(descriptor.raw, name, other.descriptor.raw, newName, 0) == 0 {
            return true
        }
        switch errno {
        case EEXIST: return true
        case EXDEV, EPERM, EMLINK, EOPNOTSUPP, ENOSYS: return false
        default: throw .system("linking \(path)/\(name) to \(other.path)/\(newName)")
        }
    }

    /// Makes what was created, renamed and removed here durable.
    func sync() throws(StorageError) { try descriptor.sync() }

    /// Every name but `.` and `..`, sorted.
    func names() throws(StorageError) -> [String] {
        // A descriptor of its own, which the stream takes over: reading moves its position.
        let raw = FileDescriptor.retrying {
            unsafe openat(descriptor.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        }
        guard raw >= 0 else { throw .system("listing \(path)") }
        guard let stream = unsafe fdopendir(raw) else {
            close(raw)
            throw .system("listing \(path)")
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            // `d_name` ends with a NUL, and the entry lives until the next call.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe String(
                    cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
            }
            if name != "." && name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw .system("listing \(path)") }
        return names.sorted()
    }

    /// Removes everything in the directory, what lies deeper too. Links are removed, not followed.
    func removeContents() throws(StorageError) {
        for name in try names() {
            // The string outlives the call.
            if unsafe unlinkat(descriptor.raw, name, 0) == 0 { continue }
            guard errno == EISDIR || errno == EPERM else {
                throw .system("removing \(path)/\(name)")
            }
            try directory(name).removeContents()
            guard unsafe unlinkat(descriptor.raw, name, AT_REMOVEDIR) == 0 else {
                throw .system("removing \(path)/\(name)")
            }
        }
    }

    /// The contents of a small file: at most `limit` bytes, nil if there is none.
    func contents(of name: String, limit: Int) throws(StorageError) -> [UInt8]? {
        guard let file = try existingFile(name, O_RDONLY) else { return nil }
        guard try file.size() <= UInt64(limit) else {
            throw .corrupt(
                what:
                    "\(path)/\(name) is longer than the \(limit) bytes Holdfast ever writes there;"
                    + " restore it from a backup or remove it")
        }
        return try file.read(limit, at: 0)
    }

    /// What ends the name of a file that is being made.
    static let temporarySuffix = ".new"

    /// Writes a small file (mode 0600) so that a crash leaves the old one or the new one, whole and
    /// durable.
    func replace(_ name: String, with bytes: [UInt8]) throws(StorageError) {
        let temporary = name + Self.temporarySuffix
        try remove(temporary)
        do {
            let file = try file(temporary, O_WRONLY | O_CREAT | O_EXCL)
            try file.write(bytes.span, at: 0)
            try file.sync()
        }
        try rename(temporary, to: name)
        try sync()
    }

    /// As `replace`, but an existing file is an error (EEXIST): for keys, which are made once.
    func create(_ name: String, with bytes: [UInt8]) throws(StorageError) {
        let temporary = name + Self.temporarySuffix
        try remove(temporary)
        do {
            let file = try file(temporary, O_WRONLY | O_CREAT | O_EXCL)
            try file.write(bytes.span, at: 0)
            try file.sync()
        }
        defer { unsafe unlinkat(descriptor.raw, temporary, 0) }
        // A link never replaces, as a rename would. The strings outlive the call.
        guard unsafe linkat(descriptor.raw, temporary, descriptor.raw, name, 0) == 0 else {
            throw .system("creating \(path)/\(name)")
        }
        try sync()
    }
}
