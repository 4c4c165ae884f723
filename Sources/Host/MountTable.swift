import Glibc

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
package struct MountEntry: Equatable, Sendable {
    package let mountPoint: String
    /// Of the file system, as in `0:39`; for FUSE the second number is the connection's.
    package let device: String
    /// As in `ext4`, or `fuse.holdfast`.
    package let type: String
    package let source: String
}

/// What is mounted where, as this process sees it.
package struct MountTable: Sendable {
    package let entries: [MountEntry]

    /// - Parameter text: of a `mountinfo` file.
    package init(parsing text: String) {
        entries = text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash > 4, fields.count > dash + 2 else {
                return nil
            }
            return MountEntry(
                mountPoint: Self.unescaped(fields[4]), device: String(fields[2]),
                type: String(fields[dash + 1]), source: Self.unescaped(fields[dash + 2]))
        }
    }

    package static func current() throws(HostError) -> MountTable {
        let bytes = try readWhole("/proc/self/mountinfo", limitBytes: 16 << 20)
        return MountTable(parsing: String(decoding: bytes, as: UTF8.self))
    }

    /// What is seen at a path: the last mount made there.
    package func entry(at path: String) -> MountEntry? {
        entries.last { $0.mountPoint == path }
    }

    /// Space, tab, newline and backslash come as three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let first = rest.popFirst() {
            let digits = rest.prefix(3)
            if first == UInt8(ascii: "\\"), digits.count == 3,
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(first)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The bytes of a small file.
package func readWhole(_ path: String, limitBytes: Int) throws(HostError) -> [UInt8] {
    // The path is a terminated copy for the time of the call.
    let opened = unsafe open(path, O_RDONLY | O_CLOEXEC)
    let descriptor = try Descriptor(opened, "opening \(path)")
    return try readWhole(descriptor.number, path, limitBytes: limitBytes)
}

/// The bytes up to the end of a descriptor; throws `tooLarge` rather than hold more.
package func readWhole(
    _ descriptor: Int32, _ name: String, limitBytes: Int
) throws(HostError) -> [UInt8] {
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let attempt = attempt {
            // The kernel writes within the array.
            unsafe buffer.withUnsafeMutableBytes {
                unsafe read(descriptor, $0.baseAddress, $0.count)
            }
        }
        switch attempt {
        case .done(0): return result
        case .done(let count): result += buffer[..<count]
        case .wouldBlock: throw .system(code: EAGAIN, action: "reading \(name)")
        case .failed(let code): throw .system(code: code, action: "reading \(name)")
        }
        guard result.count <= limitBytes else { throw .tooLarge(limitBytes: limitBytes) }
    }
}
