import Base
import Chunks
import Glibc
import Host
import Share

/// An ordinary folder that things are put into. What is there stays as it is, and no link is followed: what finds its
/// name taken gets another one.
struct ExportFolder: ~Copyable {
    enum Outcome: Equatable {
        case written
        /// The same is there already.
        case present
        case missing
        case failed(String)
    }

    /// Something, and where it went: names from the folder.
    struct Placed {
        var outcome: Outcome
        var names: [[UInt8]]
    }

    private enum Limits {
        static let attempts = 1000
        static let step = 256 * 1024
    }

    /// Closed when its owner goes.
    private struct Handle: ~Copyable {
        let number: Int32
        deinit { close(number) }
    }

    private let root: Handle
    /// Where directories of the share are here.
    private var directories: [[[UInt8]]: [[UInt8]]] = [[]: []]
    /// Their times are set when all is in them.
    private var made: [(names: [[UInt8]], attributes: Attributes)] = []

    /// Makes the folder if it is not there; the one that it is in must be.
    init(path: String) throws(HostError) {
        // The string outlives the call.
        if unsafe mkdir(path, 0o700) != 0, errno != EEXIST {
            throw .system(code: errno, action: "making \(EscapedText.quoted(path))")
        }
        let number = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else {
            throw .system(code: errno, action: "opening \(EscapedText.quoted(path))")
        }
        root = Handle(number: number)
    }

    // MARK: Putting things in

    /// A directory, and those that lead to it: one that is there is used.
    ///
    /// - Parameter attributes: of each name.
    mutating func put(directory path: [[UInt8]], _ attributes: [Attributes]) -> Placed {
        var placed = Placed(outcome: .present, names: [])
        for depth in path.indices {
            let here = Array(path[...depth])
            if let known = directories[here] {
                placed = Placed(outcome: .present, names: known)
                continue
            }
            placed = unsafe place(path[depth], in: placed.names) { name, parent in
                // The name ends with a NUL and outlives the calls, also below.
                if unsafe mkdirat(parent, name, 0o700) == 0 { return .written }
                guard errno == EEXIST else { return .failed(systemText(errno)) }
                let number = unsafe openat(
                    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                guard number >= 0 else { return nil }
                close(number)
                return .present
            }
            if case .failed = placed.outcome { return placed }
            directories[here] = placed.names
            if placed.outcome == .written, depth < attributes.count {
                made.append((placed.names, attributes[depth]))
            }
        }
        return placed
    }

    mutating func put(
        file name: [UInt8], in directory: [[UInt8]], _ attributes: Attributes,
        _ content: ContentReader
    ) -> Placed {
        unsafe place(name, in: directory) { name, parent in
            let number = unsafe openat(
                parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
            guard number >= 0 else {
                guard errno == EEXIST else { return .failed(systemText(errno)) }
                return unsafe Self.holds(name, in: parent, content) ? .present : nil
            }
            let file = Handle(number: number)
            let outcome = Self.copy(content, to: file.number)
            guard outcome == .written else {
                unsafe _ = unlinkat(parent, name, 0)
                return outcome
            }
            Self.settle(file.number, attributes)
            return .written
        }
    }

    mutating func put(
        symlink name: [UInt8], in directory: [[UInt8]], _ attributes: Attributes, target: [UInt8]
    ) -> Placed {
        let target = Self.terminated(target)
        return unsafe place(name, in: directory) { name, parent in
            guard unsafe symlinkat(target, parent, name) == 0 else {
                guard errno == EEXIST else { return .failed(systemText(errno)) }
                var found = [CChar](repeating: 0, count: target.count)
                let count = unsafe readlinkat(parent, name, &found, found.count)
                return count == target.count - 1 && found.dropLast() == target.dropLast()
                    ? .present : nil
            }
            let times = Self.times(attributes)
            unsafe _ = utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW)
            return .written
        }
    }

    mutating func put(fifo name: [UInt8], in directory: [[UInt8]], _ attributes: Attributes)
        -> Placed
    {
        unsafe place(name, in: directory) { name, parent in
            if unsafe mkfifoat(parent, name, attributes.mode & 0o777) == 0 { return .written }
            guard errno == EEXIST else { return .failed(systemText(errno)) }
            var facts = stat()
            guard unsafe fstatat(parent, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
            return facts.st_mode & S_IFMT == S_IFIFO ? .present : nil
        }
    }

    /// Gives the directories made here their modes and times, and makes all of it durable.
    mutating func finish() {
        for (names, attributes) in made.reversed() {
            guard let handle = Self.open(names, below: root.number) else { continue }
            Self.settle(handle.number, attributes)
        }
        made = []
        sync()
    }

    // MARK: Parts

    /// Tries one name after the other.
    ///
    /// - Parameter body: gives nil where the name is taken.
    private func place(
        _ name: [UInt8], in directory: [[UInt8]],
        _ body: (_ name: UnsafePointer<CChar>, _ parent: Int32) -> Outcome?
    ) -> Placed {
        guard let parent = Self.open(directory, below: root.number) else {
            return Placed(outcome: .failed(systemText(errno)), names: directory + [name])
        }
        for attempt in 0..<Limits.attempts {
            let candidate = attempt == 0 ? name : BesideName.of(name, "exported", attempt)
            let outcome = unsafe Self.terminated(candidate).withUnsafeBufferPointer { buffer in
                unsafe buffer.baseAddress.flatMap { unsafe body($0, parent.number) }
            }
            guard let outcome else { continue }
            return Placed(outcome: outcome, names: directory + [candidate])
        }
        return Placed(outcome: .failed(systemText(EEXIST)), names: directory + [name])
    }

    private static func open(_ names: [[UInt8]], below root: Int32) -> Handle? {
        var number = fcntl(root, F_DUPFD_CLOEXEC, 0)
        for name in names where number >= 0 {
            let next = unsafe openat(
                number, terminated(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            let code = errno
            close(number)
            errno = code
            number = next
        }
        return number >= 0 ? Handle(number: number) : nil
    }

    private static func terminated(_ name: [UInt8]) -> [CChar] {
        name.map { CChar(bitPattern: $0) } + [0]
    }

    private static func times(_ attributes: Attributes) -> [timespec] {
        let time = timespec(
            tv_sec: Int(clamping: attributes.modified.seconds),
            tv_nsec: Int(attributes.modified.nanoseconds))
        return [time, time]
    }

    /// Nobody is to run as whoever exports it.
    private static func settle(_ file: Int32, _ attributes: Attributes) {
        _ = fchmod(file, attributes.mode & 0o1777)
        let times = times(attributes)
        unsafe _ = futimens(file, times)
    }

    // MARK: Bytes

    private static func copy(_ content: ContentReader, to file: Int32) -> Outcome {
        let size = off_t(clamping: content.size)
        guard ftruncate(file, size) == 0 else { return .failed(systemText(errno)) }
        let outcome = unsafe forEachStep(of: content) { offset, bytes in
            var done = 0
            while done < bytes.count {
                // Bounded by the bytes that are left.
                let count = unsafe pwrite(
                    file, bytes.baseAddress?.advanced(by: done), bytes.count - done,
                    off_t(clamping: offset) + off_t(done))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return .failed(systemText(errno)) }
                done += count
            }
            return nil
        }
        return outcome ?? .written
    }

    /// Whether a file holds just these bytes.
    private static func holds(
        _ name: UnsafePointer<CChar>, in parent: Int32, _ content: ContentReader
    ) -> Bool {
        let number = unsafe openat(
            parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard number >= 0 else { return false }
        let file = Handle(number: number)
        var facts = stat()
        guard unsafe fstat(file.number, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG,
            facts.st_size == off_t(clamping: content.size)
        else { return false }
        // A hole would be skipped: what is there instead is not looked at, so it counts as other bytes.
        if content.size == 0 { return true }
        guard case .offset(content.size)? = try? content.seekHole(from: 0) else { return false }
        var found = [UInt8](repeating: 0, count: Limits.step)
        let difference = unsafe forEachStep(of: content) { offset, bytes in
            var done = 0
            while done < bytes.count {
                // The buffer has room for a step.
                let count = unsafe pread(
                    file.number, &found, bytes.count - done,
                    off_t(clamping: offset) + off_t(done))
                if count < 0, errno == EINTR { continue }
                let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
                guard count > 0, let wanted = rest.baseAddress,
                    unsafe memcmp(found, wanted, count) == 0
                else { return .failed("") }
                done += count
            }
            return nil
        }
        return difference == nil
    }

    /// Reads what is no hole. A first result of `body` ends it.
    private static func forEachStep(
        of content: ContentReader,
        _ body: (_ offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Outcome?
    ) -> Outcome? {
        var buffer = [UInt8](repeating: 0, count: Limits.step)
        var offset: UInt64 = 0
        do throws(StorageError) {
            while offset < content.size {
                let start: UInt64
                switch try content.seekData(from: offset) {
                case .offset(let data): start = data
                case .none: return nil
                case .missing: return .missing
                }
                guard case .offset(let end) = try content.seekHole(from: start) else {
                    return .missing
                }
                offset = start
                while offset < end {
                    let wanted = Int(min(UInt64(Limits.step), end - offset))
                    var span = buffer.mutableSpan
                    // The buffer is used only during the call.
                    let read = unsafe try span.withUnsafeMutableBytes {
                        (bytes) throws(StorageError) in
                        unsafe try content.read(
                            at: offset,
                            into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<wanted]))
                    }
                    guard case .bytes(let count) = read, count > 0 else { return .missing }
                    let outcome = unsafe buffer.withUnsafeBytes { bytes in
                        unsafe body(offset, UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                    }
                    if let outcome { return outcome }
                    offset += UInt64(count)
                }
            }
            return nil
        } catch {
            return .failed("\(error)")
        }
    }
}
