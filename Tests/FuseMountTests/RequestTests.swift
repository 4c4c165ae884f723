import Glibc
import Testing

@testable import FuseMount

/// How often a call makes the kernel ask and wait: each time costs a program more than all that the
/// answer takes.
@Suite(.enabled(if: canMount), .serialized)
struct RequestTests {
    private typealias Counts = [RequestKind: UInt64]

    /// The requests that somebody waited for while `body` ran.
    private func requests(of mount: TestMount, _ body: () throws -> Void) rethrows -> Counts {
        let before = mount.mount.requests
        try body()
        let counts = mount.mount.requests.map { kind, count in
            (kind, count - (before[kind] ?? 0))
        }
        return Counts(uniqueKeysWithValues: counts.filter { $0.0.isWaitedFor && $0.1 > 0 })
    }

    private func createFile(_ path: String, _ bytes: [UInt8] = [1, 2, 3]) throws {
        let file = try check(open(path, O_WRONLY | O_CREAT | O_EXCL, 0o644))
        try writeAll(file, bytes)
        try check(close(file))
    }

    private func readOnce(_ path: String) throws {
        let file = try check(open(path, O_RDONLY))
        var buffer = [UInt8](repeating: 0, count: 4096)
        try check(read(file, &buffer, buffer.count))
        try check(close(file))
    }

    private func listLong(_ path: String) throws {
        let code = try Program(["/bin/ls", "-l", path]).wait()
        #expect(code == 0)
    }

    /// A folder with a few files, and a mount that shows it; the kernel has forgotten nothing.
    private func prepared(writeBack: Bool = true, ticks: Bool = true, acl: Bool = false) throws
        -> TestMount
    {
        let mount = try TestMount(ticks: ticks) { options in
            options.writeBack = writeBack
            options.acl = acl
        }
        try check(mkdir(mount.at("d"), 0o755))
        for index in 0..<20 { try createFile(mount.at("d/file \(index)")) }
        try check(symlink("d", mount.at("link")))
        // The root has changed as well.
        _ = try status(mount.path)
        return mount
    }

    @Test
    func `looking again asks nothing, not even for what is missing`() throws {
        let mount = try prepared()
        defer { mount.end() }
        func look() throws {
            _ = try status(mount.path)
            for index in 0..<20 { _ = try status(mount.at("d/file \(index)")) }
            var target = [CChar](repeating: 0, count: 100)
            try check(readlink(mount.at("link"), &target, 99))
            let missing = code { _ = try status(mount.at("d/missing")) }
            #expect(missing == ENOENT)
        }
        try look()
        try look()
        #expect(try requests(of: mount) { try look() } == [:])
    }

    @Test
    func `a name that was missing is found as soon as it is made`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        for name in ["made", "renamed", "linked"] {
            let missing = code { _ = try status(mount.at(name)) }
            #expect(missing == ENOENT)
        }
        try createFile(mount.at("made"))
        try check(link(mount.at("made"), mount.at("linked")))
        try check(rename(mount.at("made"), mount.at("renamed")))
        #expect(try status(mount.at("renamed")).st_nlink == 2)
        #expect(try status(mount.at("linked")).st_nlink == 2)
        let moved = code { _ = try status(mount.at("made")) }
        #expect(moved == ENOENT)
    }

    @Test
    func `a file that was read is opened and read again with one request`() throws {
        let mount = try prepared()
        defer { mount.end() }
        try readOnce(mount.at("d/file 1"))
        try readOnce(mount.at("d/file 1"))
        #expect(try requests(of: mount) { try readOnce(mount.at("d/file 1")) } == [.open: 1])
    }

    /// With `default_permissions` the kernel asks for the directory's attributes after each change in it;
    /// and it looks for a capability before the first write to a file.
    @Test
    func `making and writing a file asks no more than it must`() throws {
        let mount = try prepared()
        defer { mount.end() }
        #expect(
            try requests(of: mount) { try createFile(mount.at("d/new")) }
                == [.getattr: 1, .lookup: 1, .create: 1, .getxattr: 1, .write: 1, .setattr: 1])
        #expect(
            try requests(of: mount) { try check(mknod(mount.at("d/node"), S_IFREG | 0o644, 0)) }
                == [.getattr: 1, .lookup: 1, .mknod: 1])
    }

    @Test
    func `the kernel gathers what is written, and sends it when it is closed`() throws {
        // Twice a second what the kernel has gathered would be called in.
        let mount = try prepared(ticks: false)
        defer { mount.end() }
        // The clock that files are dated by goes in steps: within one of them there is no new time to tell.
        sleepMilliseconds(30)
        let file = try check(open(mount.at("d/file 1"), O_WRONLY | O_APPEND))
        try writeAll(file, [0])
        // What anybody on the machine syncs goes out before it is counted; so nothing is left over, and
        // the clock of files has moved on.
        try check(fsync(file))
        sleepMilliseconds(20)
        let counts = try requests(of: mount) {
            for _ in 0..<50 { try writeAll(file, [1, 2, 3]) }
            close(file)
        }
        #expect(counts == [.write: 1, .setattr: 1])
        #expect(try readFile(mount.at("d/file 1")).count == 3 + 1 + 150)
    }

    @Test
    func `writes that are not gathered are one request each`() throws {
        let mount = try prepared(writeBack: false)
        defer { mount.end() }
        let file = try check(open(mount.at("d/file 1"), O_WRONLY | O_APPEND))
        defer { close(file) }
        try writeAll(file, [0])
        #expect(
            try requests(of: mount) { for _ in 0..<50 { try writeAll(file, [1, 2, 3]) } }
                == [.write: 50])
    }

    @Test
    func `moving and removing names asks no more than it must`() throws {
        let mount = try prepared(writeBack: false)
        defer { mount.end() }
        let old = mount.at("d/file 1")
        let new = mount.at("d/other")
        #expect(
            try requests(of: mount) { try check(rename(old, new)) }
                == [.getattr: 1, .lookup: 1, .rename: 1])
        #expect(
            try requests(of: mount) { try check(rename(new, old)) }
                == [.getattr: 1, .lookup: 1, .rename: 1])
        #expect(
            try requests(of: mount) { try check(unlink(old)) } == [.getattr: 1, .unlink: 1])
    }

    @Test
    func `a directory listed again is opened, and its files are known`() throws {
        let mount = try prepared()
        defer { mount.end() }
        for _ in 0..<2 { try listLong(mount.at("d")) }
        #expect(try requests(of: mount) { _ = try names(mount.at("d")) } == [.opendir: 1])
        // Access lists and labels are asked for once, not for each file.
        #expect(
            try requests(of: mount) { try listLong(mount.at("d")) } == [.opendir: 1, .getxattr: 2])
    }

    @Test
    func `where lists are kept, each file's is asked for, once`() throws {
        guard geteuid() == 0 else { return }
        let mount = try prepared(acl: true)
        defer { mount.end() }
        _ = try names(mount.at("d"))
        let first = try requests(of: mount) { try listLong(mount.at("d")) }[.getxattr] ?? 0
        #expect(first >= 20)
        let second = try requests(of: mount) { try listLong(mount.at("d")) }[.getxattr] ?? 0
        #expect(second <= first - 20)
    }
}
