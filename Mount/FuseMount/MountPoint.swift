internal import Base
internal import CFuse3
internal import Glibc

/// The directory a share is mounted at: what must hold before, and how it is taken away.
enum MountPoint {
    private static var isRoot: Bool { geteuid() == 0 }

    /// Checks everything that libfuse would refuse without saying why; a dead mount is removed.
    ///
    /// - Returns: the absolute path.
    static func prepare(_ options: MountOptions, log: (String) -> Void) throws(MountError) -> String
    {
        if options.acl, options.ownership != .recorded {
            throw .needsRecordedOwner(option: "acl")
        }
        if !isRoot {
            if options.suid { throw .needsRoot(option: "suid") }
            if options.dev { throw .needsRoot(option: "dev") }
            if options.allowOther, !isAllowedToOthers() { throw .othersNotAllowed }
            if helper() == nil { throw .noHelper }
        }
        let device = unsafe Glibc.open("/dev/fuse", O_RDWR)
        guard device >= 0 else { throw .noDevice(code: errno) }
        close(device)
        return try directory(options.mountPoint, log: log)
    }

    private static func directory(_ path: String, log: (String) -> Void) throws(MountError)
        -> String
    {
        // The attributes of a dead mount may still be cached; its statistics never are.
        var disk = statvfs()
        if unsafe statvfs(path, &disk) != 0, errno == ENOTCONN {
            log("\(path): removing the mount of a process that died")
            _ = unmountLazily(path)
        }
        var status = stat()
        let code = unsafe stat(path, &status) == 0 ? 0 : errno
        switch code {
        case 0: break
        case ENOENT: throw .missing(mountPoint: path)
        case EACCES: throw .notAllowed(mountPoint: path)
        case ENOTDIR: throw .notDirectory(mountPoint: path)
        default: throw .system(code: code, action: "looking at \(path)")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .notDirectory(mountPoint: path) }
        guard let resolved = unsafe realpath(path, nil) else {
            throw .system(code: errno, action: "resolving \(path)")
        }
        // realpath gives a string to free.
        defer { unsafe free(resolved) }
        let absolute = unsafe String(cString: resolved)
        if let type = typeMounted(at: absolute) { throw .inUse(mountPoint: path, by: type) }
        if !isRoot, unsafe access(absolute, W_OK) != 0 { throw .notAllowed(mountPoint: path) }
        return absolute
    }

    /// The options that libfuse is given.
    static func words(_ options: MountOptions) -> [String] {
        // The kernel checks permissions in any case: other users can only come in with that.
        let source = options.source.replacing("\\", with: "\\\\").replacing(",", with: "\\,")
        var words = ["fsname=\(source)", "subtype=holdfast", "default_permissions"]
        // Reading changes nothing here: times of access are those that programs set.
        words.append("noatime")
        if options.allowOther { words.append("allow_other") }
        words.append(options.readOnly ? "ro" : "rw")
        words.append(options.suid ? "suid" : "nosuid")
        words.append(options.dev ? "dev" : "nodev")
        words.append(options.exec ? "exec" : "noexec")
        if options.sync { words.append("sync") }
        return words
    }

    /// Unmounts if nobody is inside.
    static func unmount(_ path: String) -> Bool {
        if isRoot { return unsafe umount2(path, Int32(HOLDFAST_UMOUNT_NOFOLLOW)) == 0 }
        return run(["-u", "-q", "--", path])
    }

    static func unmountLazily(_ path: String) -> Bool {
        if isRoot {
            return unsafe umount2(path, Int32(HOLDFAST_UMOUNT_NOFOLLOW | HOLDFAST_MNT_DETACH)) == 0
        }
        return run(["-u", "-z", "-q", "--", path])
    }

    // MARK: Details

    private static func isAllowedToOthers() -> Bool {
        guard let text = read("/etc/fuse.conf") else { return false }
        return text.split(separator: "\n").contains {
            $0.trimmingSpaces == "user_allow_other"
        }
    }

    /// The type of what is mounted exactly there.
    private static func typeMounted(at path: String) -> String? {
        guard let fields = mount(at: path), let dash = fields.firstIndex(of: "-"),
            dash + 1 < fields.count, fields[dash + 1].hasPrefix("fuse")
        else { return nil }
        return String(fields[dash + 1])
    }

    /// The device number of what is mounted exactly there.
    static func device(mountedAt path: String) -> dev_t? {
        guard let fields = mount(at: path) else { return nil }
        let numbers = fields[2].split(separator: ":").compactMap { UInt32($0) }
        return numbers.count == 2 ? gnu_dev_makedev(numbers[0], numbers[1]) : nil
    }

    /// The topmost mount exactly there, by the kernel's table.
    private static func mount(at path: String) -> [Substring]? {
        guard let table = read("/proc/self/mountinfo") else { return nil }
        return table.split(separator: "\n").lazy.map { $0.split(separator: " ") }.last {
            $0.count > 6 && unescaped($0[4]) == path
        }
    }

    /// Spaces and the like are `\\040` in the kernel's table.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == 92, rest.count >= 3,
                let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func read(_ path: String) -> String? {
        let file = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            // The buffer is as long as is said.
            let count = unsafe Glibc.read(file, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes.append(contentsOf: buffer[..<count])
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func helper() -> String? {
        ["/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"].first {
            unsafe access($0, X_OK) == 0
        }
    }

    /// Runs fusermount3 with an empty environment.
    private static func run(_ arguments: [String]) -> Bool {
        guard let helper = helper() else { return false }
        var words: [UnsafeMutablePointer<CChar>?] = unsafe ([helper] + arguments).map {
            unsafe strdup($0)
        }
        unsafe words.append(nil)
        defer { for index in 0...arguments.count { unsafe free(words[index]) } }
        let environment: [UnsafeMutablePointer<CChar>?] = unsafe [nil]
        var child = pid_t()
        // Both arrays end in nil and live through the call.
        guard unsafe posix_spawn(&child, helper, nil, nil, words, environment) == 0 else {
            return false
        }
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0 {
            guard errno == EINTR else { return false }
        }
        return status == 0
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var text = self
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
