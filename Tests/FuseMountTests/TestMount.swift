import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// Whether this machine lets us mount.
let canMount: Bool = {
    let device = open("/dev/fuse", O_RDWR)
    if device < 0 {
        print("SKIPPED: tests on real mounts, /dev/fuse cannot be opened (errno \(errno))")
        return false
    }
    close(device)
    return true
}()

let testKeys = ContentKeys(
    contentKey: Bytes32(repeating: 1), boundaryKey: Bytes32(repeating: 2))

/// A fake volume on a real mount in a folder of its own. Taken away at the end, and by a watching
/// shell if this process dies before.
final class TestMount: Sendable {
    let volume: FakeVolume
    let chunks: FakeChunks
    let staging: FakeStaging
    let path: String
    let mount: FuseMount
    private let stopped = Atomic<Bool>(false)
    private let loop = Latch()
    private let ticks = Latch()
    private let logged: Log
    private let watcher: Int32

    final class Log: Sendable {
        let lines = Mutex<[String]>([])
    }

    /// - Parameter ticks: whether the mount does what it does by itself now and then.
    init(
        volume: FakeVolume? = nil, staging: FakeStaging = FakeStaging(), path: String? = nil,
        virtual: (any VirtualDirectory)? = nil, ticks: Bool = true,
        _ adjust: (inout MountOptions) -> Void = { _ in }
    ) throws {
        let chunks = volume?.chunks ?? FakeChunks()
        self.chunks = chunks
        self.volume = volume ?? FakeVolume(chunks: chunks)
        self.staging = staging
        if let path {
            self.path = path
        } else {
            var template = Array("/tmp/holdfast-mount-XXXXXX".utf8CString)
            self.path = String(cString: mkdtemp(&template))
        }
        var options = MountOptions(mountPoint: self.path)
        options.writeBack = true
        adjust(&options)
        let log = Log()
        logged = log
        do {
            mount = try FuseMount(
                volume: self.volume, chunks: chunks, contentKeys: testKeys, staging: staging,
                options: options, virtual: virtual, submit: { onThread($0) },
                log: { line in log.lines.withLock { $0.append(line) } })
        } catch {
            rmdir(self.path)
            throw error
        }
        watcher = Self.watch(self.path)
        let (mount, loop, ended) = (mount, loop, self.ticks)
        try startThread(name: "fuse loop") {
            mount.run()
            loop.open()
        }
        try startThread(name: "fuse tick") { [stopped = Unchecked(stopped: self)] in
            while !stopped.value.isStopped {
                if ticks { mount.tick() }
                sleepMilliseconds(100)
            }
            ended.open()
        }
    }

    private struct Unchecked: @unchecked Sendable {
        unowned let value: TestMount
        init(stopped: TestMount) { value = stopped }
    }

    fileprivate var isStopped: Bool { stopped.load(ordering: .acquiring) }

    var log: [String] { logged.lines.withLock { $0 } }

    /// Unmounts; the volume stays.
    func end() {
        guard !stopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
        mount.stop()
        loop.wait()
        ticks.wait()
        close(watcher)
        rmdir(path)
    }

    deinit { end() }

    /// A shell that unmounts when this process is gone: its input ends then.
    private static func watch(_ path: String) -> Int32 {
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        let script = "read line; fusermount3 -uzq -- \"$0\" 2>/dev/null; rmdir \"$0\" 2>/dev/null"
        let texts = ["/bin/sh", "-c", script, path]
        var words: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        var child = pid_t()
        posix_spawn(&child, "/bin/sh", &actions, nil, words, environ)
        posix_spawn_file_actions_destroy(&actions)
        close(ends[0])
        return ends[1]
    }

    /// Waits until what was closed is a version: the last close of a file is not waited for.
    func settle() {
        eventually("all is published") { mount.unpublishedBytes == 0 }
    }

    func at(_ name: String) -> String { "\(path)/\(name)" }

    /// Waits until `condition` holds: what runs in the background.
    func eventually(
        _ what: String, seconds: Double = 10, _ condition: () throws -> Bool
    ) rethrows {
        for _ in 0..<Int(seconds * 100) {
            if try condition() { return }
            sleepMilliseconds(10)
        }
        Issue.record("not in time: \(what)")
    }
}

// MARK: Programs

/// A program that runs beside the test.
struct Program {
    private let process: pid_t

    init(_ words: [String]) throws {
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        // The threads of the test block signals; a program must not inherit that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var process = pid_t()
        let code = posix_spawn(&process, words[0], &actions, &attributes, pointers, environ)
        posix_spawnattr_destroy(&attributes)
        posix_spawn_file_actions_destroy(&actions)
        guard code == 0 else { throw Failure(code: code) }
        self.process = process
    }

    func send(_ signal: Int32) { kill(process, signal) }

    /// To all that it started too; it must lead a group.
    func sendToGroup(_ signal: Int32) { kill(-process, signal) }

    /// - Returns: the exit code, or the negative signal.
    func wait() -> Int32 {
        var status: Int32 = 0
        waitpid(process, &status, 0)
        return status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
    }

    /// As user and group 12345, without other groups.
    static func asStranger(_ words: [String]) throws -> Int32 {
        let prefix = ["/usr/bin/setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
        return try Program(prefix + words).wait()
    }
}

// MARK: System calls, as programs make them

struct Failure: Error, Equatable, CustomStringConvertible {
    let code: Int32
    var description: String { String(cString: strerror(code)) }
}

@discardableResult
func check<Value: SignedInteger>(_ value: Value) throws -> Value {
    if value < 0 { throw Failure(code: errno) }
    return value
}

/// The errno that `body` fails with; 0 if it does not.
func code(_ body: () throws -> Void) -> Int32 {
    do {
        try body()
        return 0
    } catch let failure as Failure {
        return failure.code
    } catch {
        return -1
    }
}

func readFile(_ path: String) throws -> [UInt8] {
    let file = try check(open(path, O_RDONLY))
    defer { close(file) }
    return try readAll(file)
}

func readAll(_ file: Int32) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 100_000)
    while true {
        let count = try check(pread(file, &buffer, buffer.count, bytes.count))
        if count == 0 { return bytes }
        bytes.append(contentsOf: buffer[..<count])
    }
}

func writeFile(_ path: String, _ bytes: [UInt8], _ flags: Int32 = O_CREAT | O_TRUNC) throws {
    let file = try check(open(path, O_WRONLY | flags, 0o644))
    try writeAll(file, bytes)
    try check(close(file))
}

func writeAll(_ file: Int32, _ bytes: [UInt8]) throws {
    var done = 0
    while done < bytes.count {
        done += try bytes.withUnsafeBytes { bytes in
            try check(write(file, bytes.baseAddress! + done, bytes.count - done))
        }
    }
}

func pwriteAll(_ file: Int32, _ bytes: [UInt8], at offset: Int) throws {
    let count = try check(pwrite(file, bytes, bytes.count, offset))
    #expect(count == bytes.count)
}

func status(_ path: String) throws -> stat {
    var status = stat()
    try check(lstat(path, &status))
    return status
}

func status(_ file: Int32) throws -> stat {
    var status = stat()
    try check(fstat(file, &status))
    return status
}

func names(_ path: String) throws -> [String] {
    guard let directory = opendir(path) else { throw Failure(code: errno) }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
}

func randomBytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    return random.bytes(count)
}

func time(_ time: timespec) -> Timestamp {
    Timestamp(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
}
